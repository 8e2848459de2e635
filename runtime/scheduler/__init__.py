"""The scheduler: which calls are sent when, what becomes of them, and what they may cost."""
