"""flowsuite.molecules: GraphAF (molecules as autoregressive graph flows), data, metrics, optimisation, recipes."""

from flowsuite.molecules.graphaf import GraphAF
from flowsuite.molecules.packed import PackedMolecules, ordered_batch
from flowsuite.molecules.reference import from_reference
from flowsuite.molecules.vocabulary import Vocabulary

__all__ = ["GraphAF", "GraphAFModule", "PackedMolecules", "Vocabulary", "from_reference", "ordered_batch"]


def __getattr__(name: str):
    # Lightning takes seconds to import, and a flow is used without it.
    if name == "GraphAFModule":
        from flowsuite.molecules.module import GraphAFModule

        return GraphAFModule
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
