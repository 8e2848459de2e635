"""The modules of the house: where they lie, what they import, and what a new interpreter prints."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
HOUSES = ("nlpu", "memory", "runtime", "programs")
OUTSIDE = ("tests", "benchmarks", "examples")
FACES = ("nlpu", "nlpu.testing")  # they name what is elsewhere, and import it when it is used


def modules() -> dict[str, Path]:
    """Every module of the project by the name that it is imported by."""
    found = {}
    for house in HOUSES:
        for path in sorted((ROOT / house).rglob("*.py")):
            parts = ("nlpu", *path.relative_to(ROOT).with_suffix("").parts)
            parts = parts[1:] if house == "nlpu" else parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


@cache
def tree(path: Path) -> ast.Module:
    """What a file says."""
    return ast.parse(path.read_text(encoding="utf-8"))


def house_of(name: str) -> str:
    """The folder at the root that a module is in."""
    second = name.split(".")[1] if "." in name else ""
    return second if second in HOUSES else "nlpu"


def is_core(name: str) -> bool:
    """Whether a module lies in a house itself, not in one of its folders, and is no face."""
    depth = 1 if house_of(name) == "nlpu" else 2
    return name.count(".") == depth and MODULES[name].name != "__init__.py"


@cache
def imports(path: Path, *, at_start: bool = False) -> set[str]:
    """The modules of the project that a file imports; ``at_start``: when it is imported."""
    found: set[str] = set()
    stack: list[ast.AST] = [tree(path)]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            assert node.module is not None
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in names}
        lazy = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or _not_at_import(node)
        if not (at_start and lazy):
            stack += ast.iter_child_nodes(node)
    return {name for name in found if name.partition(".")[0] in (*HOUSES, "benchmarks")}


def _not_at_import(node: ast.AST) -> bool:
    test = ast.dump(node.test) if isinstance(node, ast.If) else ""
    return "TYPE_CHECKING" in test or "__main__" in test


def fresh(code: str) -> str:
    """What a new interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
