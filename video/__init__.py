"""flowsuite.video: VideoFlow, stochastic video prediction with exact likelihood."""

import importlib

__all__ = ["VideoFlow", "VideoModule", "from_reference"]

_MODULES = {
    "VideoFlow": "videoflow",
    "VideoModule": "module",
    "from_reference": "reference",
}


def __getattr__(name: str):
    # Data modules and file readers do without the model, and commands without either.
    if name in _MODULES:
        return getattr(importlib.import_module(f"flowsuite.video.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
