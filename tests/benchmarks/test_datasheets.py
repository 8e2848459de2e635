"""Datasheets: what is measured beside the draws, and two of them side by side. Never timed."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any, Literal

import pytest
from kit import computer, execute
from terminal_fixture import Terminal, nlpu

from benchmarks.twelve_ops import cases, topic
from nlpu import Case, Scripted, nlop
from nlpu.errors import Usage
from nlpu.eval.bounds import bounded
from nlpu.eval.datasheet import CaseDraws, Datasheet, OpSheet, sheet_in
from nlpu.eval.speed import Pace, Reading
from nlpu.runtime.bench.paces import LEVELS, reading_of, speed_of
from nlpu.runtime.bench.plots import draw
from nlpu.runtime.bench.side_by_side import side_by_side, tables
from nlpu.runtime.bench.throughput_correct import Wanted, measure
from nlpu.runtime.bench.throughput_correct import tables as correct_tables
from nlpu.runtime.eval.planning import draw_sheet
from nlpu.testing.scripted import Say, Seen
from nlpu.types.result import choices_of

__all__ = ["nlpu"]


@nlop
def colour(text: str) -> Literal["red", "green", "blue"]:
    """Which colour is it?"""


@nlop
def so(text: str) -> bool:
    """Is it so?"""


CASES = tuple(
    Case(id=str(n), op="colour", operands={"text": f"case {n}"}, expected="red") for n in range(12)
)


def sheet(
    model: str, right: int = 60, cases: int = 60, digest: str = "", **facts: Any
) -> Datasheet:
    """Of a model that has so many cases right, in every draw."""
    mine = OpSheet(
        op="colour",
        digest=digest or colour.digest.hex(),
        temperature=0.7,
        tokens=(90.2, 1.4),
        cases=tuple(
            CaseDraws(id=str(n), draws=(0,) * 5, right=(0,) if n < right else (), once=0)
            for n in range(cases)
        ),
        **facts,
    )
    return Datasheet(model=model, ops={"colour": mine}, engine="local")


PACE = Pace(
    at_once=8, in_flight=4, calls=8, calls_per_s=10.0, tokens_per_s=50.0, p50_s=0.4, p95_s=0.5
)


# -- the interval of a draw ------------------------------------------------------------------------


def test_alike_cases_show_no_more_than_their_number() -> None:
    assert bounded([1.0] * 60) == (pytest.approx(0.925, abs=0.001), 1.0)
    assert bounded([0.0] * 5)[1] > 0.6 and bounded([]) == (0.0, 1.0)
    low, high = bounded([0.5] * 20)
    assert low < 0.3 and high > 0.7
    low, high = sheet("m").ops["colour"].interval
    assert low < 0.93 and high == 1.0


@pytest.mark.parametrize("count", [3, 10, 40])
def test_it_holds_the_true_share_however_few_cases(count: int) -> None:
    dice = Random(count)
    for true, (alpha, beta) in ((0.9, (0.9, 0.1)), (0.5, (2.0, 2.0)), (0.98, (9.8, 0.2))):
        held = 0
        for _ in range(300):
            low, high = bounded([dice.betavariate(alpha, beta) for _ in range(count)])
            held += low <= true <= high
        assert held >= 285


# -- speed -----------------------------------------------------------------------------------------


def test_an_op_is_asked_at_1_8_and_32_at_once() -> None:
    engine = Scripted("red", max_in_flight=16, latency_s=1.0)
    with computer(engine) as machine:
        found = speed_of(machine, colour, CASES)
    assert [pace.at_once for pace in found["paces"]] == list(LEVELS) == [1, 8, 32]
    assert [pace.in_flight for pace in found["paces"]] == [1, 8, 16]
    assert [pace.calls for pace in found["paces"]] == [8, 8, 32]
    assert {(pace.p50_s, pace.p95_s) for pace in found["paces"]} == {(1.0, 1.0)}
    assert all(pace.nlops_per_s == pace.tokens_per_s / 100 > 0 for pace in found["paces"])
    assert len(engine.seen) == 8 + 8 + 8 + 32


def test_whether_it_repeats_itself_alone_and_in_a_crowd() -> None:
    """One that gives another answer where many are asked at once, one that never does."""
    order = iter(range(1000))

    def crowded(seen: Seen) -> str:
        return "red" if next(order) < 24 else "blue"  # the last 32 come at once

    for script, alone, crowd in ((crowded, 8, 0), ("red", 8, 8)):
        with computer(Scripted(script)) as machine:
            found = speed_of(machine, colour, CASES)["repeats"]
        assert (found.cases, found.alone, found.crowd, found.crowd_of) == (8, alone, crowd, 32)


def test_reading_is_measured_where_the_window_has_room() -> None:
    def read(seen: Seen) -> Say:
        words = seen.operands["text"].split()
        return Say("yes", seconds=4.0 if words[0].isdigit() else 1.0)  # its own words first: cold

    with computer(Scripted(read)) as machine:
        found = reading_of(machine)
    assert found is not None and found.tokens == 500
    assert (found.tokens_per_s, found.shared_prefix) == (125.0, 4.0)
    with computer(Scripted("yes", window=100)) as machine:
        assert reading_of(machine) is None


def test_the_scheduler_reads_how_long_answers_are() -> None:
    estimates = sheet("m").estimates
    assert estimates == {"colour": 2}
    run = execute(lambda: colour("x").value, engine="red", estimates=estimates)
    assert run.result == "red"


# -- side by side ----------------------------------------------------------------------------------


def rows(*sheets: Datasheet, target: float = 0.9) -> dict[str, Any]:
    return {row["model"]: row for row in side_by_side(sheets, target)["rows"]}


def test_correct_calls_are_those_of_a_vote_that_reaches_the_target() -> None:
    once = tuple(
        case.model_copy(update={"once": 1 if n < 12 else 0, "draws": (0, 0, 0, 0)})
        for n, case in enumerate(sheet("m").ops["colour"].cases)
    )
    votes = sheet("v", paces=(PACE,))
    shaky = votes.ops["colour"].model_copy(update={"cases": once})
    found = rows(votes, votes.model_copy(update={"model": "w", "ops": {"colour": shaky}}))
    assert (found["v"]["correct_per_s"], found["v"]["correct_per_s_at_target"]) == (10.0, 10.0)
    assert found["w"]["correct_per_s"] == pytest.approx(8.0)  # a fifth is wrong
    assert found["w"]["correct_per_s_at_target"] == 5.0  # two draws for each
    assert found["w"]["route"] == "ahead by 2" and found["w"]["seconds_for_1000"] == 200.0
    low = rows(sheet("x", right=40, paces=(PACE,)))["x"]
    assert low["correct_per_s_at_target"] is None and low["route"] == "0.53 is shown"
    assert rows(sheet("y", cases=20))["y"]["route"] == "needs 36 cases"


def test_two_models_are_compared_on_the_same_cases_and_words() -> None:
    one, other = sheet("a", right=30), sheet("b", right=54)
    (found,) = side_by_side([one, other], 0.9)["differences"]
    assert found["difference"] == pytest.approx(0.4) and found["cases"] == 60
    assert 0.2 < found["interval"][0] < 0.4 < found["interval"][1] < 0.6
    (found,) = side_by_side([one, sheet("c", digest="ff")], 0.9)["differences"]
    assert found["cases"] == 0


def test_files_of_one_model_are_one_sheet_as_far_as_they_can() -> None:
    one = sheet("m")
    more = one.model_copy(update={"ops": {"other": one.ops["colour"]}})
    assert len(side_by_side([one, more], 0.9)["models"]) == 1
    for apart in (one, more.model_copy(update={"convention": "1"})):
        assert len(side_by_side([one, apart], 0.9)["models"]) == 2


def test_what_older_sheets_do_not_tell_is_not_made_up(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    old = json.loads(sheet("old").model_dump_json())
    for name in ("window", "reading"):
        del old[name]
    for name in ("paces", "repeats"):
        del old["ops"]["colour"][name]
    for case in old["ops"]["colour"]["cases"]:
        del case["asked"]
    (tmp_path / "old.json").write_text(json.dumps(old))
    assert sheet_in(tmp_path / "old.json").digest() == "25adb89fda2d4f8d6b5aca6af98c3a89"
    twin = sheet("old", paces=(PACE,))
    figures = {"bench": "datasheets", **side_by_side([sheet_in(tmp_path / "old.json"), twin], 0.9)}
    tables(figures)
    told = capsys.readouterr().out
    assert "old (1: local): engine local, convention -, weights -, window -, reads -" in told
    assert "colour: old (2: local) less old (1: local): +0 points" in told
    pytest.importorskip("matplotlib")
    draw(figures, tmp_path / "sheets.png")
    assert (tmp_path / "sheets.png").read_bytes().startswith(b"\x89PNG")


# -- correct calls ---------------------------------------------------------------------------------


def test_correct_calls_are_counted_as_they_come(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sheet.json"
    known = sheet("scripted").ops["colour"]
    once = tuple(case.model_copy(update={"once": 1}) for case in known.cases)
    mine = known.model_copy(update={"cases": once})
    path.write_text(Datasheet(model="scripted", ops={"colour": mine}).model_dump_json())

    def script(seen: Seen) -> str:
        return "red" if seen.request.sampling.temperature else "green"

    with computer(Scripted(script)) as machine:
        figures = measure(machine, colour, CASES, Wanted("colour", path, 0.9), (4,))
        single, voted = figures["rows"]
        assert (single["right"], single["correct_per_s"], single["calls_a_case"]) == (0, 0, 1)
        assert (voted["right"], voted["calls_a_case"]) == (1, 2)
        assert voted["correct_per_s"] == pytest.approx(voted["calls_per_s"] / 2)
        out = measure(machine, colour, CASES, Wanted("colour", path, 0.97), (4,))
        assert (out["reached"], len(out["rows"])) == (False, 1)
        for each in (figures, out):
            correct_tables({**side_by_side([], 0.9), "engine": "scripted", **each})
    told = capsys.readouterr().out
    assert "0.9 is reached ahead by 2" in told and "0.97 is out of reach (needs 122 cases)" in told
    with computer(Scripted("red", model="other")) as machine, pytest.raises(Usage, match="'other'"):
        measure(machine, colour, CASES, Wanted("colour", path, 0.9), (4,))


# -- from a terminal -------------------------------------------------------------------------------


def test_a_sheet_is_made_and_put_beside_another(nlpu: Terminal, tmp_path: Path) -> None:
    one, other, cut = (tmp_path / f"{name}.json" for name in ("one", "other", "cut"))
    ended = nlpu(
        "bench", "datasheet", "judge", "--engine", "scripted", "--draws", "2", "--output", str(one)
    )
    assert ended.code == 0 and "judge: at so many at once" in ended.out
    assert "answers are the same alone, 4 with 32 at once" in ended.out
    made = sheet_in(one)
    assert made.window and made.reading and len(made.ops["judge"].paces) == 3
    other.write_text(one.read_text().replace('"model": "scripted"', '"model": "b"'))
    ended = nlpu("bench", "datasheet", "--compare", str(one), str(other), "--target", "0.5")
    assert ended.code == 0 and "judge: b less scripted: +0 points" in ended.out
    cut.write_text(one.read_text()[:-300])
    for words, says in (
        (("--compare", str(one), str(cut)), "cut.json is no datasheet"),
        (("--compare", str(one), "--target", "1"), "target"),
        (("judge", "--plot", str(tmp_path / "a.png")), "--compare"),
    ):
        ended = nlpu("bench", "datasheet", *words)
        assert ended.code == 2 and says in ended.err
    for words in (
        ("--op", "judge"),
        ("--sheet", str(one)),
        ("--op", "judge", "--sheet", str(one), "--profile", "judge"),
    ):
        ended = nlpu("bench", "throughput", *words)
        assert ended.code == 2 and "go together" in ended.err


def test_a_sheet_can_be_made_without_its_speed(nlpu: Terminal) -> None:
    ended = nlpu(
        "bench", "datasheet", "judge", "--engine", "scripted", "--draws", "1", "--no-speed"
    )
    assert ended.code == 0 and "at so many at once" not in ended.out


@pytest.mark.parametrize("declared", ["@nlop", "@nlop(reliability=0.9)"])
def test_a_sheet_of_an_op_is_the_same_whatever_is_planned_from_it(
    tmp_path: Path, nlpu: Terminal, declared: str
) -> None:
    (tmp_path / "mine.py").write_text(
        f"from nlpu import nlop\n\n{declared}\ndef so(text: str) -> bool:\n"
        '    """Is it so?"""\n\nCASES = [({"text": f"t{n}"}, True) for n in range(6)]\n'
    )
    ended = nlpu(
        "bench",
        "datasheet",
        f"{tmp_path / 'mine.py'}:so",
        "--engine",
        "scripted",
        "--draws",
        "2",
        "--output",
        str(tmp_path / "so.json"),
    )
    assert ended.code == 0, ended.err
    mine = sheet_in(tmp_path / "so.json").ops["so"]
    assert len(mine.cases) == 6 and [pace.calls for pace in mine.paces] == [6, 8, 32]
    assert mine.digest == so.digest.hex()
    case = Case(operands={"text": "t"}, expected=True)
    drawn = execute(draw_sheet, so.using(reliability=0.9), [case], 2)
    assert drawn.result.digest == mine.digest


def test_readings_say_what_they_are() -> None:
    said = str(Reading(tokens=500, tokens_per_s=1234.5, shared_prefix=3.21))
    assert said == (
        "reads 1,234 tokens a second; of 500 tokens whose beginning was read before, a call is "
        "3.2 times as fast"
    )


@pytest.mark.parametrize(
    ("place", "given", "says"),
    [
        ("latency_s", [float("nan"), 1], "ops.judge.latency_s.0: Input should be a finite number"),
        ("tokens", [-5, 1], "ops.judge.tokens.0"),
        ("cases", [], "ops.judge.cases"),
        ("temperature", "hot", "ops.judge.temperature"),
        ("temperature", 0, "ops.judge.temperature: Input should be greater than 0"),
        ("cases", [{"id": "a", "draws": [-5]}], "ops.judge.cases.0.draws.0"),
        ("cases", [{"id": "a", "draws": [-1], "right": [-1]}], "ops.judge.cases.0.right.0"),
        ("cases", [{"id": "a", "draws": [0], "once": -2}], "ops.judge.cases.0.once"),
        ("cases", [{"id": "a", "draws": [0]}] * 9, "ops.judge.cases: .*a case is there twice"),
        (
            "cases",
            [{"id": str(n), "draws": [0], "asked": "ff"} for n in range(9)],
            "ops.judge.cases: .*a case is there twice",
        ),
        ("judged", [[7.5, True]], "ops.judge.judged.0.0"),
        ("judged", [[float("nan"), True]], "ops.judge.judged.0.0"),
    ],
    ids=[
        *("nan", "negative", "no cases", "text", "cold", "a draw", "a void one", "once"),
        *("an id twice", "operands twice", "surer than sure", "nan sure"),
    ],
)
def test_a_sheet_with_impossible_figures_is_none(
    tmp_path: Path, place: str, given: Any, says: str
) -> None:
    path = tmp_path / "sheet.json"
    odd = {"op": "judge", "digest": "", "temperature": 0.7, "cases": [{"id": "a", "draws": [0]}]}
    path.write_text(json.dumps({"model": "m", "ops": {"judge": odd}}))
    assert sheet_in(path).ops["judge"].right == 0
    path.write_text(json.dumps({"model": "m", "ops": {"judge": odd | {place: given}}}))
    with pytest.raises(Usage, match=f"is no datasheet .{says}"):
        sheet_in(path)
    path.write_text("[" * 100_000)
    with pytest.raises(Usage, match="is no datasheet: make one"):
        sheet_in(path)


def test_names_from_a_file_drive_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    odd = sheet("a\x1b[31mb\u202e").model_copy(update={"engine": "\x1b[2J", "convention": "\x07"})
    tables(side_by_side([odd, odd], 0.9))
    told = capsys.readouterr().out
    assert "a<U+001B>[31mb<U+202E>" in told and not set("\x1b\x07\u202e") & set(told)


def test_the_cases_of_twelve_ops_are_of_ops_that_have_sheets() -> None:
    told = tuple(cases(3))
    assert len(told) == 36 and len({case.op for case in told}) == 12
    asked = [case for case in told if case.op == topic.name]
    assert {case.expected for case in asked} <= set(choices_of(topic.result.annotation))
    drawn = execute(draw_sheet, topic, asked, 2, engine="music").result
    assert drawn.least == 2
