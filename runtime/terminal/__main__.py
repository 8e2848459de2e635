"""``python -m runtime.terminal``: the same as ``nlpu``."""

from runtime.terminal.app import main

if __name__ == "__main__":
    main()
