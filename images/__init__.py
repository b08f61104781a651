"""flowsuite.images: NICE, RealNVP, Glow and FFJORD, their data, metrics and recipes."""

from flowsuite.images.ffjord import ImageFFJORD
from flowsuite.images.flow import ImageFlow
from flowsuite.images.glow import Glow
from flowsuite.images.inpaint import inpaint
from flowsuite.images.nice import NICE
from flowsuite.images.realnvp import RealNVP
from flowsuite.images.reference import from_reference

__all__ = ["NICE", "Glow", "ImageFFJORD", "ImageFlow", "ImageFlowModule", "RealNVP", "from_reference", "inpaint"]


def __getattr__(name: str):
    # Lightning takes seconds to import, and a flow is used without it.
    if name == "ImageFlowModule":
        from flowsuite.images.module import ImageFlowModule

        return ImageFlowModule
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
