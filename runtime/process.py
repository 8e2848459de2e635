"""Which process a thing belongs to: a loop's thread does not come along a fork.

What waits for such a thread in the child waits for ever. So what a computer and its runs do with
the loop begins here, and the child is told what to do instead.
"""

from __future__ import annotations

import os

from nlpu.errors import Usage


def check_process(owner: int, what: str) -> None:
    """Raise Usage if this is not the process that made it."""
    if os.getpid() != owner:
        raise Usage(
            f"{what} belongs to process {owner}, and this is a fork of it, without the thread that "
            "would go on with it: make a Computer here, after the fork (in a server with workers, "
            "when the worker starts)"
        )
