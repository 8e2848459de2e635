"""The journal needs no kernel, its rows are read there alone, and what is private is let alone."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TypeGuard

import networkx as nx
import pytest
from house_kit import MODULES, imports

# -- the journal ---------------------------------------------------------------------------------

JOURNAL = [name for name in MODULES if name.startswith("nlpu.runtime.journal.")]
ROW_FUNCTIONS = {"checked", "lives_of", "follow"}


def test_the_journal_knows_neither_loop_nor_kernel() -> None:
    """Rows are kept, read and checked without either; neither do annotations name them."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    for name, path in MODULES.items():
        graph.add_edges_from((name, used) for used in imports(path) if used in MODULES)
    graph.add_nodes_from(MODULES)
    for name in [*JOURNAL, "nlpu.prompt.codec", "nlpu.prompt.decode", "nlpu.prompt.messages"]:
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
