"""``Computer.map``: inputs as Python gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from os import PathLike
from typing import Any

from nlpu.checks import ANY_TEXT, FLAG, FUNCTION, WHOLE, check, check_fields
from nlpu.errors import Usage
from nlpu.printing import shown
from nlpu.runtime.fleet.plan import Entry, Plan
from nlpu.runtime.keywords import arranged
from nlpu.runtime.scheduler.budget import Budget

_FITS = {
    "name": ANY_TEXT,
    "at_once": WHOLE,
    "ordered": FLAG,
    "retry": FLAG,
    "changed": FLAG,
    "budget": (lambda given: isinstance(given, Budget), "a nlpu.Budget(calls=..., nlops=...)"),
}

_SETTINGS = {"budget", "estimates", "header", "stream", "gate", "reliability"}
_SETTINGS |= {"edits", "changed", "replay"}


def planned(
    program: Callable[..., Any], inputs: Any, settings: tuple[Any, ...]
) -> tuple[Iterator[Entry], Plan]:
    """Give the inputs as arguments, and the plan for them. Raises Usage."""
    plan = Plan(*settings)
    check("map", {"program": program}, {"program": FUNCTION})
    check_fields(plan, _FITS)
    if isinstance(inputs, str | bytes | Mapping | PathLike) or not isinstance(inputs, Iterable):
        raise Usage(
            f"map: inputs are a list, or what can be iterated over, not {shown(inputs)}; a file "
            "is read by: nlpu run PROGRAM --each FILE"
        )
    return _entries(program, inputs), replace(plan, waits=isinstance(inputs, Iterator))


def _entries(program: Callable[..., Any], inputs: Iterable[Any]) -> Iterator[Entry]:
    for number, each in enumerate(inputs, 1):
        args, kwargs = ((), each) if isinstance(each, Mapping) else ((each,), {})
        entry = Entry("", each if isinstance(each, tuple) else args, kwargs)
        taken = _SETTINGS & set(arranged(program, entry.args, entry.kwargs)[1])
        if taken:
            raise Usage(
                f"map: input {number} has {min(taken)!r}, which is a setting of a run: name the "
                "program's parameter otherwise, or let it be given by position"
            )
        yield entry
