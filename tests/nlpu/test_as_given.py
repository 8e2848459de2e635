"""What Python gives is what is asked and kept: texts of another class, members, validators."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from typing import Annotated, Any

import pydantic_core
import pytest
from grammar_kit import accepts
from kit import computer, execute, finish
from pydantic import BaseModel, BeforeValidator, ImportString, PlainSerializer

from nlpu import Computer, Value, driver, nlop, op
from nlpu.errors import BadOp
from nlpu.testing.scripted import Scripted
from nlpu.types.result import result_type


class Colour(str, Enum):  # noqa: UP042  (StrEnum writes its value, this does not)
    RED = "red"


class Loud(str):
    def __str__(self) -> str:
        return self.upper()


@nlop
def tell(text: str) -> str:
    """Tell of the text."""


@nlop
def maybe(text: str | None) -> str:
    """Tell of the text, if there is one."""


@driver(effect="read")
def paint(to: str) -> str:
    """Give a text of another class."""
    return Colour.RED


ODD = {Colour.RED: "red", Loud("low"): "low"}


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize(
    "ask",
    [tell, maybe, lambda text: tell.map([text]), lambda text: tell(Value(text))],
    ids=["alone", "optional", "map", "value"],
)
def test_a_text_of_another_class_is_asked_by_its_characters(
    text: str, ask: Callable[[str], Any]
) -> None:
    model = Scripted("fine")
    assert execute(lambda: ask(text), engine=model).error is None
    (said,) = model.seen[0].operands.values()
    assert said in (ODD[text], f'"{ODD[text]}"')


def test_a_drivers_text_of_another_class_is_the_same_in_each_life(tmp_path: Path) -> None:
    def program() -> Any:
        made = paint("x").value
        return [type(made).__name__, made, tell(made).value]

    with computer("fine", run_dir=tmp_path) as machine:
        run = finish(machine.start(program))
    assert run.result == ["str", "red", "fine"]
    with computer("other", run_dir=tmp_path) as machine:
        assert finish(machine.resume(run.name, program)).result == run.result


# -- validators of a driver's arguments --------------------------------------------------------

SENT = """
from typing import Annotated
from pydantic import AfterValidator
from nlpu import driver

class Rule:
    pass

def checked(text):
    return text

@driver(effect="external")
def send(to: Annotated[str, AfterValidator(checked), Rule()]) -> str:
    '''Send.'''
    return "sent"

print(send.digest.hex())
"""


def test_a_drivers_digest_has_no_addresses(tmp_path: Path) -> None:
    (tmp_path / "sent.py").write_text(SENT)
    (tmp_path / "later.py").write_text("spare = [object() for _ in range(9999)]\n" + SENT)
    found = [
        subprocess.run(
            [sys.executable, each],
            cwd=tmp_path,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed, each in (("1", "sent.py"), ("2", "later.py"))
    ]
    assert found[0] == found[1] != ""


# -- members that no reply can be --------------------------------------------------------------


class Tenth(Enum):
    ONE = Decimal("0.1")


class Day(Enum):
    NEW_YEAR = date(2020, 1, 1)


class Moment(Enum):
    MIDNIGHT = datetime(2020, 1, 1, tzinfo=UTC)


class Span(Enum):
    HOUR = timedelta(hours=1)


class Bytes(Enum):
    X = b"x"


class Huge(IntEnum):
    FEW = 1
    MANY = 10**20


class Dated(BaseModel):
    day: Annotated[Day, BeforeValidator(lambda name: Day[name]), PlainSerializer(lambda d: d.name)]
    later: Day = Day.NEW_YEAR


def test_members_that_a_type_reads_by_its_own_means_are_not_refused() -> None:
    assert result_type(list[Huge]).parse("[1]") == [Huge.FEW]
    dated = result_type(Dated)  # its own validator reads them, or its default does
    assert dated.parse('{"day":"NEW_YEAR"}') == Dated.model_validate({"day": "NEW_YEAR"})


@pytest.mark.parametrize("kind", [Tenth, Day, Moment, Span, Bytes])
def test_members_that_no_json_can_be_read_as_are_refused_at_once(kind: Any) -> None:
    with pytest.raises(BadOp, match=r"no JSON can be read as a member of .*; use texts or numbers"):
        result_type(list[kind])
    said = result_type(kind)  # alone its choices are texts of their own
    for member in kind:
        assert said.parse(said.render(member)) is member


class Small(float, Enum):
    TINY = 1e-7
    LITTLE = 0.00001
    LARGE = 1e22
    WHOLE = 1e16


class Held(BaseModel):
    share: Small


@pytest.mark.parametrize("member", Small)
def test_a_members_number_may_be_written_as_python_and_as_pydantic_do(member: Small) -> None:
    kind = result_type(list[Small])
    for text in (repr(member.value), pydantic_core.to_json(member.value).decode()):
        assert accepts(kind.constraint, f"[{text}]")
        assert kind.parse(f"[{text}]") == [member]
    held = result_type(Held)
    assert accepts(held.constraint, held.render(Held(share=member)))


# -- code ----------------------------------------------------------------------------------------


class Named(BaseModel):
    number: int
    functions: list[ImportString[Any] | None]


@pytest.mark.parametrize("annotation", [ImportString, list[ImportString[Any]], Named])
def test_no_reply_is_imported(annotation: Any) -> None:
    with pytest.raises(BadOp, match="would import what a reply names"):
        op("Which?", annotation)


def test_no_driver_imports_what_it_is_given() -> None:
    @driver(effect="read")
    def look(thing: ImportString[Any]) -> str:
        """Look."""
        return "seen"

    run = execute(lambda: look("antigravity").value, engine=Scripted("x"))
    assert "would import" in str(run.error) and "antigravity" not in sys.modules


def test_a_drivers_text_is_of_no_class_of_its_own(tmp_path: Path) -> None:
    class Colour(StrEnum):
        RED = "red"

    @driver(effect="read")
    def colour() -> str:
        """Say a colour."""
        return Colour.RED

    def program() -> str:
        said = colour().value
        return f"{type(said).__name__} {said}"

    with Computer(Scripted("x"), run_dir=tmp_path) as computer:
        run = computer.run(program)
        assert run.result == "str red"
        assert computer.resume(run.name, program, replay=True).result == "str red"
