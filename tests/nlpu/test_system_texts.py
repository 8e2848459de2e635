"""System texts and conventions of a computer: an op's own word, what is refused, what runs keep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from journal_kit import Opened
from kit import PATIENCE_S, echo, finish
from terminal_fixture import Terminal, nlpu

from nlpu import op
from nlpu.errors import BadOp, JournalDamaged, Usage
from nlpu.eval.cases import cases_of
from nlpu.ops.op import Call
from nlpu.prompt.convention import FIRST, SECOND
from nlpu.runtime import Computer
from nlpu.runtime.journal.edits import Edits, Persona
from nlpu.runtime.resume import log_of
from nlpu.testing.scripted import Scripted

__all__ = ["nlpu"]  # a fixture
PROGRAM = """
from nlpu import nlop

@nlop
def echo(text: str) -> str:
    \"\"\"Repeat the text.\"\"\"

def go(text: str) -> str:
    return str(echo(text))
"""


def begun(engine: Scripted) -> list[str]:
    """How each prompt begins."""
    return [seen.instruction[:8] for seen in engine.seen]


# -- an op's own word ----------------------------------------------------------------------------


def test_an_op_can_do_without_the_computers_system_text() -> None:
    """None takes what the run says, "" is none, and both are the op of before elsewhere."""
    bare = echo.using(system="")
    engine = Scripted("x")

    def program() -> list[str]:
        texts = [str(echo("a")), str(bare("b")), *bare.map(["c"]), str(bare("d", samples=1))]
        return [*texts, str(bare.using(system=None)("e"))]

    with Computer(engine, system="Be brief.") as machine:
        finish(machine.run(program))
    assert begun(engine) == ["Be brief", *["Repeat t"] * 3, "Be brief"]
    assert bare.digest == echo.digest == echo.using(system=None).digest
    with pytest.raises(BadOp, match="system must be a text, or None for the run's, not 5"):
        echo.using(system=5)


def test_an_op_that_is_evaluated_can_do_without_it_too() -> None:
    engine = Scripted("x")
    with Computer(engine, system="Be brief.") as machine:
        machine.evaluate(echo.using(system=""), cases_of([({"text": "a"}, "x")]))
    assert begun(engine) == ["Repeat t"]


def test_ops_that_are_made_anew_are_not_kept_for_ever() -> None:
    persona = Persona("Be brief.")
    first = echo.using(name="first")
    assert persona.over(Call(first)).op is persona.over(Call(first)).op
    for number in range(5000):
        made = persona.over(Call(op(f"Say {number}.")))
        assert made.op.system == "Be brief."
    assert len(persona.ops) <= 1000


def test_equal_ops_on_other_processors_stay_apart() -> None:
    persona = Persona("Be brief.")
    other = echo.using(processor="other")
    assert other.digest == echo.digest
    assert persona.over(Call(echo)).op.processor is None
    assert persona.over(Call(other)).op.processor == "other"


# -- what is refused at once -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"system": 5}, "system must be a text, not 5"),
        ({"system": ["Be brief."]}, "system must be a text"),
        ({"system": "a\ud800"}, r"the system text has a lone surrogate \(U\+D800\) at character 1"),
        ({"convention": "2"}, "a convention is a nlpu.prompt.convention.Convention, not '2'"),
    ],
)
def test_what_cannot_be_said_is_refused_when_the_computer_is_made(given: Any, why: str) -> None:
    with pytest.raises(Usage, match=why):
        Computer("scripted", **given)


@pytest.mark.parametrize(
    "wrong",
    [
        {"operand": 5},
        {"from_length": "x"},
        {"questions": "question"},
        {"contracts": (("int",),)},
        {"gap": "\ud800"},
        {"examples": "both"},
        {"version": {}},
        {"from_length": -1},
    ],
)
def test_a_convention_of_other_types_is_refused(wrong: Any) -> None:
    with pytest.raises(Usage, match=f"cannot be used: its {next(iter(wrong))} must be "):
        SECOND.using(**({"version": "mine"} | wrong))


# -- what runs keep ------------------------------------------------------------------------------


def program(text: str) -> str:
    return str(echo(text))


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ({"system": "Be A."}, {"system": "Be B."}, "system text 'Be A.'.*system text 'Be B.'"),
        ({}, {"system": "Be B."}, "no system text.*'Be B.'.*leave system .--system. away"),
        ({"system": "Be A."}, {"system": ""}, "'Be A.' and keeps it; .* with no system text"),
        ({}, {"convention": FIRST}, "convention '4' and keeps it; it cannot go on with '1'"),
        ({"convention": FIRST}, {"convention": SECOND}, "convention '1' .* '2'"),
    ],
)
def test_a_run_that_goes_on_keeps_its_own_and_says_so(
    tmp_path: Path, before: Any, now: Any, said: str
) -> None:
    with Computer(Scripted("x"), run_dir=tmp_path, **before) as machine:
        run = finish(machine.run(program, "a"))
    with Computer(Scripted("y"), run_dir=tmp_path, **now) as machine:
        for more in ({}, {"changed": True}, {"replay": True}):
            with pytest.raises(Usage, match=f"the run {run.name} was begun with.*{said}"):
                machine.resume(run.name, program, "a", **more)
        with pytest.raises(Usage, match=said):
            machine.rerun(run.name, program, "a", edits=Edits(ops={"echo": "Say it."}))
    for same in ({}, before):
        with Computer(Scripted("y"), run_dir=tmp_path, **same) as machine:
            assert machine.resume(run.name, program, "a").wait(PATIENCE_S).result == "x"


def test_an_edited_run_from_the_terminal_says_so_too(nlpu: Terminal, tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text(PROGRAM)
    (tmp_path / "new.txt").write_text("Say it.")
    scripted = ("--engine", "scripted")
    run = nlpu("run", "p.py:go", "a", *scripted, "--system", "Be A.", "--json").json["run_id"]
    again = ("run", "--from", run, "--set", "echo=new.txt")
    for option, value, was in (
        ("--system", "Be B.", "the system text 'Be A.'"),
        ("--system", "", "the system text 'Be A.'"),
        ("--convention", "1", "convention '4'"),
    ):
        ended = nlpu(*again, option, value)
        assert ended.code == 2 and f"{run} was begun with {was}" in ended.err, ended.err
        assert f"({option}) away, or begin a new run" in ended.err
    assert nlpu(*again, "--convention", "9").code == 2
    for same in ((), ("--system", "Be A."), ("--convention", "4")):
        assert nlpu(*again, *same).code == 0


@pytest.mark.parametrize(
    ("name", "odd"),
    [
        ("system", 5),
        ("system", ["x"]),
        ("system", "\ud800"),
        ("system", None),
        ("convention", 5),
        ("convention", "{"),
        ("convention", "[]"),
        ("convention", "[" * 5000),
        ("convention", '{"version": "9"}'),
        ("convention", '{"version": {}}'),
    ],
)
def test_a_damaged_voice_is_named_as_damage(tmp_path: Path, name: str, odd: Any) -> None:
    with Computer(Scripted("x"), run_dir=tmp_path) as machine:
        finish(machine.run(program, "a"))
    journal = Opened(next(tmp_path.glob("*.db")), read_only=True)
    journal.rows[0][2][name] = odd
    with pytest.raises(JournalDamaged, match=r"row 1 \('run'\) is none that a run writes"):
        log_of(journal, 1)


def test_a_convention_of_a_later_version_is_no_damage(tmp_path: Path) -> None:
    with Computer(Scripted("x"), run_dir=tmp_path) as machine:
        finish(machine.run(program, "a"))
    journal = Opened(next(tmp_path.glob("*.db")), read_only=True)
    journal.rows[0][2]["convention"] = '{"version": "9", "later": 1}'
    assert log_of(journal, 1).rows
