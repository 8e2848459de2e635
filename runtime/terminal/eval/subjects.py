"""What is evaluated, by name: a standard op, an op or function of a file, or a program."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from nlpu import isa
from nlpu.errors import Usage
from nlpu.eval.questions import Subject
from nlpu.ops.op import Op
from nlpu.runtime.eval.corrections.correction import Corrected
from nlpu.runtime.loader import available, file_of, load, module_of


@dataclass(frozen=True, slots=True)
class Named:
    """An op, a program or a metric, with the spec that loads it again from any directory.

    digest: of the file it was loaded from; "" for what comes with this project.
    """

    spec: str
    found: Any
    digest: str = ""

    @property
    def file(self) -> Path | None:
        """The file it was loaded from."""
        return file_of(self.spec)


def standard() -> dict[str, Subject]:
    """The standard ops by name, and the functions that make some."""
    ops = {
        item.name: item for key, item in vars(isa).items() if isinstance(item, Op) and key[0] != "_"
    }
    makers = {
        name: item
        for name, item in vars(isa).items()
        if inspect.isfunction(item)
        and str(item.__annotations__.get("return")).startswith("Op[")
        and item.__module__ == isa.__name__
    }
    return {**ops, **makers}


def subject_of(spec: str, only: str = "") -> Named:
    """The op or program of a spec. Raises Usage, ProgramError.

    only: the digest that its file must have.
    """
    path = file_of(spec)
    if path is not None and spec.endswith(".nl"):
        program = load(spec, only)
        return Named(program.spec, program.function, program.digest)
    if path is not None:
        return _in_file(spec, path, only, lambda item: isinstance(item, Op | Corrected))
    ops = standard()
    if spec in ops:
        return Named(spec, ops[spec])
    if spec in available():
        return Named(spec, load(spec).function)
    names = list(dict.fromkeys([*ops, *available()]))
    near = get_close_matches(spec, names, 1)
    hint = f"; did you mean {near[0]}?" if near else "."
    raise Usage(
        f"no op or program is called {spec!r}{hint} There are: {', '.join(names)}; or name one in "
        "a file: my_file.py:name"
    )


def score_of(spec: str, only: str = "") -> Named:
    """The metric of a name, or the function of ``file.py:score``. Raises Usage, ProgramError."""
    path = file_of(spec)
    if path is None:
        return Named(spec, spec or None)
    return _in_file(spec, path, only, lambda item: False)


def _in_file(spec: str, path: Path, only: str, fits: Callable[[Any], bool]) -> Named:
    """A public name of a file: one that fits, or a function that is its own."""
    module, digest = module_of(path, only)
    own = {
        name: item
        for name, item in vars(module).items()
        if name[0] != "_"
        and (fits(item) or (inspect.isfunction(item) and item.__module__ == module.__name__))
    }
    wanted = spec.rpartition(":")[2] if ".py:" in spec else path.stem
    if wanted not in own:
        meant = next(iter(get_close_matches(wanted, own, 1) or own), "")
        how = f"; name one, as in {path}:{meant}" if own else ""
        raise Usage(f"there is no {wanted!r} in {path}; it has: {', '.join(own) or 'none'}{how}")
    return Named(f"{path.resolve()}:{wanted}", own[wanted], digest)
