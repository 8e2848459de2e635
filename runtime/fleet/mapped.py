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
from nlpu.runtime.scheduler.budget import Budget

_FITS = {
    "name": ANY_TEXT,
    "at_once": WHOLE,
    "ordered": FLAG,
    "retry": FLAG,
    "changed": FLAG,
    "budget": (lambda given: isinstance(given, Budget), "a nlpu.Budget(calls=..., nlops=...)"),
}


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
    return _entries(inputs), replace(plan, waits=isinstance(inputs, Iterator))


def _entries(inputs: Iterable[Any]) -> Iterator[Entry]:
    for each in inputs:
        args, kwargs = ((), each) if isinstance(each, Mapping) else ((each,), {})
        yield Entry("", each if isinstance(each, tuple) else args, kwargs)
