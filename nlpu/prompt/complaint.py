"""Complaints: what is said of a reply that is no result, when it is asked for again.

Theory of operation
-------------------
A typed reply that fails validation is worth a second question if the model is told what was wrong.
The words are pydantic's, which name the field and what is expected there; of other failures they
are the type's own name. How they are put into a prompt is the business of ``layout``.

Rules
1. A complaint is one line of bounded length and the same in every process: no addresses of objects.
2. What was cut off at its limit is not complained of, nor a free text: nothing says what is wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError

from nlpu.errors import EmptyReply, Malformed, described
from nlpu.ops.op import Op
from nlpu.wire import Reply

_MOST, _LONGEST = 3, 200  # things that are wrong; characters of one
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_NO_VALUE = (ValueError, ArithmeticError, RecursionError)  # what is no JSON, or none of the type
_OURS = ("Value error, ", "Assertion failed, ")  # what pydantic puts before others' words


class Invalid(NamedTuple):
    """A reply that was no result, and what was wrong with it."""

    text: str
    why: str


def complaint(op: Op[Any], reply: Reply, error: Exception) -> Invalid | None:
    """What can be said to the model of its reply; None where it is not to be asked again."""
    told = isinstance(error, Malformed | EmptyReply) and op.result.annotation is not str
    if not told or reply.finish != "stop":
        return None
    return Invalid(_encoded(reply.text.strip()), _why(op, error))


def reason(op: Op[Any], found: Invalid | None, error: Exception) -> str:
    """What a person is told of the reply; what its type's code raised may be that code's fault."""
    cause, kind = error.__cause__, op.result.kind
    if found is None or not (kind == "json" or (kind == "text" and cause)):
        return ""
    why = found.why.removeprefix(f"it is not {op.result.one}").removeprefix(": ")
    own = "the type's own code raised " * (cause is not None and not isinstance(cause, _NO_VALUE))
    return f": {own}{why}" if why else ""


def _why(op: Op[Any], error: Exception) -> str:
    if isinstance(error, EmptyReply):
        return "it is empty"
    cause, kind = error.__cause__, op.result.kind
    name = op.result.one
    if cause is None or kind not in ("json", "text"):
        return f"it is not {_line(name)}"
    if isinstance(cause, ValidationError):
        return _faults(cause)
    if isinstance(cause, json.JSONDecodeError):
        return f"it is not JSON: {cause.msg} at character {cause.pos + 1}"
    return f"it is not {_line(name)}: {_line(described(cause))}"


def _faults(error: ValidationError) -> str:
    """The first things that are wrong, each with its place."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    said = []
    for fault in found[:_MOST]:
        text = fault["msg"]
        for prefix in _OURS:
            text = text.removeprefix(prefix)
        where = _place(fault["loc"])
        said.append(_line(f"{where}: {text}" if where else text))
    more = len(found) - _MOST
    return "; ".join(said) + (f"; and {more} more" if more > 0 else "")


def _place(parts: Sequence[int | str]) -> str:
    written = ""
    for part in parts:
        written += f"[{part}]" if isinstance(part, int) else f".{part}"
    return written.removeprefix(".")


def _line(text: str) -> str:
    line = " ".join(_encoded(_ADDRESS.sub("", text)).split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."


def _encoded(text: str) -> str:
    """The text, with a question mark for what no text can hold."""
    return text if text.isascii() else text.encode(errors="replace").decode()
