"""The house: who may import whom, what is public, and what importing may not do."""

from __future__ import annotations

import ast
import tomllib
from importlib.metadata import requires

import networkx as nx
import pytest
from house_kit import FACES, HOUSES, MODULES, OUTSIDE, ROOT, fresh, house_of, imports, is_core, tree
from packaging.requirements import Requirement

import nlpu
from nlpu import memory, runtime

MAY_IMPORT = {
    "nlpu": {"nlpu"},
    "memory": {"nlpu", "memory"},
    "runtime": {"nlpu", "memory", "runtime"},
    "programs": {"nlpu", "memory", "runtime", "programs"},
}
HEAVY = ("torch", "transformers", "chromadb", "vllm", "numpy", "aiohttp", "networkx", "typer")


@pytest.mark.parametrize("name", MODULES)
def test_arrows_run_one_way(name: str) -> None:
    allowed = set(HOUSES) if name in FACES else MAY_IMPORT[house_of(name)]
    for used in imports(MODULES[name]):
        assert house_of(used) in allowed and used.startswith("nlpu"), f"{name} imports {used}"


def test_modules_have_one_name() -> None:
    """Imported by two, a module is there twice, and what one makes is not of the other's class.

    What is not installed may use what is, and the benchmarks.
    """
    installed = set(MODULES.values())
    for path in [*installed, *(path for at in OUTSIDE for path in (ROOT / at).rglob("*.py"))]:
        roots = {name.partition(".")[0] for name in imports(path)}
        allowed = {"nlpu"} if path in installed else {"nlpu", "benchmarks"}
        assert roots <= allowed, f"{path.relative_to(ROOT)} imports {roots - allowed}"


def test_the_face_is_for_programs() -> None:
    """It leads to all that runs programs, so what runs them would go in a circle by it."""
    outer = ("nlpu.programs", "nlpu.runtime.bench")
    inner = {name: path for name, path in MODULES.items() if not name.startswith(outer)}
    assert not [name for name, path in inner.items() if imports(path) & set(FACES)]


def test_the_core_of_the_runtime_knows_neither_terminal_nor_bench() -> None:
    outer = ("nlpu.runtime.terminal", "nlpu.runtime.bench")
    for name, path in MODULES.items():
        if house_of(name) == "runtime" and not name.startswith(outer):
            bad = {used for used in imports(path) if used.startswith(outer)}
            assert not bad, f"{name} imports {bad}"


def test_no_import_cycles() -> None:
    graph: nx.DiGraph[str] = nx.DiGraph()
    for name, path in MODULES.items():
        for used in imports(path):  # those for types, and those inside of functions, too
            if used in MODULES and used != name and name not in FACES:
                graph.add_edge(name, used)
    assert list(nx.simple_cycles(graph)) == []


@pytest.mark.parametrize("house", [nlpu, memory, runtime])
def test_public_names_are_exactly_all(house: object) -> None:
    names = house.__all__  # type: ignore[attr-defined]
    assert names == sorted(names) and len(names) <= (15 if house is not nlpu else 87)
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


def test_the_core_is_light() -> None:
    loaded = fresh(
        f"import sys, runtime.computer; print([n for n in {HEAVY!r} if n in sys.modules])"
    )
    assert loaded == "[]"
    assert fresh("import sys, nlpu; print([n for n in ('runtime', 'asyncio') if n in sys.modules])")


def test_what_everybody_installs_is_light() -> None:
    """Neither torch nor transformers comes with the base install, by whatever way."""
    found, left = set[str](), tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    waiting = list(left["dependencies"])
    while waiting:
        line = Requirement(waiting.pop())
        name = line.name.lower().replace("_", "-")
        wanted = line.marker is None or line.marker.evaluate({"extra": ""})
        if wanted and name not in found:
            found.add(name)
            waiting += requires(name) or []
    assert {"xllamacpp", "pydantic-core"} <= found
    assert not found & {"torch", "transformers", "vllm", "numpy", "chromadb"}


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
    text = ast.get_docstring(tree(MODULES[name]))
    assert text, f"{name} has no docstring"
    if len(MODULES[name].read_text().splitlines()) > 60:
        assert "Rules\n" in text, f"{name}: its docstring has no Rules"


@pytest.mark.parametrize("name", CORE)
def test_every_public_function_says_what_it_does(name: str) -> None:
    for node in tree(MODULES[name]).body:
        public = isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
        if public and not any("overload" in ast.dump(d) for d in node.decorator_list):
            assert ast.get_docstring(node), f"{name}.{node.name} has no docstring"


# What the scheduler may know: how it decides, not how it is carried out.
ITS_KNOWLEDGE = {
    *("__future__", "collections.abc", "dataclasses", "heapq", "math", "random", "typing"),
    *("nlpu.checks", "nlpu.engines.models.known", "nlpu.engines.origin", "nlpu.errors"),
    *("nlpu.judgement", "nlpu.printing", "nlpu.ops.op", "nlpu.processor", "nlpu.wire"),
    *("nlpu.prompt.complaint", "nlpu.prompt.convention", "nlpu.prompt.decode"),
    *("nlpu.runtime.graph.node", "nlpu.runtime.graph.stage", "nlpu.runtime.graph.usage"),
}


def test_the_scheduler_is_pure() -> None:
    """It has no loop, clock, journal or kernel, not even in annotations."""
    room = "nlpu.runtime.scheduler"
    inside = {name: path for name, path in MODULES.items() if name.startswith(room)}
    assert f"{room}.scheduler" in inside
    for name, path in inside.items():
        found = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(node.module or "")
        bad = {used for used in found - ITS_KNOWLEDGE if not used.startswith(room)}
        assert not bad, f"{name} imports {bad}"


def test_a_stage_is_written_in_one_place() -> None:
    """By ``advance``, which has the table; a node begins with its first."""
    writers = set()
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr == "work_stage":
                writers |= {name} if isinstance(node.ctx, ast.Store) else set()
    assert writers == {"nlpu.runtime.graph.node", "nlpu.runtime.graph.stage"}
