"""Cases that plan: each is a question of its own to the op that is asked, or is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from kit import execute

from nlpu import nlop, reliable
from nlpu.errors import BadOperand, Usage
from nlpu.eval.cases import Case
from nlpu.eval.datasheet import Datasheet, OpSheet
from nlpu.reliability import Reliability
from nlpu.runtime.eval.planning import draw_sheet


@nlop
def half(number: float) -> int:
    """What is its half, rounded down?"""


@nlop
def colour(text: str) -> Literal["red", "green"]:
    """Which colour is it?"""


def planned(op: Any, cases: Any) -> Any:
    return execute(lambda: str(reliable(op, 0.9, cases).choice), engine="2").error


def drawn(op: Any, cases: Any) -> Any:
    return execute(lambda: draw_sheet(op, cases, 2), engine="2").error


@pytest.mark.parametrize("plan", [planned, drawn])
@pytest.mark.parametrize("again", [[4, "4", 4.0, " 4 ", "4.0"], ["4", "4.00"]])
def test_one_question_in_other_spellings_shows_something_once(plan: Any, again: list[Any]) -> None:
    cases = [({"number": each}, 2) for each in [*range(5, 40), *again]]
    error = plan(half, cases)
    assert isinstance(error, BadOperand)
    assert "case 36 and case 37 have the same operands, and are asked once" in str(error)


@pytest.mark.parametrize("plan", [planned, drawn])
def test_cases_of_another_op_or_with_choices_show_nothing_of_this_one(plan: Any) -> None:
    error = plan(half, [Case(operands={"number": n}, expected=2, op="third") for n in range(40)])
    assert isinstance(error, Usage) and "is a case of third, and half is asked" in str(error)
    cases = [Case(operands={"text": str(n)}, expected="2", choices=("1", "2")) for n in range(40)]
    error = plan(colour, cases)
    assert isinstance(error, BadOperand) and "case 1 has choices of its own" in str(error)


def test_inputs_of_a_table_are_known_however_their_file_wrote_them(tmp_path: Path) -> None:
    path = tmp_path / "cases.csv"
    path.write_text("number,expected\n" + "".join(f"{n}.0,2\n" for n in range(30)))
    mine: OpSheet = execute(lambda: draw_sheet(half, str(path), 5), engine="2").result
    sheet = tmp_path / "half.json"
    sheet.write_text(Datasheet(model="scripted", ops={"half": mine}).model_dump_json())
    table = Reliability(0.9, table=True)
    run = execute(lambda: half(3, reliability=table).value, engine="2", sheets=sheet)
    assert run.result == 2
    run = execute(lambda: half(30, reliability=table).value, engine="2", sheets=sheet)
    assert "none of the 30 inputs" in str(run.error)
