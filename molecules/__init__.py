"""flowsuite.molecules: GraphAF (molecules as autoregressive graph flows), data, metrics, optimisation, recipes."""

import importlib

__all__ = ["GraphAF", "GraphAFModule", "PackedMolecules", "Vocabulary", "from_reference", "ordered_batch"]

_MODULES = {
    "GraphAF": "graphaf",
    "GraphAFModule": "module",
    "PackedMolecules": "packed",
    "Vocabulary": "vocabulary",
    "from_reference": "reference",
    "ordered_batch": "packed",
}


def __getattr__(name: str):
    # PyTorch, PyG and Lightning take seconds to import: processes that only read SMILES do without them.
    if name in _MODULES:
        return getattr(importlib.import_module(f"flowsuite.molecules.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
