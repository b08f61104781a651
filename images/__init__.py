"""flowsuite.images: NICE, RealNVP and Glow, their data, metrics and recipes."""

from flowsuite.images.flow import ImageFlow
from flowsuite.images.glow import Glow

__all__ = ["Glow", "ImageFlow"]
