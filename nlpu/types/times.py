"""Numbers that would be read as seconds since 1970, where a date or a time is asked for.

pydantic reads the year 2024 as 33 minutes past midnight of 1970-01-01: a content that nobody meant.
A type's own validators may read numbers as they like; what is refused is pydantic's reading alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from typing import Any

from pydantic import TypeAdapter, ValidationError

FORMATS = {"date", "date-time", "time", "duration"}
_READERS = tuple(map(TypeAdapter[Any], (date, datetime, time, timedelta)))


def check_times(text: str, write: Callable[[], str]) -> None:
    """Raise ValueError for a number in JSON of which a type with times made a time.

    text: the JSON that was read. write: writes its content as JSON; what it raises is its
    caller's matter later, and here nothing to compare with.
    """
    made: Any = None
    with suppress(Exception):
        made = json.loads(write())
    _check(json.loads(text), made)


def _check(said: Any, made: Any) -> None:
    pairs: Iterable[tuple[Any, Any]] = ()
    if isinstance(said, dict) and isinstance(made, dict):
        pairs = [(part, made[name]) for name, part in said.items() if name in made]
    elif isinstance(said, list) and isinstance(made, list):
        pairs = zip(said, made, strict=False)
    elif isinstance(made, str) and made != said and made in _seconds(said):
        raise ValueError(f"{said} is a number, and a number is no time")
    for pair in pairs:
        _check(*pair)


def _seconds(said: Any) -> Iterable[str]:
    """The times that pydantic makes of a number, or of a numeral in a string, as it writes them."""
    with suppress(ValueError, TypeError):
        float(said)
        for reader in _READERS:
            with suppress(ValidationError):
                yield reader.dump_python(reader.validate_python(said), mode="json")
