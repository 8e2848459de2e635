"""``nlpu run``, ``resume`` and ``replay``: from a command line to a printed outcome."""
