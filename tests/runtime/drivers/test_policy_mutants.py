"""The tests of the policy are as good as what they notice: every rule turned round or left out.

The mutants are made and run by ``mutants``, a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from terminal_fixture import ROOT, environment

CAUGHT = 0.95
EQUIVALENT = {  # mutants that label as the original does: function, end of the name, why
    ("_labels", "True: False"): "zip(strict=) of two lists that are made together",
    ("_settled_by", "True: False"): "what was approved of is asked for only of harmless calls",
    ("nlpu.label.join", "if False"): "the short cut gives what the table gives",
    ("Scope.saw", "_saw_failing(node): if True"): "what has not failed is no failure there, either",
    ("Scope.saw", "_saw_failing(node): if False"): "about divergences, which no program may catch",
    ("Scope.saw", "_error is not None: compare by Is"): "as above",
    ("Scope.saw", "_saw_failing(node): left out"): "as above",
    ("Scope.saw", "control.node is node: return: if False"): "seen twice is seen once",
    ("Scope.saw", "return: left out"): "as above",
    ("Scope.saw", "None if node.control_cell is contr: left out"): "cells are for spans and edges",
    ("Scope.saw", "node.control_cell is control else control: if True"): "as above",
    ("Scope.saw", "node.control_cell is control else control: if False"): "as above",
    ("Scope.saw", "node.control_cell is control: compare by IsNot"): "as above",
    ("Scope.child", "scope.control = node.control_cell: left out"): "as above",
    ("Scope.child", "scope.given = node.work_operands: left out"): "for reports",
    ("Scope.child", "self.children.append(scope): left out"): "for reports",
    ("Scope.child", "scope.label = node._label: left out"): "the parent's label is no better",
    ("Scope.child", "scope.saw(grown_from): if False"): "for edges: its label is seen as well",
    ("Scope.child", "scope.saw(grown_from): left out"): "as above",
    ("_scope_of_growth", "and source.grown_values i: if False"): "as above",
    ("_scope_of_growth", "source.grown_values is None: compare by IsNot"): "as above",
    ("_scope_of_growth", "source.inner_scope is not No: if False"): "its own label has it, too",
    ("Scope.see", "join(label, self.label): first alone"): "one more sight, of the same label",
    ("Scope.see", "self.run.lowered = True: left out"): "for warnings",
    ("Scope.see", "True: False"): "as above",
    ("Scope.see", "check_caches(): left out"): "as above",
}


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_mutants_of_the_policy_are_caught() -> None:
    parts = 2 * (os.cpu_count() or 1)  # mutants that hang take no processor
    with ThreadPoolExecutor(parts) as pool:
        mutants: dict[str, int] = {}
        for codes in pool.map(run_part, (f"{part + 1}/{parts}" for part in range(parts))):
            mutants |= codes
    real = {name: code for name, code in mutants.items() if not is_equivalent(name)}
    survivors = sorted(name for name, code in real.items() if code == 0)
    assert len(real) > 200
    assert 1 - len(survivors) / len(real) >= CAUGHT, survivors


def run_part(part: str) -> dict[str, int]:
    """The tests' exit code by mutant."""
    ended = subprocess.run(
        [sys.executable, str(Path(__file__).parents[2] / "mutants.py"), part],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    codes: dict[str, int] = json.loads(ended.stdout)
    assert {codes.pop(name) for name in list(codes) if name.endswith("as it is")} == {0}, (
        ended.stderr
    )
    return codes


def is_equivalent(name: str) -> bool:
    place = name.partition(":")[0]
    return any(place.endswith(function) and name.endswith(end) for function, end in EQUIVALENT)
