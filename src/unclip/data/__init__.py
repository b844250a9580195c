"""Captioned pictures from shards and folders, each a pure function of a seed and an index."""
