"""flowsuite.images: NICE, RealNVP and Glow, their data, metrics and recipes."""

from flowsuite.images.flow import ImageFlow
from flowsuite.images.glow import Glow
from flowsuite.images.inpaint import inpaint
from flowsuite.images.nice import NICE
from flowsuite.images.realnvp import RealNVP
from flowsuite.images.reference import from_reference

__all__ = ["NICE", "Glow", "ImageFlow", "RealNVP", "from_reference", "inpaint"]
