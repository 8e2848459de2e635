"""``nlpu run --reliability``: from datasheets, kept by a run that goes on, told by ``show``."""

from __future__ import annotations

from pathlib import Path

import pytest
from terminal_fixture import Ended, Terminal, nlpu

from nlpu.eval.datasheet import CaseDraws, Datasheet, OpSheet
from nlpu.runtime.loader import load

__all__ = ["nlpu"]  # a fixture

BODY = '''
from typing import Literal

from nlpu import nlop


@nlop
def colour(text: str) -> Literal["red", "green"]:
    """Which colour is it?"""


def paint(first: str, second: str = "") -> str:
    """Say which colours they are."""
    found = [colour(text).value for text in (first, second) if text]
    return ", ".join(map(str, found))


def paint_all(first: str) -> list:
    """Say which colours they are, each for itself."""
    return colour.map([first, "more"], reliability=0.95)
'''


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    """A program in a file, and the datasheet of its op: right at once in 8 of 10 cases."""
    (tmp_path / "paint.py").write_text(BODY)
    colour = load("paint.py:paint").function.__globals__["colour"]
    cases = tuple(
        CaseDraws(id=str(n), draws=(slip, *(0,) * 19), once=slip, right=(0,))
        for n in range(200)
        for slip in [int(n % 10 > 7)]
    )
    mine = OpSheet(op="colour", digest=colour.digest.hex(), temperature=0.7, cases=cases)
    folder = tmp_path / "sheets"
    folder.mkdir()
    path = folder / "colour.json"
    path.write_text(Datasheet(model="scripted", ops={"colour": mine}).model_dump_json())
    return path


def run(nlpu: Terminal, *args: str, command: tuple[str, ...] = ("run", "paint.py:paint")) -> Ended:
    return nlpu(*command, *args, "--engine", "scripted")


def test_what_was_chosen_is_told_at_once_and_later(nlpu: Terminal, sheet: Path) -> None:
    ended = run(nlpu, "a", "--reliability", "0.95", "--sheets", "sheets", "--json")
    (chosen,) = ended.json["receipt"]["chosen"]
    assert ended.code == 0 and chosen["recipe"] == "ahead by 2(colour)"
    shown = nlpu("show", ended.json["run_id"]).out
    assert "colour for 0.95: shown to be right in 0.95 of such cases:" in shown
    assert "-> ahead by 2(colour): 200 of 200 right" in shown
    whole = nlpu("show", ended.json["run_id"], "--json").json
    assert whole["receipt"]["chosen"] == [chosen] and whole["header"]["reliability"]["steps"] == 1
    text = nlpu("show", ended.json["run_id"], "--program")
    assert "of votes the draw that won is written" in text.err


def test_a_map_is_written_as_it_was_asked_for_but_for_that(nlpu: Terminal, sheet: Path) -> None:
    command = ("run", "paint.py:paint_all")
    ended = run(nlpu, "a", "--sheets", "sheets", "--json", command=command)
    text = nlpu("show", ended.json["run_id"], "--program")
    assert 'map colour [%1, "more"]' in text.out
    assert "how reliable its answers must be is not written" in text.err


def test_the_runs_of_a_batch_have_the_datasheets_too(nlpu: Terminal, sheet: Path) -> None:
    Path("in.jsonl").write_text('"a"\n"b"\n')
    args = ("--sheets", "sheets", "--each", "in.jsonl")
    ended = run(nlpu, *args, command=("run", "paint.py:paint_all"))
    assert ended.code == 0 and "2 done" in ended.err


def test_nlpu_toml_may_say_where_datasheets_are(nlpu: Terminal, sheet: Path) -> None:
    Path("nlpu.toml").write_text('sheets = "sheets"\n')
    ended = run(nlpu, "a", "b", "--reliability", "0.95", "--steps", "2")
    assert ended.code == 0 and "ahead by 2(colour) for 0.95 of 2 together" in ended.err


def test_a_run_that_goes_on_is_as_reliable(nlpu: Terminal, sheet: Path) -> None:
    asked = ("--reliability", "0.95", "--steps", "2", "--sheets", "sheets")
    stopped = run(nlpu, "a", "b", *asked, "--calls", "3", "--json")
    assert stopped.code == 3
    sheet.unlink()
    name = stopped.json["run_id"]
    assert "\nlimits: 3 calls\n" in nlpu("show", name).out
    ended = run(nlpu, name, "--calls", "9", "--json", command=("resume",))
    assert "\nlimits of its first life: 3 calls\n" in nlpu("show", name).out
    assert ended.code == 0 and len(ended.json["receipt"]["chosen"]) == 1
    assert ended.json["receipt"]["calls"] + ended.json["receipt"]["reused"] == 4
    again = nlpu("replay", name, "--json")
    assert again.code == 0 and again.json["result"] == ended.json["result"]


def test_without_a_datasheet_it_can_go_on_when_there_is_one(nlpu: Terminal, sheet: Path) -> None:
    ended = run(nlpu, "a", "--reliability", "0.95", "--json")
    assert ended.code == 1 and ended.json["error"]["type"] == "NotMeasured"
    assert "nlpu bench datasheet" in ended.json["error"]["message"]
    name = ended.json["run_id"]
    assert run(nlpu, name, "--sheets", "sheets", command=("resume",)).code == 0


def test_what_it_takes_can_be_forecast(nlpu: Terminal, sheet: Path) -> None:
    plain = run(nlpu, "a", "--dry", "--json").json
    asked = ("a", "--reliability", "0.95", "--sheets", "sheets", "--dry", "--json")
    assert plain["calls"]["expected"] == 1 and run(nlpu, *asked).json["calls"]["expected"] >= 2


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("--reliability", "1"), "share must be a share between 0 and 1"),
        (("--reliability", "nan"), "share must be a share between 0 and 1"),
        (("--reliability", "0.9", "--steps", "0"), "steps must be a whole number more than 0"),
        (("--steps", "2"), "are of --reliability"),
        (("--reliability", "much"), "it must be a number"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(
    nlpu: Terminal, sheet: Path, given: tuple[str, ...], says: str
) -> None:
    ended = run(nlpu, "a", *given)
    assert ended.code == 2 and says in ended.err


def test_a_call_more_than_was_said_is_refused(nlpu: Terminal, sheet: Path) -> None:
    ended = run(nlpu, "a", "b", "--reliability", "0.9", "--sheets", "sheets")
    assert ended.code == 2 and "--steps" in ended.err and "colour is one more" in ended.err
