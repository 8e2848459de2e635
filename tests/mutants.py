"""Mutants of the policy and of what joins labels, each held against the tests of both.

Run as a program it prints, as JSON, the tests' exit code for each mutant: 0 is one that nobody saw.
It takes a part of them ("2/4": the second of four) or those with a text in their name.
A mutant is a function of ours with one rule or comparison of its syntax tree turned round or left
out, put in its place (``__code__``) in a forked process; or a table with one entry changed.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import os
import signal
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from copy import deepcopy
from itertools import chain
from typing import Any, NamedTuple

import label_kit
import pytest

FUNCTIONS = {
    "nlpu.runtime.drivers.policy": ["is_trusted", "objections", "_may_read", "_readers"],
    "nlpu.runtime.drivers.dispatch": [
        "_ready",
        "_labels",
        "_weighed",
        "_person",
        "_approved_by",
        "_settled_by",
        "_refusal",
        "_settle",
    ],
    "nlpu.runtime.drivers.driver": ["Driver.role_of"],
    "nlpu.label": ["join", "_join"],
    "nlpu.value": ["Value.__init__", "see"],
    "nlpu.runtime.graph.graph": ["Graph.settle", "Graph.fail"],
    "nlpu.runtime.graph.node": [
        "Scope.saw",
        "Scope.see",
        "Scope.child",
        "Node.values_read",
        "Node.lower_label",
        "Node.label_given",
        "Node.label_read",
    ],
    "nlpu.runtime.graph.kinds": ["_scope_of_growth"],
}
SUITES = {
    "nlpu.runtime.drivers": [
        "runtime/drivers/test_policy.py",
        "runtime/drivers/test_drivers.py",
        "runtime/drivers/test_drivers_contained.py",
        "runtime/drivers/test_odd_answers.py",
        "runtime/drivers/test_repeating.py",
    ],
    "": [
        "nlpu/test_labels.py",
        "runtime/graph/test_label_paths.py",
        "terminal/test_show_labels.py",
    ],
}
EVERY = 9  # of the cases of label paths: one is enough to see a loss
PATIENCE_S = 300
ORDER = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
TURNED = {**ORDER, ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Gt: ast.LtE, ast.GtE: ast.Lt}


class Mutant(NamedTuple):
    """What is changed, and how to change it in this process."""

    name: str
    put: Callable[[], None]


def variants(node: ast.AST) -> Iterator[tuple[str, ast.AST | None]]:  # noqa: C901
    """What may stand in a node's place; None: nothing."""
    match node:
        case ast.Compare(ops=[op]):
            for other in {TURNED[type(op)], ORDER[type(op)]}:
                yield f"compare by {other.__name__}", _changed(node, ops=[other()])
        case ast.BoolOp(op=op, values=values):
            yield "and/or", _changed(node, op=ast.Or() if isinstance(op, ast.And) else ast.And())
            for index in range(len(values)):
                rest = [*values[:index], *values[index + 1 :]]
                yield f"without part {index + 1}", _changed(node, values=rest)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield "without not", operand
        case ast.If(test=test) | ast.IfExp(test=test):
            for truth in (True, False):
                yield f"if {truth}", _changed(node, test=ast.Constant(truth))
            del test
        case ast.Constant(value=bool() as truth):
            yield f"{not truth}", ast.Constant(not truth)
        case ast.Call(func=ast.Name(id="join"), args=[left, right]):
            yield "first alone", left
            yield "second alone", right
        case ast.Call(func=ast.Name(id="min")):
            yield "max", _changed(node, func=ast.Name("max", ast.Load()))
        case ast.BinOp(op=ast.BitAnd()):
            yield "union", _changed(node, op=ast.BitOr())
        case ast.Expr(value=ast.Call()) | ast.Raise() | ast.Return() | ast.AugAssign():
            yield "left out", None
        case ast.Assign(targets=[ast.Attribute()]):
            yield "left out", None


def _changed(node: ast.AST, **fields: Any) -> ast.AST:
    copy = deepcopy(node)
    for name, value in fields.items():
        setattr(copy, name, value)
    return copy


class Replace(ast.NodeTransformer):
    """The tree with variant ``which`` at its ``place``-th node."""

    def __init__(self, place: int, which: int) -> None:
        self.place, self.which, self.here = place, which, -1

    def visit(self, node: ast.AST) -> Any:
        self.here += 1
        if self.here == self.place:
            other = list(variants(node))[self.which][1]
            return ast.copy_location(other or ast.Pass(), node)
        return self.generic_visit(node)


