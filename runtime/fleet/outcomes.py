"""Items made of what there is: of a run that has ended, of what is kept, of a journal.

Theory of operation
-------------------
A batch hears of an outcome from the run itself, from the items of its former lives, or, of a run
that ended in the moment of a kill, from its journal alone. All three give the same line.

Rules
1. What is kept reads back as it was, or its item failed. So the result of a batch with a name is
   what later lives read: from its JSON, as the program's annotation says.
2. Where an annotation leaves open what a result is, its JSON decides (a date is a text, a tuple a
   list).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from functools import reduce
from operator import or_
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from nlpu.errors import ProgramError, described, failure_of
from nlpu.label import UNTRUSTED
from nlpu.printing import cut
from nlpu.runtime.fleet.former import Unfinished
from nlpu.runtime.fleet.item import Item
from nlpu.runtime.fleet.items import UNKEPT, Kept, side_of
from nlpu.runtime.fleet.plan import Begun
from nlpu.runtime.fleet.share import Share, summed
from nlpu.runtime.handle import Run, state_of
from nlpu.runtime.journal.header import result_text
from nlpu.types.json_text import readable
from nlpu.types.result import adapter
from nlpu.value import Value

_MOST_SHOWN = 80  # characters of a result
_NO_END = ("StorageFailed", "JournalDamaged", "RunBusy", "UpstreamFailed")  # rule 3
_OPEN: tuple[Any, ...] = (Any, object, dict, list, tuple, set)  # of what, they do not say


def outcome_of(run: Run, begun: Begun, program: Callable[..., Any]) -> tuple[Item, Kept]:
    """Give the item of a run that has ended, and as it is to be kept."""
    error = run.error
    try:
        state = state_of(run)
    except BaseException as never:  # it could not begin
        error = never
        number, name, label, took, content = begun.run, "", UNTRUSTED, begun.past, None
    else:
        ledger = state.ledger
        assert isinstance(ledger, Share)  # it was given it
        number, name, label = state.number, run.name, run.label
        took, content = ledger.took, state.result
    took = summed((took, begun.before))
    text = result_text(content) if error is None else ""
    if error is None and begun.name:
        try:
            content = _held(text, content, program)
        except ProgramError as refused:
            error, text, content = refused, "", None
    status: Any = "done" if error is None else "failed" if run.error is None else run.status
    why = () if error is None else (type(error).__name__, str(error))
    side, body = ("", text) if error is None else (side_of(error), json.dumps(why))
    side = UNKEPT if error is not None and run.error is None else side
    item = Item(begun.at, begun.id, status, error, name, took.answered, label, text, why, content)
    return item, Kept(number, status, side, body, label, took)


def known(begun: Begun, kept: Kept, name: str, program: Callable[..., Any]) -> Item:
    """Give an item as a former life had it; ``name`` is its run's."""
    if kept.status != "done":
        kind, message = json.loads(kept.body)
        error, text, content = failure_of(kind, message, kept.side), "", None
        why: tuple[str, ...] = (kind, message)
    else:
        error, text, content, why = None, kept.body, _content(kept.body, program), ()
    return Item(
        begun.at,
        begun.id,
        kept.status,
        error,
        name,
        kept.took.answered,
        kept.label,
        text,
        why,
        content,
    )


def recorded(left: Unfinished) -> Kept | None:
    """What is to be kept of a run that had ended in the moment of a kill; None if it had not."""
    end = left.past.end
    if end is None or end.status not in ("done", "failed") or (end.error or "?")[0] in _NO_END:
        return None
    status: Any = end.status
    body, side = left.texts.get(end.text, ""), ""
    if body.endswith(" "):  # its result has no JSON form: the program says it again, and it is told
        return None
    if end.error:
        kind, message = end.error
        body, side = json.dumps(end.error), side_of(failure_of(kind, message, ""))
    return Kept(left.number, status, side, body, UNTRUSTED, summed((left.before, left.took)))


def _held(text: str, content: Any, program: Callable[..., Any]) -> Any:
    """What later lives read of a result (rule 1). Raises ProgramError."""
    if text.endswith(" "):
        raise ProgramError(_unkept(*_odd(content)))
    again = _content(text, program)
    try:
        annotation = _annotation(program)
    except Exception:  # there is none, or it can be anything
        return again
    if _is_open(annotation) or _is_same(content, again, text):
        return again
    with suppress(Exception):  # of the annotation's validators: it is not as it says
        if _is_same(adapter(annotation).validate_python(content), again, text):
            return again
    refused = _unkept("it is read as another value than it was")
    raise ProgramError(f"{refused}. It is: {cut(text, _MOST_SHOWN)}")


def _unkept(why: str, where: str = "") -> str:
    return (
        f"the run is done, but its result{where} cannot be kept as JSON: {why}; let the "
        "program return text, numbers, lists, dicts or pydantic models that can, as its return "
        "annotation says"
    )


def _odd(content: Any, where: str = "") -> tuple[str, str]:
    """Why a content has no JSON form, and where in it that is."""
    try:
        readable(content)
    except Exception as error:  # of its own serialiser, too
        why = described(error)
    else:
        return "", ""
    inner = vars(content) if isinstance(content, BaseModel) else content
    pairs = inner.items() if isinstance(inner, dict) else ()
    for key, part in enumerate(inner) if isinstance(inner, list | tuple) else pairs:
        found = _odd(part, f"{where}[{key!r}]")
        if found[0]:
            return found
    return f"{why} ({type(content).__name__})", where


def _is_open(annotation: Any) -> bool:
    return any(annotation is each for each in _OPEN) or any(map(_is_open, get_args(annotation)))


def _is_same(was: Any, now: Any, text: str) -> bool:
    try:
        compares: Any = type(was).__eq__
        alike = compares is object.__eq__ or ("NaN" in text and repr(was) == repr(now))
        return bool(was == now) or (alike and type(was) is type(now))
    except Exception:  # of its own comparison
        return False


def _content(text: str, program: Callable[..., Any]) -> Any:
    """A result from its JSON, of the type that the program says it gives."""
    with suppress(Exception):  # an annotation can be anything, and any type may refuse
        return adapter(_annotation(program)).validate_json(text)
    return json.loads(text)


def _annotation(program: Callable[..., Any]) -> Any:
    """What a program says it gives; a run's result has contents where that has Values."""
    return _of_contents(get_type_hints(program)["return"])


def _of_contents(annotation: Any) -> Any:
    origin, parts = get_origin(annotation), get_args(annotation)
    if annotation is Value or origin is Value:
        return _of_contents(parts[0]) if parts else Any
    inner = tuple(map(_of_contents, parts))
    if inner == parts:
        return annotation
    return reduce(or_, inner) if origin in (Union, UnionType) else origin[inner]
