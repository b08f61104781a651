"""The video data modules, by their names in recipes: `data: class_path: flowsuite.video.data.MovingShapes`."""

from flowsuite.video.data_bair import BAIR
from flowsuite.video.data_base import VideoBatch, VideoDataModule
from flowsuite.video.data_folder import KTH, VideoArray, VideoFolder
from flowsuite.video.data_mnist import MovingMNIST
from flowsuite.video.data_shapes import MovingShapes

__all__ = ["BAIR", "KTH", "MovingMNIST", "MovingShapes", "VideoArray", "VideoBatch", "VideoDataModule", "VideoFolder"]
