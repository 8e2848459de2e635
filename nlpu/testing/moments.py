"""Dates, times, date-times and durations within what their type says of them.

Theory of operation
-------------------
Each is counted from the first of its kind, dates in days, the others in microseconds. What the type
says becomes a least and a largest count, and the dice are rolled between them.

Rules
1. Two bounds are rolled between; one leaves what is usual, or what is near it.
2. What has to lie in the future or the past lies far there, if its bounds let it: no answer depends
   on the day on which it is made.
3. Seconds are whole, or multiples of what the type says, where the bounds leave one.
4. Bounds with a zone count in UTC, others as a clock shows them: that is how pydantic compares.
5. What is said in another kind, behind a validator that makes one of it, is passed over.
6. No moment between the bounds is ConstraintRejected, which names them.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, NamedTuple

from nlpu.errors import ConstraintRejected
from nlpu.testing.patterns import Dice

_FIRST, _US = dt.datetime.min, dt.timedelta(microseconds=1)
_SECOND, _DAY = 1_000_000, 86_400_000_000
_BOUNDS = {"ge": 0, "gt": 1, "le": 0, "lt": -1}
_YEARS = {"past": (1990, 2024), "future": (2990, 3024)}


class _Kind(NamedTuple):
    """How a format is counted and written, its last count, and in its unit a day and a second."""

    of: type
    count: Callable[[Any], int]
    write: Callable[[int], str]
    last: int
    day: int
    second: int


def _of_clock(moment: dt.datetime) -> int:
    """Count what a clock shows, in UTC if it has a zone (rule 4)."""
    offset = moment.utcoffset() or dt.timedelta(0)
    return (moment.replace(tzinfo=None) - _FIRST - offset) // _US


def _clock(n: int) -> dt.datetime:
    return _FIRST + n * _US


def _duration(n: int) -> str:
    seconds, rest = divmod(abs(n), _SECOND)
    days, seconds = divmod(seconds, 86_400)
    return f"{'-' if n < 0 else ''}P{days}DT{seconds}{f'.{rest:06}' if rest else ''}S"


_KINDS = {
    "date": _Kind(
        dt.date,
        lambda day: day.toordinal() - 1,
        lambda n: dt.date.fromordinal(n + 1).isoformat(),
        last=dt.date.max.toordinal() - 1,
        day=1,
        second=1,
    ),
    "date-time": _Kind(
        dt.datetime,
        _of_clock,
        lambda n: _clock(n).isoformat(),
        last=(dt.datetime.max - _FIRST) // _US,
        day=_DAY,
        second=_SECOND,
    ),
    "time": _Kind(
        dt.time,
        lambda time: _of_clock(dt.datetime.combine(dt.date(1, 1, 2), time)) - _DAY,
        lambda n: _clock(n).time().isoformat(),
        last=_DAY - 1,
        day=_DAY,
        second=_SECOND,
    ),
    "duration": _Kind(
        dt.timedelta,
        lambda delta: delta // _US,
        _duration,
        last=dt.timedelta.max // _US,
        day=_DAY,
        second=_SECOND,
    ),
}


def moment(form: str, said: dict[str, Any], dice: Dice) -> str:
    """Roll a text of a format that its type has said something of. Raises ConstraintRejected."""
    kind = _KINDS[form]
    words = ("now_op", "tz_constraint")
    said = {word: it for word, it in said.items() if word in words or isinstance(it, kind.of)}
    steps = [kind.second, 1] if "multiple_of" not in said else [kind.count(said["multiple_of"])]
    low, high = _range(form, kind._replace(day=max(kind.day, steps[0])), said)
    for step in steps:
        least, most = -(-low // step), high // step
        if least <= most:
            return kind.write(dice.between(least, most) * step) + _zone(form, said)
    bounds = ", ".join(f"{word} {bound}" for word, bound in said.items())
    raise ConstraintRejected(f"no {form} has {bounds}; mend the bounds")


def _range(form: str, kind: _Kind, said: dict[str, Any]) -> tuple[int, int]:
    """Give the least and the largest count that may be rolled (rules 1 and 2)."""
    when = said.get("now_op")
    bound = {word: kind.count(said[word]) + off for word, off in _BOUNDS.items() if word in said}
    lows, highs = (
        [bound[w] for w in words if w in bound] for words in (("ge", "gt"), ("le", "lt"))
    )
    low = max(lows, default=kind.count(dt.timedelta.min) if form == "duration" else 0)
    high = min(highs, default=kind.last)
    usual, last = _usual(form, kind, when)
    width = kind.day if when or form in ("time", "duration") else 100 * kind.day
    if lows and highs:
        near = {"future": (max(low, high - width), high), "past": (low, min(high, low + width))}
        return near.get(str(when), (low, high))
    if low <= last and usual <= high:
        return max(low, usual), min(high, last)
    return (low, min(high, low + width)) if lows else (max(low, high - width), high)


def _usual(form: str, kind: _Kind, when: str | None) -> tuple[int, int]:
    if form in ("time", "duration"):
        return 0, min(kind.last, 9 * kind.day)
    first, last = _YEARS[when or "past"]
    return kind.count(dt.datetime(first, 1, 1)), kind.count(dt.datetime(last, 12, 28))


def _zone(form: str, said: dict[str, Any]) -> str:
    """Write the zone: that which is wanted, else as the format and the bounds have it."""
    wanted = said.get("tz_constraint")
    zoned = form == "date-time" or any(getattr(b, "tzinfo", None) for b in said.values())
    return "Z" if wanted == "aware" or (zoned and wanted != "naive" and form != "date") else ""
