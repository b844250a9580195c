"""The HTTP service. Needs no torch."""
