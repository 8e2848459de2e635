"""The house: who may import whom, what is public, and what importing may not do."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import networkx as nx
import pytest

import nlpu
from nlpu import memory, runtime

ROOT = Path(__file__).parents[1]
HOUSES = ("nlpu", "memory", "runtime", "programs")
OUTSIDE = ("tests", "benchmarks", "examples")
MAY_IMPORT = {
    "nlpu": {"nlpu"},
    "memory": {"nlpu", "memory"},
    "runtime": {"nlpu", "memory", "runtime"},
    "programs": {"nlpu", "memory", "runtime", "programs"},
}
HEAVY = ("torch", "transformers", "chromadb", "vllm", "numpy", "aiohttp", "networkx", "typer")


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


def house_of(name: str) -> str:
    """The folder at the root that a module is in."""
    second = name.split(".")[1] if "." in name else ""
    return second if second in HOUSES else "nlpu"


def is_core(name: str) -> bool:
    """Whether a module lies in a house itself, not in one of its folders, and is no face."""
    depth = 1 if house_of(name) == "nlpu" else 2
    return name.count(".") == depth and MODULES[name].name != "__init__.py"


def imports(path: Path, *, at_start: bool = False) -> set[str]:
    """The modules of the project that a file imports; ``at_start``: when it is imported."""
    found: set[str] = set()
    stack: list[ast.AST] = [ast.parse(path.read_text())]
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
    return {name for name in found if name.partition(".")[0] in HOUSES}


def _not_at_import(node: ast.AST) -> bool:
    test = ast.dump(node.test) if isinstance(node, ast.If) else ""
    return "TYPE_CHECKING" in test or "__main__" in test


@pytest.mark.parametrize("name", MODULES)
def test_arrows_run_one_way(name: str) -> None:
    if name == "nlpu":  # the face
        return
    allowed = MAY_IMPORT[house_of(name)]
    for used in imports(MODULES[name]):
        assert house_of(used) in allowed, f"{name} imports {used}"


def test_modules_have_one_name() -> None:
    """Imported by two, a module is there twice, and what one makes is not of the other's class."""
    others = [path for at in OUTSIDE for path in (ROOT / at).rglob("*.py")]
    for path in [*MODULES.values(), *others]:
        roots = {name.partition(".")[0] for name in imports(path)}
        assert roots <= {"nlpu"}, f"{path.relative_to(ROOT)} imports {roots - {'nlpu'}}"


def test_the_face_is_for_programs() -> None:
    """It leads to all that runs programs, so what runs them would go in a circle by it."""
    outer = ("nlpu.programs", "nlpu.runtime.bench")
    inner = {name: path for name, path in MODULES.items() if not name.startswith(outer)}
    assert not [name for name, path in inner.items() if "nlpu" in imports(path)]


def test_the_core_of_the_runtime_knows_neither_terminal_nor_bench() -> None:
    outer = ("nlpu.runtime.terminal", "nlpu.runtime.bench")
    for name, path in MODULES.items():
        if house_of(name) == "runtime" and not name.startswith(outer):
            bad = {used for used in imports(path) if used.startswith(outer)}
            assert not bad, f"{name} imports {bad}"


@pytest.mark.parametrize("name", MODULES)
def test_rooms_are_small(name: str) -> None:
    assert len(MODULES[name].read_text(encoding="utf-8").splitlines()) <= 400


def test_no_import_cycles() -> None:
    graph: nx.DiGraph[str] = nx.DiGraph()
    for name, path in MODULES.items():
        for used in imports(path, at_start=True):
            if used in MODULES and used != name:
                graph.add_edge(name, used)
    assert list(nx.simple_cycles(graph)) == []


@pytest.mark.parametrize("house", [nlpu, memory, runtime])
def test_public_names_are_exactly_all(house: object) -> None:
    names = house.__all__  # type: ignore[attr-defined]
    assert names == sorted(names) and len(names) <= (15 if house is not nlpu else 84)
    for name in names:
        assert getattr(house, name) is not None
    inside = f"{house.__name__}."  # type: ignore[attr-defined]
    submodules = {
        name[len(inside) :].partition(".")[0] for name in MODULES if name.startswith(inside)
    }
    loose = {
        name
        for name, item in vars(house).items()
        if not name.startswith("_") and name not in submodules and type(item).__name__ != "module"
    }
    assert loose - {"annotations", "door", "TYPE_CHECKING", "Any"} <= set(names)


def fresh(code: str) -> str:
    """What a new interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_core_is_light() -> None:
    loaded = fresh(
        f"import sys, runtime.computer; print([n for n in {HEAVY!r} if n in sys.modules])"
    )
    assert loaded == "[]"
    assert fresh("import sys, nlpu; print([n for n in ('runtime', 'asyncio') if n in sys.modules])")


def test_importing_does_nothing() -> None:
    """No thread, no process, no file: not by any module of the core."""
    told = fresh(
        "import sys, threading, importlib\n"
        "done = []\n"
        "def watch(event, args):\n"
        "    writes = event == 'open' and args[1] and set(str(args[1])) & set('wax+')\n"
        "    kinds = ('socket.', 'subprocess.', 'os.fork', 'os.mkdir', 'sqlite3.connect')\n"
        "    starts = event.startswith(kinds)\n"
        "    if starts or (writes and '.pyc' not in str(args[0])):\n"
        "        done.append((event, str(args)[:80]))\n"
        "sys.dont_write_bytecode = True\n"
        "sys.addaudithook(watch)\n"
        f"for name in {CORE!r}: importlib.import_module(name)\n"
        "print(done, threading.active_count())"
    )
    assert told == "[] 1"


CORE = [name for name in MODULES if house_of(name) != "programs" and is_core(name)]


@pytest.mark.parametrize("name", CORE)
def test_core_files_open_with_their_rules(name: str) -> None:
    text = ast.get_docstring(ast.parse(MODULES[name].read_text()))
    assert text, f"{name} has no docstring"
    if len(MODULES[name].read_text().splitlines()) > 60:
        assert "Rules\n" in text, f"{name}: its docstring has no Rules"


@pytest.mark.parametrize("name", CORE)
def test_every_public_function_says_what_it_does(name: str) -> None:
    tree = ast.parse(MODULES[name].read_text())
    for node in tree.body:
        public = isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
        if public and not any("overload" in ast.dump(d) for d in node.decorator_list):
            assert ast.get_docstring(node), f"{name}.{node.name} has no docstring"
