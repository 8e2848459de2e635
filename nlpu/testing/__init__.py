"""What tests a program without a model: ``from nlpu.testing import Scripted, FakeClock``.

An engine whose answers, latencies and faults are a script, a clock that jumps, a person who answers
by a script, and texts that obey a result type.
"""

from typing import TYPE_CHECKING

from nlpu.lazy import door

if TYPE_CHECKING:
    from nlpu.runtime.drivers.person import ScriptedPerson
    from nlpu.runtime.executor.clock import FakeClock
    from nlpu.testing.answers import pieces
    from nlpu.testing.faults import mix
    from nlpu.testing.scripted import Say, Scripted, Seen, default_answer

__all__ = [
    "FakeClock",
    "Say",
    "Scripted",
    "ScriptedPerson",
    "Seen",
    "default_answer",
    "mix",
    "pieces",
]

__getattr__ = door(
    __name__,
    {
        "FakeClock": "nlpu.runtime.executor.clock",
        "Say": "nlpu.testing.scripted",
        "Scripted": "nlpu.testing.scripted",
        "ScriptedPerson": "nlpu.runtime.drivers.person",
        "Seen": "nlpu.testing.scripted",
        "default_answer": "nlpu.testing.scripted",
        "mix": "nlpu.testing.faults",
        "pieces": "nlpu.testing.answers",
    },
)
