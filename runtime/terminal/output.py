"""What is printed, and where.

Theory of operation
-------------------
stdout carries results and nothing else, stderr all the rest. What a model wrote may hold escape
sequences that would drive the terminal; wherever a person's terminal would obey them, they are
shown instead.

Rules
1. To a terminal no control character is written but line end and tab, and none of the marks that
   reorder text; a pipe gets a result's own bytes.
2. Nothing from outside is ever read as rich's markup.
3. With --json stdout is one JSON object on one line, in whatever encoding stdout has.
4. What a program prints by itself goes to stderr (``stdout``).
5. What a stream's encoding has no sign for is written escaped; of a result that is said.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

from nlpu import printing
from nlpu.checks import takes
from nlpu.errors import NlpuError, root_of
from nlpu.runtime.terminal.stdout import paid_json, results

if TYPE_CHECKING:
    from rich.console import Console

one_line, safe = printing.one_line, printing.safe  # rule 1
_noted: list[TextIO] = []  # streams of whose escapes was told


def say(text: str) -> None:
    """A line for the person, on stderr."""
    print(safe(text), file=sys.stderr, flush=True)


def say_error(message: str) -> None:
    """Say what went wrong; of a message of several lines none can be taken for one of ours."""
    say(f"error: {message}".replace("\n", "\n  "))


def console(to_stderr: bool = False) -> Console:
    """A rich console; it respects NO_COLOR and knows whether it writes to a terminal."""
    from rich.console import Console

    out = sys.stderr if to_stderr else results()
    return Console(file=out, highlight=False, markup=False, emoji=False)


def write(text: str) -> None:
    """Part of a result, to stdout."""
    out = results()
    _note_escapes(out, text)
    out.write(safe(text) if out.isatty() else text)
    out.flush()


def _encodes(out: TextIO, text: str) -> bool:
    """Whether a stream can be written all of a text as it is."""
    return takes(lambda: text.encode(out.encoding or "utf-8"), UnicodeEncodeError)


def _note_escapes(out: TextIO, text: str) -> None:
    """Say, once, that a stream has no sign for what is written to it."""
    if not (text.isascii() or _noted or _encodes(out, text)):
        _noted.append(out)
        how = (
            ""
            if _encodes(out, "\u4e2d")
            else "; with PYTHONIOENCODING=utf-8 it is written as it is"
        )
        say(
            f"note: stdout is {out.encoding}, which cannot write all of this: the rest is escaped, "
            f"as \\u4e2d{how}"
        )


def write_json(content: Any) -> None:
    """One JSON object on one line of stdout."""
    write_body(json_of(content))


def write_result(as_json: bool, facts: Any, text: str) -> None:
    """A result as one object, or as a text for people."""
    if as_json:
        write_json(facts)
    else:
        write(text)


def json_of(content: Any) -> str:
    """Any content as JSON on one line; what its own serialiser raises is raised."""
    from nlpu.types.json_text import readable  # pydantic, which ``nlpu --help`` does without

    body, out = readable(content), results()
    if out.isatty() or not _encodes(out, body):
        body = json.dumps(json.loads(body))  # \u escapes, so that nothing in it drives a terminal
    return body


def write_body(body: str) -> None:
    """The one JSON object of a command."""
    paid_json()
    out = results()
    out.write(body + "\n")
    out.flush()


def as_text(result: Any) -> str:
    """A result as a person reads it."""
    if result is None:
        return ""
    if isinstance(result, bool):
        return "yes" if result else "no"
    if isinstance(result, str | int | float) or _speaks(result):
        return str(result)
    from nlpu.types.json_text import readable  # as above

    return readable(result, indent=2)


def _speaks(result: Any) -> bool:
    """Whether the result's class says how it reads."""
    from enum import Enum

    from pydantic import BaseModel

    mute: tuple[Any, ...] = (object, BaseModel, dict, list, tuple, Enum)
    return all(type(result).__str__ is not kind.__str__ for kind in mute)


def said(error: BaseException) -> str:
    """An error and what caused it, in one paragraph, and where in the user's code it came up."""
    parts: list[str] = []
    for each in _chain(error):
        text, place = str(each) or type(each).__name__, _place(each)
        quoted = next((i for i, part in enumerate(parts) if text in part), None)
        if quoted is not None:  # some quote their cause
            text = parts.pop(quoted)
        parts.append(f"{text} ({place})" if place and place not in text else text)
    return "; because: ".join(parts) or f"{type(error).__name__}: {error}"


def _chain(error: BaseException) -> list[NlpuError]:
    """The error and the causes behind it, as far as they are ours."""
    chain: dict[int, NlpuError] = {}
    seen: BaseException | None = error
    while isinstance(seen, NlpuError) and id(seen) not in chain:
        chain[id(seen)] = seen
        seen = root_of(seen.__cause__)
    return list(chain.values())


def _place(error: NlpuError) -> str:
    """file:line where a program's own code raised, or asked for what had failed."""
    cause = error.__cause__
    first = cause.exceptions[0] if isinstance(cause, BaseExceptionGroup) else cause
    raised = None if isinstance(cause, NlpuError) else _own_frames(first) or _own_frames(cause)
    frames = raised or _own_frames(error)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""


def tell_traceback(error: BaseException) -> None:
    """With --debug: how the user's own code came to the error; of a fault in ours, all of it."""
    if not os.environ.get("NLPU_DEBUG"):
        return
    told: list[str] = []
    causes: dict[int, BaseException] = {}
    waiting: list[BaseException | None] = [error]
    while waiting:
        seen = waiting.pop()
        if seen is None or id(seen) in causes:
            continue
        causes[id(seen)] = seen
        frames = _own_frames(seen)
        if frames or isinstance(seen, SyntaxError):
            head = ["Traceback (most recent call last):\n"] * bool(frames)
            lines = [*head, *frames.format(), *traceback.format_exception_only(seen)]
            told.insert(0, "".join(lines))
        waiting.append(seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__))
        waiting += seen.exceptions if isinstance(seen, BaseExceptionGroup) else ()
    unexpected = not all(isinstance(cause, NlpuError) for cause in causes.values())
    if told:
        say("\n".join(told).rstrip())
    elif unexpected:
        say("".join(traceback.format_exception(error)).rstrip())


def _own_frames(error: BaseException | None) -> traceback.StackSummary:
    """The frames of an error that are the user's own."""
    walked = traceback.walk_tb(None if error is None else error.__traceback__)
    return traceback.StackSummary.extract(
        (frame, line) for frame, line in walked if _is_the_users(frame)
    )


def _is_the_users(frame: FrameType) -> bool:
    """Whether a frame is of the user's own code: not ours, not Python's, not a library's."""
    from sysconfig import get_path

    from nlpu.runtime.graph.frames import is_own

    file = frame.f_code.co_filename
    if is_own(frame) or file[0] == "<":
        return False
    return not file.startswith((get_path("stdlib"), get_path("purelib"), get_path("platlib")))
