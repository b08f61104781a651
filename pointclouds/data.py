"""The point-cloud data modules, by their names in recipes: `data: class_path: flowsuite.pointclouds.data.Shapes`."""

from flowsuite.pointclouds.data_base import PointCloudDataModule
from flowsuite.pointclouds.data_files import CloudFiles
from flowsuite.pointclouds.data_folder import CloudFolder
from flowsuite.pointclouds.data_pc15k import ModelNetPC15k, ShapeNetPC15k
from flowsuite.pointclouds.data_pyg import PyGModelNet, PyGShapeNet
from flowsuite.pointclouds.data_shapes import Shapes

__all__ = [
    "CloudFiles",
    "CloudFolder",
    "ModelNetPC15k",
    "PointCloudDataModule",
    "PyGModelNet",
    "PyGShapeNet",
    "ShapeNetPC15k",
    "Shapes",
]
