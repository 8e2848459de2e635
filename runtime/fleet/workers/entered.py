"""What goes into a batch of many processes, as plain data, and what that took.

Rules
1. A worker gives a program what the driver was given, or the input is refused before any begins.
   What does not fit the program is given to it all the same: it fails alone, as in one process.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from inspect import Parameter, signature
from typing import Any, NamedTuple, get_type_hints

from nlpu.errors import Usage
from nlpu.printing import cut
from nlpu.runtime.fleet.plan import Entry, Input
from nlpu.runtime.fleet.share import NOTHING, Took, summed, total
from nlpu.runtime.journal.header import args_text
from nlpu.runtime.journal.own import text_name
from nlpu.runtime.keywords import arranged
from nlpu.runtime.scheduler.budget import Amount
from nlpu.types.json_text import canonical
from nlpu.types.result import adapter

_TUPLE: Any = tuple  # of what, is known when a program is
_DICT: Any = dict


def inputs_of(program: Callable[..., Any], entries: Iterable[Entry | None]) -> Iterator[Input]:
    """Give the inputs as workers get them. Raises Usage for one that would be another (rule 1)."""
    seen: Counter[str] = Counter()
    for at, entry in enumerate(filter(None, entries)):
        given = arranged(program, entry.args, entry.kwargs)
        text = args_text(*given)
        if text is None:
            raise Usage(
                f"input {at + 1} has no JSON form, in which it goes to a worker; give texts, "
                "numbers, lists, dicts or pydantic models"
            )
        if not _is_as(given, arguments_of(program, text)):
            raise Usage(
                f"input {at + 1} goes to a worker as JSON, {cut(text, 60)}, and would be another "
                "there: give what JSON has, or annotate the program's parameters as what it is"
            )
        name = text_name(text)
        seen[name] += 1
        yield Input(name, seen[name] - 1, at, entry.id, text)


def arguments_of(program: Callable[..., Any], text: str) -> tuple[Any, Any]:
    """Give arguments from their text, each as its annotation reads it, or else as JSON has it."""
    args, kwargs = json.loads(text)
    try:
        bound, hints = signature(program).bind(*args, **kwargs), get_type_hints(program)
    except (TypeError, ValueError, NameError):
        return args, kwargs  # it will fail by itself, or says nothing of them
    for name, content in bound.arguments.items():
        hint, kind = hints.get(name, Any), bound.signature.parameters[name].kind
        if kind is Parameter.VAR_POSITIONAL:
            hint = _TUPLE[hint, ...]
        elif kind is Parameter.VAR_KEYWORD:
            hint = _DICT[str, hint]
        bound.arguments[name] = _read(hint, content)
    return list(bound.args), bound.kwargs


def _read(hint: Any, content: Any) -> Any:
    """A content of an annotation, if it is written as the same again."""
    with suppress(Exception):  # any type may refuse
        found = adapter(hint).validate_python(content)
        if canonical(found) == canonical(content):
            return found
    return content


def _is_as(was: Any, now: Any) -> bool:
    """Whether arguments, which are written as the same, are the same."""
    (args, kwargs), (args_now, kwargs_now) = was, now
    with suppress(Exception):  # of their comparisons
        pairs = [*zip(args, args_now, strict=True), *((kwargs[k], kwargs_now[k]) for k in kwargs)]
        return all(type(a) is type(b) and (a == b or not _compares(a)) for a, b in pairs)
    return False


def _compares(content: Any) -> bool:
    compares: Any = type(content).__eq__
    return compares is not object.__eq__


def kept_id(name: str) -> str:
    """An input's id as its row has it: as JSON, if it has what no text of a database may have."""
    return name if name.isprintable() and not name.startswith('"') else json.dumps(name)


def read_id(text: str) -> str:
    """Read an id from its row."""
    return str(json.loads(text)) if text.startswith('"') else text


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
