"""flowsuite.pointclouds: PointFlow, its data, metrics and recipes."""

from flowsuite.pointclouds.encoder import PointNetEncoder
from flowsuite.pointclouds.point_cnf import PointCNF
from flowsuite.pointclouds.pointflow import PointFlow
from flowsuite.pointclouds.reference import from_reference

__all__ = ["PointCNF", "PointFlow", "PointFlowModule", "PointNetEncoder", "from_reference"]


def __getattr__(name: str):
    # Lightning takes seconds to import, and a flow is used without it.
    if name == "PointFlowModule":
        from flowsuite.pointclouds.module import PointFlowModule

        return PointFlowModule
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
