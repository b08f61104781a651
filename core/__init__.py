"""flowsuite.core: invertible layers, flows and their objective. Knows no domain."""
