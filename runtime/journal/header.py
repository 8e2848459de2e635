"""What a journal's header says of a run: its program, arguments and limits, as plain data.

Theory of operation
-------------------
A run that is to be resumed by another process must be described without Python objects: the program
by a digest of its source, arguments and results as JSON texts.

Rules
1. Describing never fails: what has no JSON form is left out, and only Python can give it again. So
   it is with what would be read as another value (``given`` names it), though its text is kept.
2. Deadlines are left out: seconds count from each start anew.
3. An argument that is the URL of a database with its password is refused: it would be kept here.
"""

from __future__ import annotations

import inspect
import json
import os
from base64 import b32encode
from collections.abc import Callable, Mapping
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, get_type_hints

from pydantic_core import PydanticSerializationError, to_json

from nlpu.checks import takes
from nlpu.errors import described
from nlpu.postgres.urls import without_passwords
from nlpu.runtime.journal.own import text_name
from nlpu.runtime.journal.store import RunLog
from nlpu.runtime.keywords import arranged
from nlpu.runtime.naming import Look, look_at, named
from nlpu.runtime.scheduler.budget import Budget
from nlpu.types.json_text import canonical, readable
from nlpu.types.result import adapter
from nlpu.value import own

LIMITS = ("calls", "nlops", "tokens", "money")  # rule 2


def source_digest(program: Callable[..., Any]) -> str:
    """A digest of the program's source file (or its own text), to notice that it changed."""
    return _source_of(program)[0]


def _source_of(program: Callable[..., Any]) -> tuple[str, Look | None]:
    """The digest, and the file as it was looked at for it."""
    text = getattr(program, "source_text", None)
    if isinstance(text, str):  # a program as text: the file it was read from may be gone
        return digest_of_source(text.encode()), None
    try:
        path = _file_of(program)
        if path is None:
            text = inspect.getsource(program)
            return digest_of_source(text.encode("utf-8", "surrogatepass")), None
        seen = look_at(path)
        return _file_digest(seen), seen
    except (OSError, TypeError):
        return "", None


def _file_of(program: Callable[..., Any]) -> str | None:
    """Its file as ``inspect`` finds it, which looks whether it is there."""
    code = getattr(program, "__code__", None) if inspect.isfunction(program) else None
    path = getattr(code, "co_filename", "")
    return path if path.endswith(".py") else inspect.getsourcefile(program)


@lru_cache(maxsize=64)
def _file_digest(seen: Look) -> str:
    """Read once for a fleet."""
    return digest_of_source(Path(seen.path).read_bytes())


def digest_of_source(source: bytes) -> str:
    """Digest what is in a program's file, as ``source_digest`` does."""
    return blake2b(source, digest_size=8).hexdigest()


def header_of(
    journal: RunLog,
    program: Callable[..., Any],
    args: Any,
    kwargs: Any,
    budget: Budget,
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """The header of a run that begins; ``facts`` are its starter's and win."""
    args, kwargs = arranged(program, args, kwargs)
    text = args_text(args, kwargs)
    others = _not_again(program, args, kwargs, text) if journal.keeps and text else []
    source, seen = _source_of(program)
    return {
        "program": getattr(program, "__name__", "program"),
        "source": source,
        "budget": {name: getattr(budget, name) for name in LIMITS},
        "args": 0 if text is None else journal.text(text),
        "args_name": "" if text is None else text_name(text),
        **({"given": others} if others else {}),
        **(named(program, seen) if journal.keeps and "program" not in facts else {}),
        **facts,
    }


def args_text(args: Any, kwargs: Any) -> str | None:
    """The arguments as a text: JSON of [positional, named]; None where they have none.

    Raises Usage for the password of a database (rule 3).
    """
    try:
        return without_passwords(canonical([args, kwargs]))
    except (PydanticSerializationError, ValueError, RecursionError):
        return None  # a run from Python may have arguments that only Python can give again


def typed(
    program: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Arguments that were JSON, of their annotated types again. Raises TypeError, ValueError."""
    bound = inspect.signature(program).bind(*args, **kwargs)
    hints = get_type_hints(program)
    for name, content in bound.arguments.items():
        kind = bound.signature.parameters[name].kind
        read = adapter(hints[name]).validate_python if name in hints else own
        if kind is inspect.Parameter.VAR_POSITIONAL:
            bound.arguments[name] = tuple(map(read, content))
        elif kind is inspect.Parameter.VAR_KEYWORD:
            bound.arguments[name] = {key: read(each) for key, each in content.items()}
        else:
            bound.arguments[name] = read(content)
    return list(bound.args), dict(bound.kwargs)


def _not_again(program: Callable[..., Any], args: Any, kwargs: Any, text: str) -> list[str]:
    """The parameters whose arguments would be others if they were read from their text."""
    if not getattr(program, "__annotations__", None) and _is_plain([*args, kwargs]):
        return []
    try:
        again = typed(program, *json.loads(text))
        were, are = (inspect.signature(program).bind(*a, **k) for a, k in ((args, kwargs), again))
        return [
            name for name, was in were.arguments.items() if not _is_as(was, are.arguments[name])
        ]
    except Exception:  # of the program's types and their comparisons; rule 1
        return ["arguments"]


def _is_as(was: Any, now: Any) -> bool:
    if type(was) is not type(now):
        return False
    same = was == now or (now != now and was != was)  # noqa: PLR0124  (a NaN)
    compares: Any = type(was).__eq__
    return bool(same) or compares is object.__eq__


def _is_plain(content: Any) -> bool:
    """Whether JSON gives it again as it is, whatever it is read as."""
    if type(content) is list:
        return all(map(_is_plain, content))
    if type(content) is dict:
        return all(type(key) is str for key in content) and all(map(_is_plain, content.values()))
    return content is None or type(content) in (str, int, float, bool)


def result_text(result: Any) -> str:
    """A result as JSON; one that has none as a JSON string of what it prints as, and a blank."""
    try:
        return canonical(result)
    except (PydanticSerializationError, ValueError, RecursionError):
        try:
            return readable(result, "constants")
        except Exception:  # of its own serialiser, or of its __str__
            return f"{json.dumps(_printed(result))} "


def has_json(result: Any) -> bool:
    """Whether a result has a JSON form that says all of it."""
    return takes(lambda: to_json(result), PydanticSerializationError, ValueError, RecursionError)


def _printed(result: Any) -> str:
    try:
        return str(result)
    except Exception as error:  # its own __str__ failed; the run is done all the same
        return f"({type(result).__name__}, which cannot be printed: {described(error)})"


def new_stem() -> str:
    """A name for a new journal: eight letters and digits."""
    return b32encode(os.urandom(5)).decode().lower()
