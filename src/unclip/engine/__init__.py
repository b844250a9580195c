"""The engine: many requests drawn at once, in a process of its own."""
