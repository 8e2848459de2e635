"""Modules beside a program's file that it imports: by digest, so that a change of them is told.

Theory of operation
-------------------
A program's own folder can be imported from (``loader``), so what a program does may lie in files
beside its own. What these are is read from the texts: each ``import`` is looked for in the folder,
and in the files found so.

Rules
1. Nothing is imported or run: whoever compares may hold another's files.
2. What is found elsewhere (installed packages, nlpu, the standard library) is the environment's.
3. Describing never fails: a file that cannot be read has the digest "", one that is no Python
   imports nothing. What is imported by a name that is made at run time is not known.
"""

from __future__ import annotations

import ast
import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from nlpu.errors import NlpuError
from nlpu.runtime.loader import digest_of, package_of, source_of


def neighbours_of(program: Callable[..., Any]) -> dict[str, str]:
    """Give the digests of what a program's file imports beside it, by path from its folder."""
    with suppress(OSError, TypeError):
        path = inspect.getsourcefile(program)
        if path is not None and not hasattr(program, "source_text"):
            return neighbours_in(Path(path))
    return {}


def neighbours_in(path: Path) -> dict[str, str]:
    """Do as ``neighbours_of``, for a file that is not loaded (rule 1)."""
    if path.suffix != ".py" or not path.is_file():
        return {}
    program, roots = path.resolve(), _roots(path.resolve())
    packages = [each for each in program.parents if each.is_relative_to(roots[-1])][:-1]
    found = {program, *(each / "__init__.py" for each in packages)}
    new = [*found]
    while new:
        file = new.pop()
        for each in _imported(file, roots):
            if each not in found:
                found.add(each)
                new.append(each)
    beside = sorted(found - {program})
    return {os.path.relpath(each, program.parent): _digest(each) for each in beside}


def differing(was: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Name the files that are not what they were; "" where all are."""
    names = sorted(was.keys() | now.keys())
    return ", ".join(name for name in names if was.get(name) != now.get(name))


def _roots(program: Path) -> list[Path]:
    """Where its imports are looked for; last, where its package lies."""
    with suppress(OSError, NlpuError):
        return list(dict.fromkeys([program.parent, package_of(program)[0]]))
    return [program.parent]


def _digest(path: Path) -> str:
    with suppress(NlpuError):
        return digest_of(path)
    return ""


def _imported(file: Path, roots: list[Path]) -> Iterator[Path]:
    """The files below the roots that a file's imports name."""
    try:
        tree = ast.parse(source_of(file))
    except (OSError, NlpuError, SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _named(alias.name.split("."), roots)
        elif isinstance(node, ast.ImportFrom):
            whole = node.module.split(".") if node.module else []
            places = [file.parents[node.level - 1]] if node.level else roots
            for alias in node.names:
                yield from _named([*whole, alias.name], places)


def _named(parts: list[str], places: list[Path]) -> Iterator[Path]:
    """The files of a dotted name: its packages' and its own, in the first place that has any."""
    if parts[0] == "nlpu":
        return
    for place in places:
        found, folder = list[Path](), place
        for part in parts:
            files = [folder / part / "__init__.py", folder / f"{part}.py"]
            found += [each.resolve() for each in files if each.is_file()][:1]
            folder /= part
            if not folder.is_dir():
                break
        if found:
            yield from found
            return
