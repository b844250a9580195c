"""Model folders: saving, strict loading, foreign layouts, and models of the Hugging Face Hub."""
