"""flowsuite.video: VideoFlow, stochastic video prediction with exact likelihood, will live here."""
