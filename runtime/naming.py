"""What a header says of a program and a computer that Python gave, so that others find them again.

Theory of operation
-------------------
A run goes on by its name alone if its program lies in a file under a name: then the header has
``file.py:function`` and the file's digest, as for a run that the terminal began. Else it says why
not. What the processors can do is noted, too: with that a run is replayed without them.

Rules
1. Only what loading the file would find again is named, and only if that begins no run.
2. Describing never fails.
"""

from __future__ import annotations

import ast
import inspect
import os
import sys
import threading
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from nlpu.errors import NlpuError, Usage
from nlpu.sampling import DEFAULTS
from nlpu.wire import Capabilities


class Look(NamedTuple):
    """A file as it was looked at: another time or size is another file."""

    path: str
    modified_ns: int
    size: int


def look_at(path: str) -> Look:
    """Look at a file. Raises OSError."""
    now = os.stat(path)
    return Look(path, now.st_mtime_ns, now.st_size)


def named(program: Callable[..., Any], seen: Look | None = None) -> dict[str, str]:
    """The program's name and its file's digest; or why it has none that would find it again.

    seen: its file as somebody has just looked at it: a system call, which lets other threads run.
    """
    module = sys.modules.get(getattr(program, "__module__", None) or "")
    code = (
        getattr(inspect.unwrap(program), "__code__", None) if inspect.isfunction(program) else None
    )
    path = _shared(getattr(module, "__file__", None), getattr(code, "co_filename", None))
    why = _unnamed(program, module, path)
    if why:
        return {"unnamed": why}
    name = program.__name__
    if module is not None and module.__name__ == f"nlpu.programs.{name}":
        return {"program": name, "file": ""}
    try:
        digest = _digest(path, *(seen or look_at(path))[1:])
    except (OSError, NlpuError):
        digest = ""
    if not digest:
        return {"unnamed": f"its file {path} cannot be read"}
    return {"program": f"{path}:{name}", "file": digest}


@lru_cache(maxsize=64)
def _shared(file: str | None, other: str | None) -> str:
    """The file of a module, if a function's code is of it, too; else ""."""
    if file is None or other is None or not os.path.isfile(file):
        return ""
    path = os.path.realpath(file)
    return path if path == os.path.realpath(other) else ""


@lru_cache(maxsize=64)
def _digest(path: str, modified_ns: int, size: int) -> str:
    """Read once for a fleet; a changed file has another time or size."""
    from nlpu.runtime.loader import digest_of  # here: it imports importlib

    return digest_of(Path(path))


def _unnamed(program: Any, module: Any, path: str) -> str:
    """Why loading its file would not find a program; "" where it would (rule 1)."""
    name, whole = getattr(program, "__name__", ""), getattr(program, "__qualname__", "")
    if hasattr(program, "source_text"):
        return "it was made of a text; put that into a FILE.nl, and it is run by name"
    if not inspect.isfunction(program):
        return f"it is no function, but a {type(program).__name__}"
    if name == "<lambda>":
        return "a lambda has no name"
    if name != whole:
        inside = "a function, which alone makes it" if "<locals>" in whole else "a class"
        return f"it is defined inside of {inside}"
    if name[:1] == "_":
        return "its name begins with _, as of what is not for others"
    if not path:
        return "it is in no file: it was defined in a notebook, at a prompt or by exec"
    if not path.endswith(".py"):
        return f"its file {path} is not called .py"
    if getattr(module, name, None) is not program:
        return f"what is called {name} in {path} is something else"
    if _begins_when_imported(module, path):
        return f'{path} begins runs when it is loaded; do that under `if __name__ == "__main__":`'
    return ""


def _begins_when_imported(module: Any, path: str) -> bool:
    """Whether what its own lines do now would be done again when it is imported."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame is not None:
        if frame.f_code.co_name == "<module>" and frame.f_globals is vars(module):
            line = frame.f_lineno
            return not any(first <= line <= last for first, last in _guarded(path))
        frame = frame.f_back
    return False


@lru_cache(maxsize=16)  # a script is asked about for each of its runs
def _guarded(path: str) -> list[tuple[int, int]]:
    """The lines of a script that importing it leaves out: under ``if __name__ ...``."""
    try:
        tree = ast.parse(Path(path).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return []
    return [
        (each.lineno, each.end_lineno or each.lineno)
        for each in tree.body
        if isinstance(each, ast.If) and "__name__" in ast.dump(each.test)
    ]


# -- the computer ----------------------------------------------------------------------------------


def described(capabilities: Capabilities) -> dict[str, Any]:
    """Capabilities as plain data, for a run's header; all of ``Sampling`` is not named."""
    some = capabilities.sampling
    return {
        **({} if some >= DEFAULTS.keys() else {"sampling": sorted(some)}),
        "model": capabilities.model,
        "window": capabilities.window,
        "max_in_flight": capabilities.max_in_flight,
        "token_prompts": capabilities.token_prompts,
        "constraints": sorted(capabilities.constraints),
        "tokenizer": capabilities.tokenizer,
        "weaker": list(capabilities.weaker),
        "probabilities": capabilities.probabilities,
        "source": capabilities.source,
        "weights": capabilities.weights,
    }


def run_name(stem: str, number: int) -> str:
    """Name a run of a journal; ``parts_of`` takes it apart."""
    return stem if number == 1 else f"{stem}.{number}"


def parts_of(name: Any) -> tuple[str, int]:
    """The journal of a run, and its number there, by the run's name. Raises Usage."""
    stem, _, part = str(name).partition(".")
    if type(name) is not str or not stem.isalnum() or (part and not part.isdigit()):
        raise Usage(f"{name!r} is not the name of a run; see: nlpu runs")
    return stem, int(part) if part else 1
