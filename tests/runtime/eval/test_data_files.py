"""Texts of a data file are nobody's word, in Python as at a terminal; a program's own cases are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from kit import echo, execute, said

from nlpu import Budget, Computer, Scripted, driver, nlop, reliable
from nlpu.errors import Refused
from nlpu.eval.cases import cases_of
from nlpu.label import UNTRUSTED, USER
from nlpu.runtime.drivers.person import ScriptedPerson

ROWS = [({"text": f"eve-{number}"}, f"eve-{number}") for number in range(60)]


@driver(effect="external", roles={"body": "content"})
def send(to: str, body: str = "") -> str:
    """Send a letter."""
    return f"sent to {to}"


@nlop
def name(text: str) -> str:
    """Name who is meant."""


def letter(text: str) -> str:
    return str(send(text))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    lines = [json.dumps({"operands": given, "expected": right}) for given, right in ROWS]
    (tmp_path / "cases.jsonl").write_text("\n".join(lines))
    return tmp_path / "cases.jsonl"


@pytest.mark.parametrize("kind", [str, Path])
def test_a_program_that_acts_on_a_case_of_a_file_is_refused(path: Path, kind: Any) -> None:
    person = ScriptedPerson()
    with Computer(Scripted(said), person=person, run_dir=path.parent) as machine:
        report = machine.evaluate(letter, kind(path))
        assert "refused" in report.rows[0].error and len(person.asked) == len(ROWS)
        run = next(path.parent.glob("*.db")).stem
        assert machine.evaluate(letter, kind(path), resume=run) == report
        own = machine.evaluate(letter, ROWS[:1])
    assert own.rows[0].answer == "sent to eve-0" and len(person.asked) == len(ROWS)


def test_the_report_of_a_files_cases_is_untrusted(path: Path) -> None:
    def acts(cases: Any) -> Any:
        return lambda: letter(echo.check(cases).value.rows[0].expected)

    run = execute(acts(str(path)), engine=said, person=ScriptedPerson())
    assert isinstance(run.error, Refused) and "untrusted" in str(run.error)
    assert execute(acts(ROWS[:1]), engine=said).result == "sent to eve-0"
    assert execute(lambda: echo.check(path), engine=said).label == UNTRUSTED
    assert execute(lambda: echo.check(ROWS[:1]), engine=said).label == USER


def test_a_program_that_reads_cases_itself_has_seen_them(path: Path) -> None:
    def acts(cases: Any) -> Any:
        return lambda: letter(str(len(cases_of(cases))))

    run = execute(acts(str(path)), engine=said, person=ScriptedPerson())
    assert isinstance(run.error, Refused) and "untrusted" in str(run.error)
    assert execute(acts(ROWS), engine=said).result == "sent to 60"


def test_a_check_of_a_files_cases_lowers_its_report_alone(path: Path) -> None:
    def program() -> Any:
        report = echo.check(str(path))
        return letter("anna"), report.label

    run = execute(program, engine=said)
    assert run.result[0] == "sent to anna" and run.result[1] == UNTRUSTED


def test_an_evaluation_that_goes_on_with_a_file_is_of_a_file(path: Path) -> None:
    """Begun with a program's own cases, and stopped: what then comes of the file may not act."""

    def told(text: str) -> str:
        return letter(str(echo(text)))

    person = ScriptedPerson()
    with Computer(Scripted(said), person=person, run_dir=path.parent) as machine:
        begun = machine.evaluate(told, ROWS, budget=Budget(calls=3))
        assert begun.stopped and not person.asked
        run = next(path.parent.glob("*.db")).stem
        report = machine.evaluate(told, str(path), resume=run, budget=Budget(calls=99))
    assert "refused" in report.rows[-1].error and person.asked


def test_whoever_plans_by_a_file_is_led_by_it(path: Path) -> None:
    def acts(cases: Any) -> Any:
        return lambda: letter(reliable(name, 0.9, cases)[1].trial.recipe)

    run = execute(acts(str(path)), engine=said, person=ScriptedPerson())
    assert isinstance(run.error, Refused), run.error
    assert execute(acts(ROWS), engine=said).result == "sent to name"
