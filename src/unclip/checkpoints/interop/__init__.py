"""Foreign layouts, to and from ours: pure key maps, and configs read field by field."""
