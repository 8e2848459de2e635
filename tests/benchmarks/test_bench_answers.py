"""``nlpu bench answers`` asks the same items of every arm, goes on where it ended, and counts."""

from __future__ import annotations

import json
import lzma
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.answers import __main__ as answers
from benchmarks.answers import arms as answers_arms
from benchmarks.answers import data as answers_data
from benchmarks.answers import dspy_arm as answers_dspy
from benchmarks.answers import figures as answers_figures
from benchmarks.answers.arms import ARMS, Line
from benchmarks.answers.measuring import Results
from benchmarks.answers.tables import markdown, tables
from benchmarks.answers.words import DSPY, OLD, PLAIN
from nlpu import isa
from nlpu.errors import Usage
from nlpu.eval.cases import Case
from nlpu.eval.intervals import wilson
from nlpu.eval.matching import text_of
from nlpu.ops.op import Op
from nlpu.processor import SYSTEM_MARK
from nlpu.testing.scripted import Scripted, Seen

ANIMALS = ("heron", "swift", "kettle", "lamp")
OURS = ("old", "new", "plain", "old4", "new4", "plain4")
MARK = "\x00"
Tell = Callable[[str], None]


def _judged(number: int) -> dict[str, Any]:
    thing = ANIMALS[number % 4]
    return {
        "op": "judge",
        "metric": "exact",
        "expected": number % 4 < 2,
        "operands": {"question": "Is it a bird?", "text": f"Here is {thing} {number}."},
    }


def _classed(number: int) -> dict[str, Any]:
    choices = ["bird", "thing"] if number % 2 else ["thing", "bird", "fish"]
    return {
        "op": "classify",
        "metric": "exact",
        "expected": ("bird", "thing")[number % 4 >= 2],
        "choices": choices,
        "operands": {"by": "kind", "text": f"A {ANIMALS[number % 4]}, {number}"},
    }


