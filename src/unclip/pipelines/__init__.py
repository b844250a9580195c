"""Network meets process to make pictures: stages, and one file per generation task."""
