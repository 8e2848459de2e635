"""The operating system: the scheduler, the meter, the journal, and the computer that has them.

Its names are imported when they are first used: the terminal lives in this package, and
``nlpu --help`` must not wait for a scheduler.
"""

from typing import TYPE_CHECKING

from nlpu.lazy import door

if TYPE_CHECKING:
    from nlpu.runtime.computer import Computer
    from nlpu.runtime.drivers.driver import driver
    from nlpu.runtime.drivers.endorse import endorse
    from nlpu.runtime.executor.builtins import first, now, random
    from nlpu.runtime.executor.clock import FakeClock
    from nlpu.runtime.graph.spawning import spawn
    from nlpu.runtime.handle import Run
    from nlpu.runtime.observe.receipt import Receipt
    from nlpu.runtime.scheduler.budget import Budget

_HOMES = {
    "Budget": "nlpu.runtime.scheduler.budget",
    "Computer": "nlpu.runtime.computer",
    "FakeClock": "nlpu.runtime.executor.clock",
    "Receipt": "nlpu.runtime.observe.receipt",
    "Run": "nlpu.runtime.handle",
    "driver": "nlpu.runtime.drivers.driver",
    "endorse": "nlpu.runtime.drivers.endorse",
    "first": "nlpu.runtime.executor.builtins",
    "now": "nlpu.runtime.executor.builtins",
    "random": "nlpu.runtime.executor.builtins",
    "spawn": "nlpu.runtime.graph.spawning",
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
