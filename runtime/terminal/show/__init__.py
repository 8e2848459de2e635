"""``nlpu show`` and ``nlpu runs``: journaled runs, looked at and exported."""
