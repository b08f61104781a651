"""flowsuite.core.data: two-dimensional toy densities and tables of numbers, the data of density estimation.

The samplers and densities load with torch alone; the data modules bring Lightning along when they are asked for.
"""

import importlib

from flowsuite.core.data.densities import TOYS, sample_toy
from flowsuite.core.data.image_density import ImageDensity
from flowsuite.core.data.truth import toy_entropy, toy_log_density

_MODULES = {
    "Toy": "toy",
    "Table": "table",
    "Power": "tabular",
    "Gas": "tabular",
    "Hepmass": "tabular_hepmass",
    "Miniboone": "tabular",
    "BSDS300": "tabular",
    "Reflow": "reflow",
}
__all__ = [
    "BSDS300",
    "TOYS",
    "Gas",
    "Hepmass",
    "ImageDensity",
    "Miniboone",
    "Power",
    "Reflow",
    "Table",
    "Toy",
    "sample_toy",
    "toy_entropy",
    "toy_log_density",
]


def __getattr__(name: str):
    # Lightning takes seconds to import, and a density is sampled without it.
    if name in _MODULES:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
