"""flowsuite.molecules: GraphAF, molecules as autoregressive graph flows, will live here."""
