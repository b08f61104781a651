"""flowsuite.video.metrics: likelihood, frame quality, best of N, diversity, distances of distributions, shapes."""
