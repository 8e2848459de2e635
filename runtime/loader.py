"""The loader: from a name on the command line to a program.

Theory of operation
-------------------
A program is named either by a module of the ``programs`` package that holds a function of the same
name, by ``file.py:function``, or by ``file.nl``, a program as text. What it takes is told by its
parameters (``arguments``). An op is a program of one call.

Rules
1. Only the package ``programs`` and files that the user names are imported, by importlib. A file's
   code is compiled from the bytes that its digest is of: no ``__pycache__`` beside it is used.
2. A mistake is a Usage error that says what there is instead.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import os
import pkgutil
import re
import stat
import sys
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from hashlib import blake2b
from importlib.machinery import SourceFileLoader
from inspect import isfunction
from pathlib import Path
from typing import Any

from nlpu.errors import ProgramError, Usage
from nlpu.ops.op import Op
from nlpu.runtime.op_program import asking

_MOST_BYTES = 10_000_000  # of a program's file


@dataclass(frozen=True, slots=True)
class Program:
    """A loaded program. ``spec`` loads it again, from any directory.

    streams: its module says ``STREAMS = True``: its result is the text of its one call.
    digest: of the file it was loaded from; "" for a program of ``programs``.
    """

    spec: str
    function: Callable[..., Any]
    streams: bool
    digest: str = ""

    @property
    def name(self) -> str:
        """The function's own name."""
        return self.function.__name__

    def facts(self) -> dict[str, str]:
        """Say what a run's header has of its file, for those who load it again."""
        return {"program": self.spec, "file": self.digest}


# -- programs --------------------------------------------------------------------------------


def load(spec: str, only: str = "") -> Program:
    """Load the program of a name, ``file.py:function`` or ``file.nl``. Raises Usage, ProgramError.

    only: the digest that a file must have when it is read, if it was looked at before.
    """
    path = file_of(spec)
    if path is not None:
        is_text, function = spec.endswith(".nl"), spec.rpartition(":")[2] if ".py:" in spec else ""
        return _from_text(path, only) if is_text else _from_file(path, function, only)
    if spec not in available():
        raise Usage(f"no program is called {spec!r}{_nearest(spec, available())}")
    module = _imported(lambda: importlib.import_module(f"nlpu.programs.{spec}"), spec)
    return _program(spec, module, spec, f"the program {spec}")


def file_of(spec: str) -> Path | None:
    """Give the file that a program's name names; None for a program of ``programs``."""
    path = spec.rpartition(":")[0] if ".py:" in spec else spec
    return Path(path) if path.endswith((".py", ".nl")) else None


def digest_of(path: Path) -> str:
    """Tell a program's file from another; "" where it cannot be read. Raises Usage."""
    try:
        return _digest(source_of(path))
    except OSError:
        return ""


def source_of(path: Path) -> bytes:
    """Read a program's file. Raises OSError; Usage for what is no file that a program is in.

    A journal names it before anybody was asked: a pipe would never end, nor a device.
    """
    odd = Usage(f"{path} is not a plain file of at most {_MOST_BYTES // 1_000_000} MB")
    try:
        opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except ValueError:  # no system has a file of that name
        raise odd from None
    try:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise odd
        with open(opened, "rb", closefd=False) as file:
            found = file.read(_MOST_BYTES + 1)
    finally:
        os.close(opened)
    if len(found) > _MOST_BYTES:
        raise odd
    return found


def _digest(source: bytes, only: str = "") -> str:
    """Raises ProgramError for another digest than ``only``."""
    found = blake2b(source, digest_size=16).hexdigest()
    if only and found != only:
        raise ProgramError("the file changed while it was looked at")
    return found


def available() -> list[str]:
    """List the programs in ``programs``: modules that have a function of their own name."""
    place = importlib.import_module("nlpu.programs").__path__[0]
    names = sorted(found.name for found in pkgutil.iter_modules([place]))
    return [name for name in names if _defines(Path(place, f"{name}.py"), name)]


