"""flowsuite.images: NICE, RealNVP, Glow, FFJORD and autoencoders with flow posteriors, their data, metrics, recipes."""

from flowsuite.images.ffjord import ImageFFJORD
from flowsuite.images.flow import ImageFlow
from flowsuite.images.glow import Glow
from flowsuite.images.inpaint import inpaint
from flowsuite.images.nice import NICE
from flowsuite.images.realnvp import RealNVP
from flowsuite.images.reference import from_reference
from flowsuite.images.vae import FlowVAE

__all__ = [
    "NICE",
    "ContinuousImageModule",
    "ContinuousVAEModule",
    "FlowVAE",
    "Glow",
    "ImageFFJORD",
    "ImageFlow",
    "ImageFlowModule",
    "RealNVP",
    "VAEModule",
    "from_reference",
    "inpaint",
]


_MODULES = {
    "ContinuousImageModule": "flowsuite.images.continuous",
    "ContinuousVAEModule": "flowsuite.images.vae.continuous",
    "ImageFlowModule": "flowsuite.images.module",
    "VAEModule": "flowsuite.images.vae.module",
}


def __getattr__(name: str):
    # Lightning takes seconds to import, and a flow is used without it.
    if name in _MODULES:
        import importlib

        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
