"""flowsuite.pointclouds: PointFlow, point clouds by continuous flows, will live here."""
