"""When a worker looks at the database: all of a batch together about as often, however many.

Theory of operation
-------------------
A worker looks about itself five times a second (a tick), which asks nothing of the database. It
looks there in its turn, which comes the later the more workers are alive. What cannot wait that
long is called out by whoever does it (NOTIFY), and heard at a tick: that the batch is to end, that
inputs are free again, that a server had no room, that a part of the budget is wanted or was given
back. Or it is seen at the worker: a run has ended, a call does not fit, its neighbour is dead.

    tick      0.2 s: hear what was called out; has something come up here?
    look      0.2 s for a few workers, later for more: say that it lives, see what is new
    kin       1 s: is the next one of this machine dead? Who is, has a neighbour that is not

Rules
1. What is called out may be missed (a restart, a pooler of connections): the next look finds it.
2. A look comes long before the lease ends, however many there are.
3. Turns of workers that were called together do not stay together.
4. The time is an argument.
"""

from __future__ import annotations

from math import inf
from typing import Final

TICK_S: Final = 0.2
LOOKS_A_S: Final = 32.0  # of all workers of a batch together
_LOOKS_A_LEASE: Final = 5  # about
_KIN_S: Final = 1.0
_GOLDEN: Final = 0.618  # multiples of it are spread evenly over a unit


def pause_s(alive: int, worker: int, lease_s: float) -> float:
    """Say how long after a look the next one of a worker comes (rules 2, 3)."""
    apart = 0.8 + 0.4 * (worker * _GOLDEN % 1)
    return max(TICK_S, min(alive / LOOKS_A_S, lease_s / _LOOKS_A_LEASE) * apart)


class Pace:
    """When one worker's ticks and looks are due."""

    def __init__(self, worker: int, lease_s: float) -> None:
        self._worker, self._lease_s = worker, lease_s
        self._look_s = self._kin_s = self.tick_s = -inf

    def ticks(self, now_s: float) -> bool:
        """Whether a tick is due, which is taken by that."""
        if now_s < self.tick_s:
            return False
        self.tick_s = now_s + TICK_S
        return True

    def looks(self, now_s: float) -> bool:
        """Whether a look is due."""
        return now_s >= self._look_s

    def looked(self, now_s: float, alive: int) -> None:
        """Note a look, and how many workers were alive at it."""
        self._look_s = now_s + pause_s(alive, self._worker, self._lease_s)

    def minds_kin(self, now_s: float) -> bool:
        """Whether the neighbour is to be looked after, which is taken by that."""
        if now_s < self._kin_s:
            return False
        self._kin_s = now_s + _KIN_S
        return True
