"""The cases of ``benchmarks/answers``: enough of each, in their form, none in both halves."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks.answers.check_cases import OPS, checked
from benchmarks.answers.data import HALVES
from nlpu.eval.cases import cases_of
from nlpu.eval.questions import questions
from nlpu.runtime.terminal.eval.subjects import standard

PLACE = Path(__file__).parents[2] / "benchmarks" / "answers"


def files(half: str, kind: str) -> list[Path]:
    return sorted((PLACE / half / kind).glob("*.jsonl"))


def asked(half: str) -> Counter[str]:
    """What the cases of a half ask, whatever its case, blanks and signs."""
    found: Counter[str] = Counter()
    for path in (PLACE / half).rglob("*.jsonl"):
        for line in path.read_text("utf-8").splitlines():
            case: dict[str, Any] = json.loads(line)
            texts = " | ".join(case["operands"].values())
            words = " ".join(re.findall(r"\w+|\|", texts.casefold()))
            found[f"{case['op']}: {words}"] += 1
    return found


@pytest.mark.parametrize("half", HALVES)
def test_there_are_enough_cases_of_each_op_and_family_and_all_have_their_form(half: str) -> None:
    assert [path.stem for path in files(half, "tables")] == sorted(OPS)
    ids: set[str] = set()
    seen: set[str] = set()
    for kind, least in (("tables", 60), ("families", 200)):
        for path in files(half, kind):
            cases, faults = checked(path, ids, seen)
            assert len(cases) >= least and not faults, (path.name, faults[:3])


def test_no_case_is_in_both_halves() -> None:
    planning, checking = map(asked, HALVES)
    assert not planning.keys() & checking.keys()


@pytest.mark.parametrize("half", HALVES)
def test_they_can_be_asked_of_the_ops_of_the_set(half: str) -> None:
    ops = standard()
    for path in (*files(half, "tables"), *files(half, "families")):
        cases = cases_of(path)
        assert len(questions(ops[cases[0].op], cases)) == len(cases)
