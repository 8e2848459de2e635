"""The operating system: the scheduler, the meter, the journal, and the computer that has them."""

from runtime.budget import Budget
from runtime.clock import FakeClock
from runtime.computer import Computer, Run
from runtime.hosting import spawn
from runtime.outside import first, now, random
from runtime.receipt import Receipt

__all__ = ["Budget", "Computer", "FakeClock", "Receipt", "Run", "first", "now", "random", "spawn"]
