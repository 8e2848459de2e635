"""The house: who may import whom, what is public, and what importing may not do."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from functools import cache
from importlib.metadata import requires
from pathlib import Path
from typing import TypeGuard

import networkx as nx
import pytest
from packaging.requirements import Requirement

import nlpu
from nlpu import memory, runtime

ROOT = Path(__file__).parents[2]
HOUSES = ("nlpu", "memory", "runtime", "programs")
OUTSIDE = ("tests", "benchmarks", "examples")
FACES = ("nlpu", "nlpu.testing")  # they name what is elsewhere, and import it when it is used
NOT_CORE = {"engines", "testing", "terminal", "bench", "drivers", "plans", "fleet", "host", "eval"}
NOT_CORE |= {"postgres"}  # behind the store's protocol
MOST_STATEMENTS = {"core": 12_077, "all": 36_902}  # where they were last
MOST_FOLDER_CODE, MOST_FOLDER_LINES = 160, 200  # of the engine for model folders
MOST_LONG_FILES = 57  # the formatter lays out every line
MOST_POSITIONS = 5  # of arguments in a call: the sixth has a name, or they are one value
MOST_LONG_CALLS = 15  # aim: 0; they are in fleet, the HTTP engine and chromadb's
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


@pytest.mark.parametrize("name", MODULES)
def test_rooms_are_small(name: str) -> None:
    assert len(MODULES[name].read_text(encoding="utf-8").splitlines()) <= 400


def statements(path: Path) -> int:
    """How many statements a file has; docstrings are none."""
    every = list(ast.walk(tree(path)))
    texts = [
        node
        for node in every
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ]
    return sum(isinstance(node, ast.stmt) for node in every) - len(texts)


def test_the_budget_of_statements() -> None:
    """Aims: 6,000 and 15,000. Who adds some takes others out, and lowers the figures above."""
    found = {"core": 0, "all": 0}
    for name, path in MODULES.items():
        found["all"] += statements(path)
        if house_of(name) != "programs" and not NOT_CORE & set(path.relative_to(ROOT).parts):
            found["core"] += statements(path)
    assert all(found[part] <= most for part, most in MOST_STATEMENTS.items()), found


def code_lines(path: Path) -> int:
    """Lines that are neither blank, nor a comment alone, nor of a docstring."""
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    told = set[int]()
    for node in ast.walk(tree(path)):
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            text = node.body[0]
            told |= set(range(text.lineno, (text.end_lineno or text.lineno) + 1))
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    return sum(line.strip()[:1] not in ("", "#") and at not in told for at, line in lines)


def test_the_engine_for_model_folders_is_small() -> None:
    """transformers does the work: what it lacks of an engine fits 200 lines."""
    path = MODULES["nlpu.engines.transformers_folder"]
    found = code_lines(path), len(path.read_text(encoding="utf-8").splitlines())
    assert found[0] <= MOST_FOLDER_CODE, f"{found[0]} lines, no blanks, comments, docstrings"
    assert found[1] <= MOST_FOLDER_LINES, f"{found[1]} lines in all"


def test_layout_is_the_formatters() -> None:
    """Tables of cases alone may be laid out by hand: those of the benchmark's sentences."""
    tables = {ROOT / "benchmarks/answers/checking_frames.py"}
    ours = {path for house in (*HOUSES, *OUTSIDE) for path in (ROOT / house).rglob("*.py")}
    mark = "# fmt" + ": "
    assert {path for path in ours if mark in path.read_text(encoding="utf-8")} <= tables


# They take what they hand on: any number of values, in its order.
HAND_ON = {"_row", "add_row", "given", "pack", "post", "spawn"}


def long_calls(source: str) -> list[str]:
    """Calls with more positions than a reader can count."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and len(node.args) > MOST_POSITIONS:
            called = ast.unparse(node.func)
            found += [called] if called.rpartition(".")[2] not in HAND_ON else []
    return found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("f(1, 2, 3, 4, 5)", []),
        ("a.f(1, 2, 3, 4, 5, 6)", ["a.f"]),
        ("f(1, 2, 3, 4, 5, six=6)", []),
        ("outside.post(settle, 1, 2, 3, 4, 5, 6)", []),
    ],
)
def test_a_long_call_is_found(source: str, found: list[str]) -> None:
    assert long_calls(source) == found


def test_few_calls_are_long() -> None:
    found = {name: long_calls(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}
    assert sum(map(len, found.values())) <= MOST_LONG_CALLS, {n: c for n, c in found.items() if c}


def test_few_files_are_long() -> None:
    long = [name for name, path in MODULES.items() if path.read_text().count("\n") > 250]
    assert len(long) <= MOST_LONG_FILES, sorted(long)


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
    *("nlpu.prompt.codec", "nlpu.prompt.complaint", "nlpu.prompt.convention"),
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


# -- the journal ---------------------------------------------------------------------------------

JOURNAL = [name for name in MODULES if name.startswith("nlpu.runtime.journal.")]
ROW_FUNCTIONS = {"checked", "lives_of", "follow"}


def test_the_journal_knows_neither_loop_nor_kernel() -> None:
    """Rows are kept, read and checked without either; neither do annotations name them."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    for name, path in MODULES.items():
        graph.add_edges_from((name, used) for used in imports(path) if used in MODULES)
    graph.add_nodes_from(MODULES)
    for name in [*JOURNAL, "nlpu.prompt.codec"]:
        inner = {name} | (nx.descendants(graph, name) if not name.endswith(".header") else set())
        for each in inner:  # a header describes a program, by what finds and starts programs
            loads = {line.split()[1] for line in _import_lines(MODULES[each])}
            assert not loads & {"asyncio", "nlpu.runtime.kernel"}, f"{name} needs {each}"


