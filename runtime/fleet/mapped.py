"""``Computer.map``: inputs as Python gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

from nlpu.checks import ANY_TEXT, FLAG, FUNCTION, WHOLE, check, check_fields
from nlpu.errors import Usage
from nlpu.printing import shown
from nlpu.runtime.fleet.batch import Batch
from nlpu.runtime.fleet.plan import Entry, Plan
from nlpu.runtime.scheduler.budget import Budget

if TYPE_CHECKING:
    from nlpu.runtime.computer import Computer
    from nlpu.runtime.loop_thread import Station

_FITS = {
    "name": ANY_TEXT, "at_once": WHOLE, "ordered": FLAG,
    "budget": (lambda given: isinstance(given, Budget), "a nlpu.Budget(calls=..., nlops=...)"),
    "retry": FLAG, "changed": FLAG,
}  # fmt: skip


def mapped(
    computer: Computer, station: Station, program: Callable[..., Any], inputs: Any,
    settings: tuple[Any, ...],
) -> Batch:  # fmt: skip
    """Make the batch that runs a program for each of the inputs. Raises Usage."""
    check("map", {"program": program}, {"program": FUNCTION})
    plan = Plan(*settings)
    check_fields(plan, _FITS)
    if isinstance(inputs, str | bytes | Mapping | PathLike) or not isinstance(inputs, Iterable):
        raise Usage(
            f"map: inputs are a list, or what can be iterated over, not {shown(inputs)}; a file "
            "is read by: nlpu run PROGRAM --each FILE"
        )
    return Batch(computer, station, program, _entries(inputs), plan)


def _entries(inputs: Iterable[Any]) -> Iterator[Entry]:
    for each in inputs:
        args, kwargs = ((), each) if isinstance(each, Mapping) else ((each,), {})
        yield Entry("", each if isinstance(each, tuple) else args, kwargs)
