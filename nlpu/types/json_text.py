"""JSON as it is kept: a reply normalised, a content written in one order.

Theory of operation
-------------------
What a model wrote is what is kept of it, not what pydantic makes of it: a dump need not be readable
again (aliases, excluded fields, serialisers), and a validator that changes its input would change
it once more in every later life. So a reply's JSON is *normalised*, as text, and each life
validates that text once. What Python made is *written*, and must read back as it was.

Rules
1. ``normal`` moves no character of a number and none of a string but its escapes: the same value is
   read from what it gives, and giving it back changes nothing.
2. Numbers that are none (NaN, Infinity, 1e999) are no JSON, nor is a key with two values.
3. ``written`` depends on the content alone: the items of sets are in the order of their texts.
"""

from __future__ import annotations

import json
import re
from collections import Counter, deque
from collections.abc import Sized
from contextlib import suppress
from decimal import Decimal
from json import JSONDecodeError
from math import isfinite
from typing import Any, Literal, NoReturn

from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s"]+')
_NUMERAL = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_ANY: TypeAdapter[Any] = TypeAdapter(Any)
_LEAVES = (str, int, float, bytes, type(None))
compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def normal(text: str, exact: bool = False) -> str:
    """Write a JSON text without blanks and needless escapes.

    With ``exact`` a number that no float holds becomes a string, for types with a Decimal in them.
    Raises ValueError where it is no JSON, or gives a key two values.
    """
    json.loads(
        text, parse_float=_finite, parse_int=str, parse_constant=_none, object_pairs_hook=once
    )
    tidy = _exactly if exact else _plainly
    return "".join(tidy(token) for token in _TOKEN.findall(text))


class Twice(ValueError):
    """A JSON object has a key with two values: the last would be taken in silence."""


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of a text, for ``object_pairs_hook``. Raises Twice for a key with two values."""
    found = dict(pairs)
    if len(found) < len(pairs) and any(found[name] != value for name, value in pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise Twice(f"the key {twice!r} is given twice")
    return found


def check_once(text: str) -> None:
    """Raise Twice for a text with an object that has a key with two values."""
    with suppress(JSONDecodeError, RecursionError):
        json.loads(text, object_pairs_hook=once)


def written(adapter: TypeAdapter[Any], content: Any, sets: bool) -> str:
    """Write a content as JSON; ``sets`` tells that its type may hold some.

    Raises ValueError where it cannot be written.
    """
    text = adapter.dump_json(content, by_alias=True, round_trip=True, warnings=False).decode()
    if not sets:
        return text
    how: dict[str, Any] = {"by_alias": True, "round_trip": True, "warnings": False}
    return compact(_ordered(json.loads(text), _shape(adapter, content, how)))


def canonical(content: Any) -> str:
    """Write any content as JSON, the items of sets in order. Raises ValueError where it is none.

    What is written so is compared between lives, and not read again.
    """
    text = to_json(content).decode()
    if not _may_hold_sets(content):
        return text
    return compact(_ordered(json.loads(text), _shape(_ANY, content, {"warnings": False})))


def readable(
    content: Any, odd: Literal["strings", "constants"] = "strings", indent: int | None = None
) -> str:
    """Any content as JSON; halves of surrogate pairs, which pydantic refuses, as JSON escapes them.

    A number that JSON has not is a string ("NaN", "Infinity"): null would be another value. With
    ``constants`` it stands there as Python reads it. What its own serialiser raises is raised.
    """
    try:
        return to_json(content, indent=indent, inf_nan_mode=odd, fallback=str).decode()
    except PydanticSerializationError as error:
        if "surrogates not allowed" not in str(error):
            raise
    plain = json.dumps(to_jsonable_python(content, inf_nan_mode="constants", fallback=str))
    if odd == "constants":
        return plain
    return json.dumps(json.loads(plain, parse_constant=str), indent=indent)


def _shape(adapter: TypeAdapter[Any], content: Any, how: dict[str, Any]) -> Any:
    """The content as lists, dicts and sets; as it is, where a set holds records."""
    try:
        return adapter.dump_python(content, **how)
    except TypeError:  # pydantic puts dicts into a set
        return content


def _may_hold_sets(content: Any) -> bool:
    if isinstance(content, _LEAVES):
        return False
    if isinstance(content, list | tuple):
        return any(map(_may_hold_sets, content))
    if isinstance(content, dict):
        return any(map(_may_hold_sets, content.values()))
    return True


def _ordered(plain: Any, shape: Any) -> Any:
    """The JSON value with the arrays sorted that are sets in its Python shape."""
    if isinstance(plain, list) and isinstance(shape, set | frozenset):
        if any(
            isinstance(part, list | dict) for part in plain
        ):  # which is which, only Python knows
            plain = [_ordered(to_jsonable_python(part), part) for part in shape]
        return sorted(plain, key=compact)
    sized = isinstance(plain, list | dict) and isinstance(shape, Sized)
    if not sized or len(plain) != len(shape):
        return plain
    if isinstance(plain, list) and isinstance(shape, list | tuple | deque):
        return [_ordered(*pair) for pair in zip(plain, shape, strict=True)]
    if isinstance(plain, dict) and isinstance(shape, dict):
        pairs = zip(plain.items(), shape.values(), strict=True)
        return {name: _ordered(part, inner) for (name, part), inner in pairs}
    return plain


def _plainly(token: str) -> str:
    if token[0] != '"' or "\\" not in token:
        return token
    said = json.loads(token)
    try:
        said.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which validation refuses by its escape
        return token
    return compact(said)


def _exactly(token: str) -> str:
    return _plainly(token) if token[0] == '"' else _NUMERAL.sub(_held, token)


def _held(found: re.Match[str]) -> str:
    numeral = found[0]
    same = Decimal(repr(float(numeral))) == Decimal(numeral)
    return numeral if same or numeral.lstrip("-").isdigit() else f'"{numeral}"'


def _finite(numeral: str) -> float:
    number = float(numeral)
    if not isfinite(number):
        _none(numeral)
    return number


def _none(numeral: str) -> NoReturn:
    raise ValueError(f"{numeral} is not a number one can count with")
