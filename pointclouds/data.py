"""The point-cloud data modules, by their names in recipes: `data: class_path: flowsuite.pointclouds.data.Shapes`."""

from flowsuite.pointclouds.data_base import PointCloudDataModule
from flowsuite.pointclouds.data_shapes import Shapes

__all__ = ["PointCloudDataModule", "Shapes"]