def preorder(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a tree in the order in which ``Replace`` counts them."""
    yield node
    for child in ast.iter_child_nodes(node):
        yield from preorder(child)


def of_function(module: Any, path: str) -> Iterator[Mutant]:
    """Every mutant of one function."""
    holder = module
    for part in path.split("."):
        holder = getattr(holder, part)
    function = inspect.unwrap(holder)
    tree = ast.parse(
        f"from __future__ import annotations\n{textwrap.dedent(inspect.getsource(function))}"
    )
    definition = tree.body[1]
    assert isinstance(definition, ast.FunctionDef)
    definition.decorator_list = []
    first = function.__code__.co_firstlineno
    nodes = list(preorder(tree))
    for place, node in enumerate(nodes):
        for which, (what, _) in enumerate(variants(node)):
            mutated = ast.fix_missing_locations(Replace(place, which).visit(deepcopy(tree)))
            line = first + node.lineno - 2  # type: ignore[attr-defined]
            shown = " ".join(ast.unparse(node).split())[:60]
            name = f"{module.__name__}.{path}:{line}: {shown}: {what}"
            yield Mutant(name, _putting(holder, function, mutated, path.rpartition(".")[2]))


def _putting(holder: Any, function: Any, tree: ast.AST, name: str) -> Callable[[], None]:
    def put() -> None:
        code = compile(tree, function.__code__.co_filename, "exec")  # type: ignore[arg-type]
        scratch = dict(function.__globals__)
        exec(code, scratch)
        function.__code__ = scratch[name].__code__
        if hasattr(holder, "cache_clear"):
            holder.cache_clear()

    return put


def of_tables() -> Iterator[Mutant]:
    """Every mutant of the policy's and the dispatcher's tables: one entry more or less."""
    policy = importlib.import_module("nlpu.runtime.drivers.policy")
    dispatch = importlib.import_module("nlpu.runtime.drivers.dispatch")
    driver = importlib.import_module("nlpu.runtime.drivers.driver")
    for effect in driver.EFFECTS:
        for role in driver.ROLES:
            table = {**policy._NEEDS_TRUST, effect: policy._NEEDS_TRUST[effect] ^ {role}}
            yield _setting(policy, "_NEEDS_TRUST", table, f"{effect}, {role}")
        yield _setting(policy, "_NEEDS_SCOPE", policy._NEEDS_SCOPE ^ {effect}, effect)
        yield _setting(dispatch, "_HARMLESS", dispatch._HARMLESS ^ {effect}, effect)


def _setting(module: Any, name: str, table: Any, what: str) -> Mutant:
    return Mutant(f"{module.__name__}.{name}: {what}", lambda: setattr(module, name, table))


def all_mutants() -> list[Mutant]:
    """Every mutant, in a fixed order."""
    found = list(of_tables())
    for name, paths in FUNCTIONS.items():
        module = importlib.import_module(name)
        for path in paths:
            found += of_function(module, path)
    return found


def arguments(files: list[str]) -> list[str]:
    """What pytest is told."""
    here = os.path.dirname(__file__)
    return ["-xp", "no:cacheprovider", "--timeout=20", *(os.path.join(here, f) for f in files)]


def outcome(name: str, put: Callable[[], None], output: int | None = None) -> int:
    """The exit code of the suite in a process where ``put`` has been called; 1 if it hangs.

    ``output`` is the file that is told what the suite prints; without one it is lost.
    """
    files = next(files for start, files in SUITES.items() if name.startswith(start))
    child = os.fork()
    if child == 0:
        signal.alarm(PATIENCE_S)  # ends the process
        if output is None:
            output = os.open(os.devnull, os.O_WRONLY)
        os.dup2(output, 1)
        os.dup2(output, 2)
        code = 1
        try:
            put()
            code = pytest.main(arguments(files))
        finally:
            os._exit(int(code))
    _, status = os.waitpid(child, 0)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 1


def chosen(mutants: list[Mutant], what: str = "") -> list[Mutant]:
    """The mutants of a part, or of a name."""
    part, slash, parts = what.partition("/")
    if slash:
        return mutants[int(part) - 1 :: int(parts)]
    return [mutant for mutant in mutants if what in mutant.name]


if __name__ == "__main__":
    label_kit.PAIRS, label_kit.CASES = label_kit.PAIRS[::EVERY], 0
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):  # what is imported is forked
        pytest.main(["--collect-only", *arguments([*chain(*SUITES.values())])])
    codes = {f"{start or 'nlpu'}: as it is": outcome(start, lambda: None, 2) for start in SUITES}
    for mutant in chosen(all_mutants(), *sys.argv[1:]):
        codes[mutant.name] = outcome(mutant.name, mutant.put)
        print(codes[mutant.name], mutant.name, file=sys.stderr, flush=True)
    print(json.dumps(codes))
