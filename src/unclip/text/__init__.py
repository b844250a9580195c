"""The tokenizer and the checks on prompts."""
