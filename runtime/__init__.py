"""The operating system: the scheduler, the meter, the journal, and the computer that has them.

Its names are imported when they are first used: the terminal lives in this package, and
``nlpu --help`` must not wait for a scheduler.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlpu.lazy import door

if TYPE_CHECKING:
    from runtime.budget import Budget
    from runtime.clock import FakeClock
    from runtime.computer import Computer
    from runtime.drivers.driver import driver
    from runtime.drivers.endorse import endorse
    from runtime.handle import Run
    from runtime.hosting import spawn
    from runtime.outside import first, now, random
    from runtime.receipt import Receipt

_HOMES = {
    "Budget": "runtime.budget",
    "Computer": "runtime.computer",
    "FakeClock": "runtime.clock",
    "Receipt": "runtime.receipt",
    "Run": "runtime.handle",
    "driver": "runtime.drivers.driver",
    "endorse": "runtime.drivers.endorse",
    "first": "runtime.outside",
    "now": "runtime.outside",
    "random": "runtime.outside",
    "spawn": "runtime.hosting",
}

__all__ = [
    "Budget",
    "Computer",
    "FakeClock",
    "Receipt",
    "Run",
    "driver",
    "endorse",
    "first",
    "now",
    "random",
    "spawn",
]

__getattr__ = door(__name__, _HOMES)
