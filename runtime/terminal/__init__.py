"""The terminal: ``nlpu``. One file for each command, and what they share in the others."""