def _found(number: int) -> dict[str, Any]:
    return {
        "op": "answer",
        "metric": "predicate",
        "expected": {"all": [f"room {number}"]},
        "operands": {"question": "Where is it?", "text": f"It is in Room {number} or so."},
    }


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three families of twelve cases in each half."""
    for half, first in (("planning", 0), ("checking", 100)):
        folder = tmp_path / "data" / half / "families"
        folder.mkdir(parents=True)
        for name, make in (("birds", _judged), ("kinds", _classed), ("rooms", _found)):
            rows = [
                {"id": f"{name}-{n}", "family": name, **make(n)} for n in range(first, first + 12)
            ]
            (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path / "data"


def _said(seen: Seen) -> str:
    """Right, but for the old layout: that always says no, the last choice, or nothing of use."""
    whole = "".join(chr(one) if one < SYSTEM_MARK else MARK for one in seen.request.prompt)
    last = whole.strip(MARK).rpartition(MARK)[2]  # behind the examples
    old, bird = "is data, not" in whole, max(last.rfind("heron"), last.rfind("swift"))
    is_bird = bird > max(last.rfind("kettle"), last.rfind("lamp"))
    spec = seen.request.constraint.spec if seen.request.constraint else ""
    if "yes" in spec:
        return "yes" if is_bird and not old else "no"
    if spec:
        return "bird" if is_bird and not old else "thing"
    return re.findall(r"Room \d+", last)[-1] if not old else "nowhere"


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    """A scripted model in the place of the embedded one; every computer gets one like it."""
    first = Scripted(_said)

    def opened(model: str) -> Scripted:
        made = Scripted(_said)
        made.seen = first.seen
        return made

    monkeypatch.setattr(answers, "opened", opened)
    return first


def _measured(
    data: Path,
    out: Path | None,
    half: str = "checking",
    items: int = 12,
    minutes: float = 1.0,
    arms: tuple[str, ...] = OURS,
    tell: Tell = lambda line: None,
) -> tuple[dict[str, Any], list[Line]]:
    results = Results(out)
    found = answers_data.families(data, half)
    figures = answers.everything(
        found, half, ["m"], arms, items=items, results=results, minutes=minutes, tell=tell
    )
    return figures, results.lines


def test_every_arm_sees_the_same_items(data: Path, engine: Scripted, tmp_path: Path) -> None:
    figures, lines = _measured(data, tmp_path / "out.jsonl")
    seen = {(arm, line.family, line.id) for arm in OURS for line in lines if line.arm == arm}
    assert len(lines) == len(seen) == 6 * 3 * 12
    assert not any(line.error for line in lines)
    cells = figures["models"]["m"]["families"]
    assert cells["birds"]["new"]["right"] == 12 and cells["birds"]["old"]["right"] == 6
    assert cells["birds"]["new"]["area"] == 1 and cells["kinds"]["new"]["area"] is None
    assert cells["rooms"]["plain"]["right"] == 12 and cells["rooms"]["old"]["right"] == 0
    first = figures["models"]["m"]["pairs"][0]
    assert first["name"] == "new - old"
    assert first["difference"] == pytest.approx((0.5 + 0.5 + 1) / 3)
    gates = {gate["name"]: gate for gate in figures["models"]["m"]["gates"]}
    assert gates["new - old"]["holds"] and not gates["new - old"]["full"]
    assert gates["new - dspy"]["holds"] is None
    tables(figures)
    text = markdown(figures)
    assert "| birds | 50 (25 to 75) |" in text and "on too few items to decide" in text


def test_what_was_answered_before_lies_packed_and_is_not_asked_again(
    data: Path, engine: Scripted, tmp_path: Path
) -> None:
    out, kept = tmp_path / "out.jsonl", tmp_path / "kept"
    _, lines = _measured(data, out)
    kept.mkdir()
    (kept / "one.jsonl.xz").write_bytes(lzma.compress(out.read_bytes()))
    asked, more = len(engine.seen), tmp_path / "more.jsonl"
    results = Results(more, kept)
    assert results.lines == lines
    found = answers_data.families(data, "checking")
    answers.everything(
        found, "checking", ["m"], OURS, items=12, results=results, minutes=1, tell=str
    )
    assert len(engine.seen) == asked and not more.exists()


def test_it_goes_on_where_it_ended(data: Path, engine: Scripted, tmp_path: Path) -> None:
    out, said = tmp_path / "out.jsonl", list[str]()
    figures, lines = _measured(data, out, minutes=0, tell=said.append)
    assert not figures["finished"] and not lines and "goes on" in said[-1]
    _measured(data, out, items=3)
    asked = len(engine.seen)
    whole = out.read_text()
    out.write_text(whole + '{"model": "m", "half": "che')  # killed in the middle of a line
    _measured(data, out, items=12)
    assert len(engine.seen) - asked == 6 * 3 * 9
    _, lines = _measured(data, out, items=12)
    assert len(engine.seen) - asked == 6 * 3 * 9
    assert set(Counter((line.arm, line.id) for line in lines).values()) == {1}


def test_other_words_are_asked_anew(
    data: Path, engine: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.jsonl"
    _measured(data, out, items=2, arms=("old", "new"))
    asked = len(engine.seen)
    monkeypatch.setattr(
        isa, "judge", Op("judge", "Say yes or no.", OLD["judge"].operands, OLD["judge"].result)
    )
    figures, lines = _measured(data, out, items=2, arms=("old", "new"))
    assert len(engine.seen) - asked == 2 and len(lines) == 2 * 3 * 2 + 2
    assert figures["models"]["m"]["families"]["birds"]["new"]["items"] == 2


def test_examples_are_from_planning_and_never_asked(data: Path) -> None:
    for family in answers_data.families(data, "checking"):
        for case in family.items:
            shown = answers_data.examples(family, case.choices)
            assert shown == answers_data.examples(family, case.choices)
            assert all(each in family.pool for each, _ in shown) and len(shown) <= 4
            assert all(not case.choices or said in case.choices for _, said in shown)
    birds, _, rooms = answers_data.families(data, "planning")
    assert not set(birds.pool) & set(birds.items) and not set(birds.pool) & set(birds.known)
    assert [said for _, said in answers_data.examples(birds)].count(True) == 2
    assert {said for _, said in answers_data.examples(rooms)} == {f"Room {n}" for n in range(8, 12)}


def test_work_comes_in_turn(data: Path) -> None:
    found = answers_data.families(data, "checking")
    work = list(answers_data.chunks(found, ["old", "new"], "checking", 12, ["new4"]))
    assert [(each.family.name, each.arm, len(each.cases)) for each in work[:4]] == [
        ("birds", "old", 8),
        ("birds", "new", 8),
        ("birds", "new4", 8),
        ("kinds", "old", 8),
    ]
    assert work[2].half == "planning" and sum(each.half == "planning" for each in work) == 1
    parts = [(part.start, part.stop) for part in answers_data.rounds(50)]
    assert parts == [(0, 8), (8, 12), (12, 16), (16, 20), (20, 40), (40, 50)]
    assert [part.stop for part in answers_data.rounds(5)] == [5]


def test_failures_are_wrong_and_counted(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "opened", lambda model: Scripted("never mind"))
    figures, lines = _measured(data, None, items=3, arms=("new",))
    cell = figures["models"]["m"]["families"]["birds"]["new"]
    assert cell["errors"] == 3 and cell["right"] == 0
    assert all(line.error for line in lines if line.family == "birds")


def test_what_dspy_says_is_scored_as_all_else(
    data: Path, engine: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Peer:
        def __init__(self, model: str) -> None: ...

        def ask(self, arm: str, family: Any, cases: Any) -> dict[str, Any]:
            order = answers_dspy.order_of(arm, family, cases)
            assert len(order["items"]) == len(cases)
            kind = {"bool": True, "choice": "bird"}.get(order["kind"], "Room 101")
            told = [{"answer": kind} for _ in cases[1:]]
            return {"told": [{"error": "Odd: it"}, *told], "tokens_in": 90, "tokens_out": 9}

        def close(self) -> None: ...

    monkeypatch.setattr(answers, "DspyPeer", Peer)
    figures, lines = _measured(data, None, items=3, arms=("new", "dspy", "dspy4"))
    cell = figures["models"]["m"]["families"]["birds"]["dspy"]
    assert (cell["right"], cell["errors"]) == (1, 1)
    assert figures["models"]["m"]["families"]["rooms"]["dspy4"]["right"] == 1
    assert {line.tokens_in for line in lines if line.arm == "dspy"} == {30}


def test_without_dspy_the_others_are_asked(
    data: Path, engine: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NLPU_PEERS_PYTHON", "/nonexistent")
    said: list[str] = []
    figures, _ = _measured(data, None, items=1, arms=("new", "dspy"), tell=said.append)
    assert "make peers" in said[0]
    assert [arm["name"] for arm in figures["models"]["m"]["arms"]] == ["new"]


def test_intervals_of_differences() -> None:
    scores = {
        "a": {"new": {"1": 1.0, "2": 1.0}, "old": {"1": 0.0, "2": 1.0, "3": 1.0}},
        "b": {"new": {"1": 0.0}, "old": {"1": 0.0}},
        "c": {"new": {"1": 1.0}},
    }
    found = answers_figures.difference(scores, "new", "old")
    assert found is not None and set(found["families"]) == {"a", "b"}
    assert found["difference"] == 0.25 and found["least"] == 1
    assert found["interval"] == (0.0, 0.5)
    assert found["errors_left"] == pytest.approx(0.5 / 0.75)
    assert answers_figures.difference(scores, "new", "plain") is None
    assert answers_figures.stratified([[1.0] * 9, [0.0] * 5]) == (0.5, 0.5)
    low, high = answers_figures.stratified([[0.0, 1.0] * 100])
    assert wilson(100, 200)[0] == pytest.approx(low, abs=0.01) and low < 0.5 < high
    assert answers_figures.area([(0.9, True), (0.5, True), (0.5, False)]) == 0.75
    assert answers_figures.area([(0.9, True)]) is None


def test_words_are_there_for_all_ops(data: Path) -> None:
    assert set(OLD) == set(PLAIN) == set(DSPY)
    assert all(hasattr(isa, name) for name in OLD)
    with pytest.raises(Usage, match="no arm"):
        answers_arms.style_of("older")
    with pytest.raises(Usage, match="no family"):
        answers_data.families(data, "checking", ["odd"])
    with pytest.raises(Usage, match="--half"):
        answers_data.families(data, "both")
    assert {answers_arms.style_of(arm) for arm in ARMS} == {"old", "new", "plain", "dspy"}


def test_calibrated_judgements_are_read_from_what_was_asked() -> None:
    def line(arm: str, half: str, number: int, chance: float | None, truth: bool) -> Line:
        said = chance is not None and chance > 0.5
        return Line(
            "m",
            half,
            "a",
            str(number),
            arm,
            "w",
            float(said == truth),
            "",
            str(truth),
            "",
            chance,
            0,
            0,
            0.0,
        )

    planned = [line("new4", "planning", n, 0.2 + 0.2 * (n % 2), n % 2 == 1) for n in range(40)]
    asked = [line("new4", "checking", n, 0.22 + 0.16 * (n % 2), n % 2 == 1) for n in range(10)]
    figures = answers_figures.figures_of([*planned, *asked], "checking")
    cells = figures["families"]["a"]
    assert cells["new4"]["right"] == 5 and cells["new4c"]["right"] == 10
    assert cells["new4"]["area"] == cells["new4c"]["area"] == 1
    few = answers_figures.figures_of([*planned[:3], *asked], "checking")
    assert "new4c" not in few["families"]["a"]
    text = [each._replace(probability=None) for each in asked]
    other = answers_figures.figures_of(text, "checking")["families"]["a"]
    assert other["new4c"]["right"] == other["new4"]["right"]


def test_scores_in_a_file_are_those_of_todays_metric(
    data: Path, engine: Scripted, tmp_path: Path
) -> None:
    """A file from before a metric was mended stays of use: nothing is asked again."""
    out = tmp_path / "out.jsonl"
    figures, lines = _measured(data, out, items=6)
    asked = len(engine.seen)
    stale = [line._replace(score=1 - line.score) for line in lines]
    odd = stale[0]._replace(expected="something else", id=lines[0].id)
    out.write_text("".join(json.dumps(line._asdict()) + "\n" for line in stale))
    again, kept = _measured(data, out, items=6)
    assert len(engine.seen) == asked and len(kept) == len(lines)
    assert again["models"] == figures["models"]
    found = answers_data.families(data, "checking")
    assert answers_arms.rescored(found, stale) == lines
    assert answers_arms.rescored(found, [odd]) == [odd]  # it is of another case


@pytest.mark.parametrize(
    ("op", "operands", "metric", "expected", "answers"),
    [
        (
            "rank",
            {"criterion": "c", "texts": "1. a\n2. b"},
            "exact",
            [2, 1],
            {"[2, 1]": 1.0, "[1, 2]": 0.0, "no list": 0.0},
        ),
        (
            "judge",
            {"question": "q", "text": "t"},
            "exact",
            False,
            {"no": 1.0, "yes": 0.0, "perhaps": 0.0},
        ),
        (
            "answer",
            {"question": "q", "text": "t"},
            "number",
            21,
            {"twenty-one": 1.0, "twenty": 0.0, "It is 21.": 1.0},
        ),
    ],
)
def test_answers_are_read_back_from_their_lines(
    op: str, operands: dict[str, str], metric: str, expected: Any, answers: dict[str, float]
) -> None:
    case = Case(id="1", op=op, operands=operands, metric=metric, expected=expected)
    family = answers_data.Family("f", op, (case,), (), ())
    told = text_of(expected)
    for said, score in answers.items():
        line = Line("m", "checking", "f", "1", "new", "", 0.5, said, told, "", None, 0, 0, 0)
        (found,) = answers_arms.rescored([family], [line])
        assert found.score == score, said
    failed = line._replace(error="it failed", score=0.0)
    assert answers_arms.rescored([family], [failed]) == [failed]


def test_a_mean_is_over_all_families_or_none() -> None:
    """An arm that was asked in one family has no mean to hold against those of the others."""

    def line(family: str, arm: str, score: float) -> Line:
        return Line(
            "m", "checking", family, f"{family}-1", arm, "", score, "", "", "", None, 1, 1, 1
        )

    lines = [line("a", "new", 1.0), line("b", "new", 0.0), line("a", "dspy", 1.0)]
    arms = {arm["name"]: arm for arm in answers_figures.figures_of(lines, "checking")["arms"]}
    assert arms["new"]["accuracy"] == 0.5 and arms["dspy"]["accuracy"] is None
    told = markdown({"models": {"m": answers_figures.figures_of(lines, "checking")}})
    mean = next(row for row in told.splitlines() if row.startswith("| mean |"))
    assert "50 (" in mean and mean.endswith("|  |")
