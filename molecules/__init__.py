"""flowsuite.molecules: molecules atom by atom (GraphAF) or in one shot (MoFlow), data, metrics, optimisation."""

import importlib

__all__ = [
    "GraphAF",
    "GraphAFModule",
    "MoFlow",
    "MoFlowModule",
    "PackedMolecules",
    "Vocabulary",
    "from_reference",
    "ordered_batch",
]

_MODULES = {
    "GraphAF": "graphaf",
    "GraphAFModule": "module",
    "MoFlow": "moflow",
    "MoFlowModule": "moflow_module",
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
