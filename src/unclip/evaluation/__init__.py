"""How well a model draws what it is asked for: benchmarks, judges and measures."""
