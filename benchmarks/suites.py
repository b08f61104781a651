"""The suites, in the order of the report."""

# suite -> module with `tables(args)`; a suite's peers are imported with that suite only
SUITES = {
    "images": "benchmarks.images",
    "cnf": "benchmarks.cnf",
    "pointclouds": "benchmarks.pointclouds",
    "pointcloud-metrics": "benchmarks.pointcloud_metrics",
    "molecules": "benchmarks.molecules",
    "audio": "benchmarks.audio",
    "video": "benchmarks.video",
    "variational": "benchmarks.variational",
}
