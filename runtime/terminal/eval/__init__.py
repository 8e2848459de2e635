"""``nlpu eval``: its command, what it evaluates, and its page."""
