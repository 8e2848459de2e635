"""Kinds of work: what each does when it is issued and when its operands are there.

The graph knows nodes, not kinds. A kind is a pair of functions that get the graph as a port:
``issued`` says what the node waits for (and may grow the graph at once), ``ready`` settles it,
hands it to the scheduler, or grows the graph further. A new ability is a new entry in ``KINDS``,
by whoever has it (``kinds``, ``spawning``, drivers), not a branch in the scheduler.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

from nlpu.ops.op import Check
from nlpu.reliability import Reliably
from nlpu.runtime.graph.node import Node
from nlpu.runtime.ports import GraphPort

Step = Callable[[GraphPort, Node], None]


class Kind(NamedTuple):
    """How a kind of work behaves.

    takes_failures: it is ready even if an operand failed.
    lasting: it is done even if nobody reads its result; a program ends after it.
    """

    issued: Step
    ready: Step
    takes_failures: bool = False
    lasting: bool = False


_RARE: dict[type[Any], str] = {
    Check: "nlpu.runtime.eval.evaluation",
    Reliably: "nlpu.runtime.eval.reliable_calls",
}


class _Kinds(dict[type[Any], Kind]):
    """Entered by who has them. What few programs ask for is imported when one does."""

    def __missing__(self, work: type[Any]) -> Kind:
        import_module(_RARE[work])
        return self[work]


KINDS = _Kinds()
