"""What goes into a batch of many processes, as plain data, and what that took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from nlpu.errors import Usage
from nlpu.runtime.fleet.plan import Entry, Input
from nlpu.runtime.fleet.share import NOTHING, Took, summed, total
from nlpu.runtime.journal.header import args_text
from nlpu.runtime.journal.own import text_name
from nlpu.runtime.keywords import arranged
from nlpu.runtime.scheduler.budget import Amount


def inputs_of(program: Callable[..., Any], entries: Iterable[Entry | None]) -> Iterator[Input]:
    """Give the inputs as workers get them. Raises Usage for one without a JSON form."""
    seen: Counter[str] = Counter()
    for at, entry in enumerate(filter(None, entries)):
        text = args_text(*arranged(program, entry.args, entry.kwargs))
        if text is None:
            raise Usage(
                f"input {at + 1} has no JSON form, in which it goes to a worker; give texts, "
                "numbers, lists, dicts or pydantic models"
            )
        name = text_name(text)
        seen[name] += 1
        yield Input(name, seen[name] - 1, at, entry.id, text)


class Receipt(NamedTuple):
    """What a fleet took, in all its lives.

    answered, lost: by calls that were answered, and at most by those whose answers were lost.
    by_worker: both together, by the name of the worker that made the calls. They add up, but for
    those of a worker that is dead, and not yet known to be.
    """

    answered: Amount
    lost: Amount
    by_worker: Mapping[str, Amount]


def receipt_of(took: Iterable[Took], by: Iterable[tuple[str, Took]]) -> Receipt:
    """Add up what the runs of each input took, and what workers, by name, made of it."""
    whole, parts = summed(took), dict[str, Amount]()
    for name, part in by:
        parts[name] = total([parts.get(name, NOTHING), *part])
    return Receipt(
        whole.answered, whole.lost, {name: each for name, each in parts.items() if any(each)}
    )
