"""What may be asked for: word lists, an operator's moderator, and verdicts."""