def _defines(path: Path, name: str) -> bool:
    """Whether a module has a function of its own name, without importing it."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return f"\ndef {name}(" in text or f"\nasync def {name}(" in text


def _nearest(name: str, names: Sequence[str]) -> str:
    files = [file for kind in (".py", ".nl") if Path(file := name + kind).is_file()]
    near = files or get_close_matches(name, names, 1) or [""]
    hint = f"; did you mean {near[0]}?" if near[0] else "."
    return f"{hint} There are: {', '.join(names) or 'none'}; or name a file: my_file.py:function"


def _from_file(path: Path, function: str, only: str) -> Program:
    module, digest = module_of(path, only)
    function = function or path.stem
    named = f"{path.resolve()}:{function}"
    return replace(_program(named, module, function, str(path)), digest=digest)


def module_of(path: Path, only: str = "") -> tuple[types.ModuleType, str]:
    """Import a program's file; give its digest, too. Raises as ``load``."""
    if not path.is_file():
        raise Usage(f"there is no file {path}; a program is a name or file.py:function")
    place = path.resolve()
    try:
        root, name = package_of(place)
    except OSError as error:
        raise Usage(f"{path} cannot be read: {error.strerror}") from None
    loader = _Source(name, str(place))
    loader.only = only
    spec = importlib.util.spec_from_file_location(name, place, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)

    def run() -> types.ModuleType:
        sys.modules[module.__name__] = module  # dataclasses and pydantic look their module up
        sys.path.insert(0, str(place.parent))  # as for a script: its neighbours can be imported
        if "." in name:
            sys.path.insert(0, str(root))
            importlib.import_module(name.rpartition(".")[0])
        loader.exec_module(module)
        return module

    return _imported(run, str(path)), loader.digest


def package_of(place: Path) -> tuple[Path, str]:
    """Say where a program's package lies, and its module's name: of a file that says `from .`.

    Raises OSError, Usage.
    """
    root, parts = place.parent, [place.stem]
    relative = re.search(rb"^[ \t]*from[ \t]*\.", source_of(place), re.MULTILINE)
    while relative and (root / "__init__.py").is_file() and root.name.isidentifier():
        root, parts = root.parent, [root.name, *parts]
    return root, f"nlpu_program_{place.stem}" if len(parts) == 1 else ".".join(parts)


class _Source(SourceFileLoader):
    """Compiles a program's file from its text, always (rule 1)."""

    digest = only = ""

    def get_code(self, fullname: str) -> types.CodeType:
        source = source_of(Path(self.path))
        self.digest = _digest(source, self.only)
        return compile(source, self.path, "exec", dont_inherit=True)


def _from_text(path: Path, only: str) -> Program:
    from nlpu.runtime.drivers import ask, calculate, clock
    from nlpu.runtime.plans.bounds import Given  # all this is for texts alone
    from nlpu.runtime.plans.execute import program_of

    if not path.is_file():
        raise Usage(f"there is no file {path}; nlpu show RUN --program writes one")
    try:  # with any line ends
        text = io.TextIOWrapper(io.BytesIO(source := source_of(path)), "utf-8-sig").read()
    except OSError as error:
        raise Usage(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Usage(f"{path} is not UTF-8 text; a program as text is") from None
    digest = _digest(source, only)
    given = Given({each.name: each for each in (calculate, clock(), ask)})
    function = program_of(text, given, name=path.stem)
    return Program(str(path.resolve()), function, False, digest)


def _imported(step: Callable[[], types.ModuleType], name: str) -> types.ModuleType:
    try:
        return step()
    except (Exception, SystemExit) as error:  # whatever the program's own code raises
        line = getattr(error, "lineno", None)
        where = f" (line {line})" if line and f"line {line})" not in str(error) else ""
        raise ProgramError(
            f"the program {name} cannot be loaded: {type(error).__name__}: {error}{where}"
        ) from error


def _program(spec: str, module: types.ModuleType, name: str, file: str) -> Program:
    own = {
        key: item
        for key, item in vars(module).items()
        if key[0] != "_"
        and (isinstance(item, Op) or (isfunction(item) and item.__module__ == module.__name__))
    }
    found = own.get(name)
    if isinstance(found, Op):
        return Program(spec, asking(found, module, name), found.result.annotation is str)
    if found is None:
        meant = [*get_close_matches(name, own, 1), *own]
        how = f"; name one, as in {file}:{meant[0]}" if own else ""
        has = ", ".join(own) or "none"
        raise Usage(f"there is no function or op {name!r} in {file}; it has: {has}{how}")
    return Program(spec, found, getattr(module, "STREAMS", False) is True)
