"""Model folders: saving, strict loading, and (later) foreign layouts."""