def _import_lines(path: Path) -> list[str]:
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line.startswith(("import ", "from "))]


def rows_by_number(source: str) -> list[str]:
    """Where a journal's row, or what it became, is read by the number of a field."""
    tree, rows = ast.parse(source), set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.For | ast.comprehension) and _gives_rows(node.iter):
            rows |= {part.id for part in ast.walk(node.target) if isinstance(part, ast.Name)}
        if isinstance(node, ast.arg) and node.annotation is not None:
            rows |= {node.arg} if ast.unparse(node.annotation) == "Row" else set()
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and _is_field(node.slice):
            base = node.value
            known = isinstance(base, ast.Name) and base.id in rows | {"end", "pulse"}
            known |= isinstance(base, ast.Attribute) and base.attr in ("end", "pulse")
            if known or (isinstance(base, ast.Subscript) and _gives_rows(base.value)):
                found.append(ast.unparse(node))
    return found


def _gives_rows(node: ast.AST) -> bool:
    calls = (each.func for each in ast.walk(node) if isinstance(each, ast.Call))
    names = {each.id for each in calls if isinstance(each, ast.Name)}
    attributes = {each.attr for each in ast.walk(node) if isinstance(each, ast.Attribute)}
    return "rows" in attributes or bool((names | attributes) & ROW_FUNCTIONS)


def _is_field(index: ast.AST) -> bool:
    """Whether it is a number from 1 on, counted from either end, or a part of the fields."""
    if isinstance(index, ast.Slice):
        return any(_is_field(end) for end in (index.lower, index.upper) if end is not None)
    if isinstance(index, ast.UnaryOp):
        index = index.operand
    return isinstance(index, ast.Constant) and isinstance(index.value, int) and index.value > 0


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("sum(row[5] for row in record.rows if row[0] == 'end')", ["row[5]"]),
        ("for each in checked(log):\n    each[2:4]", ["each[2:4]"]),
        ("def take(row: Row): return row[-1]", ["row[-1]"]),
        ("past.end[3] + end[4]", ["past.end[3]", "end[4]"]),
        ("log.rows[0][2] + len(log.rows[1:])", ["log.rows[0][2]"]),
        ("texts[5] + past.end.status[2:]", []),
    ],
)
def test_a_row_read_by_number_is_found(source: str, found: list[str]) -> None:
    assert sorted(rows_by_number(source)) == sorted(found)


def test_rows_are_read_in_one_place() -> None:
    for name, path in MODULES.items():
        if name not in JOURNAL:
            assert rows_by_number(path.read_text(encoding="utf-8")) == [], name


# -- what is private -------------------------------------------------------------------------------

# Python's own that have an underscore and are meant to be used.
MEANT = {"_asdict", "_current_frames", "_exit", "_fields", "_getframe", "_make", "_replace"}


def touched(source: str) -> list[str]:
    """Attributes with an underscore of what is neither this module's own nor meant to be used."""
    tree = ast.parse(source)
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef | FUNCTIONS)}
    own |= {node.value for node in ast.walk(tree) if _is_name(node)}  # slots, and getattr
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _is_self(node.value):
            own.add(node.attr)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            own.add(node.target.id)
    return [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr.startswith("_")
        if not node.attr.startswith("__") and node.attr not in own | MEANT
    ]


FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef


def _is_self(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def _is_name(node: ast.AST) -> TypeGuard[ast.Constant]:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("node._label", ["node._label"]),
        ("class A:\n    def go(self): self._x = 1\n\nother._x", []),
        ("row._replace(text=1)", []),
        ("run.state._begun.x", ["run.state._begun"]),
    ],
)
def test_a_private_attribute_is_found(source: str, found: list[str]) -> None:
    assert touched(source) == found


def test_nobody_touches_what_is_private_elsewhere() -> None:
    for name, path in MODULES.items():
        assert touched(path.read_text(encoding="utf-8")) == ALLOWED.get(name, []), name


ALLOWED = {"nlpu.runtime.drivers.mcp_child": ["process._transport"]}  # asyncio has no other
