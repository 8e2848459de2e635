"""What Python code can get wrong: each mistake is one sentence, and a short traceback."""

from __future__ import annotations

import json
import operator
import re
import traceback
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest
from kit import echo, execute
from pydantic import BaseModel

from nlpu import Value, lift, op, spawn
from nlpu.errors import NlpuError, ProgramError, Unreachable, Usage
from nlpu.printing import one_line
from nlpu.runtime import Computer, keywords
from nlpu.runtime.graph.node import Node
from nlpu.testing import Scripted

MOST_LINES = 20


def nothing() -> str:
    """A program that asks no model."""
    return "done"


def refused(*args: Any, **settings: Any) -> NlpuError:
    """What a computer that is made so raises, at the latest when it opens its processors."""
    with pytest.raises(NlpuError) as caught, Computer(*args, **settings) as computer:
        computer.run(nothing)
    return caught.value


def test_a_model_may_be_a_path(tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    said = str(refused(model=file))
    assert (
        said
        == str(refused(model=str(file)))
        == f"there is no file or folder {file}: check the path"
    )
    file.write_bytes(b"no model")
    assert str(file) in str(refused("local", model=file))


@pytest.mark.parametrize("model", [5, b"x.gguf", True, 0, "", " ", [], Path])
def test_a_model_that_is_no_name_is_bad_usage(model: Any) -> None:
    error = refused(model=model)
    assert isinstance(error, Usage) and repr(model) in str(error)
    assert "by its name or its path" in str(error)


@pytest.mark.parametrize(
    ("args", "settings"),
    [
        ((), {"model": "smolm"}),
        ((), {"model": "/nowhere/x.gguf"}),
        (("gpu",), {}),
        (("http://127.0.0.1:9",), {}),
    ],
)
def test_a_deliberate_error_has_a_short_traceback(args: Any, settings: Any) -> None:
    told = "".join(traceback.format_exception(refused(*args, **settings)))
    assert told.count("Traceback") == 1 and len(told.splitlines()) < MOST_LINES, one_line(told)


def test_a_cause_that_says_more_is_kept(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    error = refused("scripted", run_dir=tmp_path / "file" / "runs")
    assert isinstance(error.__cause__, OSError)
    unreachable = refused("http://127.0.0.1:9")
    assert isinstance(unreachable, Unreachable) and unreachable.__cause__ is None


FORGOTTEN: list[Any] = [
    lambda v: v.upper(),
    json.dumps,
    lambda v: "".join([v]),
    lambda v: re.match("a", v),
    lambda v: v % 2,
    lambda v: -v,
    lambda v: v(),
    range,
    Path,
    lambda v: setattr(v, "x", 1),
    lambda v: operator.setitem(v, 0, 1),
    lambda v: Named(name=v),
    lambda v: [1][v],
]


class Named(BaseModel):
    name: str


@pytest.mark.parametrize("use", FORGOTTEN)
def test_a_forgotten_value_is_told_what_to_ask(use: Any) -> None:
    async def awaits() -> Any:
        return use(echo("x"))

    for program in (lambda: use(echo("x")), awaits):
        error = execute(program).error
        assert isinstance(error, ProgramError)
        assert "content may still be on its way; ask for the content" in str(error)
        assert ".value" in str(error) and "await" in str(error)


def test_what_is_no_value_gets_no_advice_about_values() -> None:
    error = execute(lambda: echo("x".uper())).error  # type: ignore[attr-defined]
    assert "'str' object has no attribute 'uper'" in str(error) and ".value" not in str(error)


def test_a_value_is_probed_as_any_object() -> None:
    def program() -> Any:
        v = echo("x")
        return [hasattr(v, "upper"), getattr(v, "_repr_html_", 1), getattr(v, "upper", 2)]

    assert execute(program).result == [False, 1, 2]


FIELDS = [  # that a record may well have
    "amount",
    "content",
    "control",
    "cost",
    "count",
    "data",
    "date",
    "depth",
    "draw",
    "estimate",
    "grown",
    "grows",
    "id",
    "index",
    "inner",
    "issue",
    "items",
    "key",
    "kind",
    "lower",
    "name",
    "operands",
    "ordinal",
    "outcome",
    "path",
    "person",
    "place",
    "ports",
    "position",
    "price",
    "rank",
    "read",
    "reply",
    "scope",
    "seq",
    "settled",
    "stage",
    "state",
    "status",
    "text",
    "texts",
    "title",
    "users",
    "waiting",
    "work",
]
API = {"each", "error", "label", "ready", "value"}  # as the reference has it


def told_of(value: Any) -> dict[str, str]:
    """What is said where ``.value`` was forgotten, by field; "" where something was given."""
    said = {}
    for field in FIELDS:
        try:
            getattr(value, field)
            said[field] = ""
        except AttributeError as error:
            said[field] = str(error)
    return said


def test_no_field_of_a_record_is_taken_for_an_attribute_of_its_value() -> None:
    told, kept = [told_of(Value(Named(name="Ann")))], []
    person = op("Who is it?", Named)

    def program() -> str:
        for value in (person("x"), person.map(["x", "y"]), lift(len)("x"), spawn(echo, "x")):
            told.append(told_of(value))
            _ = value.value
            told.append(told_of(value))
            kept.append(value)
        return str(kept[0].value.name)

    async def awaits() -> str:
        value = person("x")
        told.append(told_of(value))
        name = (await value).name
        told.append(told_of(value))
        return name

    answers = {"Who": '{"name": "Ann"}', "Repeat": "x"}
    assert execute(program, engine=answers).result == "Ann"
    assert execute(awaits, engine=answers).result == "Ann"
    told += map(told_of, kept)  # when the run is over
    assert len(told) == 1 + 2 * 4 + 2 + 4 and len(FIELDS) >= 40
    for each in told:
        given = [
            field
            for field, said in each.items()
            if f"ask for the content, .value.{field}" not in said
        ]
        assert not given


def test_what_a_node_has_of_its_own_is_no_plain_word() -> None:
    """So a field of a user's record that is one is never silently another thing."""
    plain = {name for name in dir(Node) if name.isalpha() and name.islower()}
    assert plain == API


def test_what_a_content_holds_is_asked_of_the_content() -> None:
    def program() -> Any:
        v = echo("x")
        return ["ell" in v, "xyz" in v, "o" not in v, 2 in Value([1, 2]), "a" in Value({"a": 1})]

    assert execute(program, engine={"Repeat": "hello"}).result == [True, False, False, True, True]


def test_what_a_refusal_names_can_be_imported() -> None:
    told = [wanted for _, wanted in (keywords._FITS | keywords._PARTS).values()]
    names = [name for text in told for name in re.findall(r"\b\w+(?:\.\w+)+", text)]
    assert {"nlpu.FakeClock", "nlpu.Budget", "nlpu.testing.ScriptedPerson"} <= set(names)
    for name in names:
        assert name.startswith("nlpu.") and resolve_name(name) is not None
    with pytest.raises(
        Usage, match=r"clock must be a clock, as nlpu\.FakeClock is one, or None, not"
    ):
        Computer(Scripted(), clock="x")  # type: ignore[arg-type]
