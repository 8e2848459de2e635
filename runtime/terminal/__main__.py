"""The console script, and ``python -m nlpu.runtime.terminal``: Ctrl-C is answered from here on.

What the interpreter does before its first line (reading ``site`` and this package's name) is
Python's own: a Ctrl-C in those hundredths of a second ends as it ends any Python program.
"""

import sys

from nlpu.runtime.terminal import notice
from nlpu.runtime.terminal.run.interrupt import leave_at_once
from nlpu.runtime.terminal.stdout import open_closed


def main() -> None:
    """Carry out the command line. Always ends in SystemExit."""
    open_closed()
    leave_at_once()
    notice.begin(sys.argv[1:])
    from nlpu.runtime.terminal.app import main as carry_out  # only now: this takes a while

    try:
        carry_out()
    finally:
        notice.clear()


if __name__ == "__main__":
    main()
