"""Lists, dicts and records on the command line: JSON, or a file that holds it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from kit import execute
from terminal_fixture import Ended, Terminal, nlpu

from nlpu.errors import Usage
from nlpu.prompt.convention import FIRST, KNOWN
from nlpu.runtime.terminal.options import Layout
from nlpu.runtime.terminal.repl import actions as acts
from nlpu.runtime.terminal.show.archive import find

__all__ = ["nlpu"]  # a fixture
PROGRAM = """
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, NamedTuple
from typing_extensions import TypedDict
from pydantic import BaseModel, Field, field_validator

class Item(BaseModel):
    name: str
    size: int = 3
    @field_validator("name")
    @classmethod
    def known(cls, name):
        if name == "bad":
            raise KeyError("no such thing")
        return name

@dataclass
class Point:
    x: int
    y: float = 0.5

class Pair(NamedTuple):
    left: int
    right: str

class Facts(TypedDict):
    age: int

def go(it: {kind}):
    return [repr(it), repr(next(iter(it), "")) if isinstance(it, list) else ""]
"""
FITS: list[tuple[str, str, str]] = [
    ("list[int]", "[1, 2]", "[1, 2]"),
    ("list", '["a", null]', "['a', None]"),
    ("dict[str, int]", '{"a=b": 1}', "{'a=b': 1}"),
    ("Item", '{"name": "mill"}', "Item(name='mill', size=3)"),
    ("list[Item]", '[{"name": "m", "size": "4"}]', "[Item(name='m', size=4)]"),
    ("Point", '{"x": 1}', "Point(x=1, y=0.5)"),
    ("Point | None", "null", "None"),
    ("Pair", '[1, "b"]', "Pair(left=1, right='b')"),
    ("Facts", '{"age": 9}', "{'age': 9}"),
    ("tuple[int, str]", '[1, "b"]', "(1, 'b')"),
    ("set[int]", "[1, 1]", "{1}"),
    ("int | list[int]", "7", "7"),
    ("int | str", "7", "7"),
    ("int | str", "@seven", "'@seven'"),
    ("date", "2026-01-02", "datetime.date(2026, 1, 2)"),
    ("date | None", "2026-01-02", "datetime.date(2026, 1, 2)"),
    ("Decimal", "0.12345678901234567891", "Decimal('0.12345678901234567891')"),
    ("list[Decimal]", "[0.12345678901234567891]", "[Decimal('0.12345678901234567891')]"),
    ("str", "@handle", "'@handle'"),
    ("Annotated[int, Field(le=9)]", "9", "9"),
    ("Annotated[bool, 'whether']", "yes", "True"),
    ("str", "[1]", "'[1]'"),
    ("float", "inf", "inf"),
]
MISFITS = [
    ("list[int]", "1, 2", "'it' must be list of int, as JSON or @FILE, of the form [integer, ...]"),
    ("list[int]", '[1, "a"]', "at 1: Input should be a valid integer"),
    ("list[int]", "abc", "JSONDecodeError: Expecting value: line 1 column 1"),
    ("list[str]", "abc", "'it' must be list of str"),
    ("Item", '{"size": 1}', "at name: Field required"),
    ("Item", '{"name": "bad"}', "KeyError: 'no such thing'"),
    ("list[Item]", '[{"name": "a", "size": "x"}]', "at 0.size: Input should be a valid integer"),
    ("Point", "[]", 'of the form {"x": integer, "y": number}'),
    ("date", "soon", "'it' must be date, of the form \"YYYY-MM-DD\"; not 'soon'"),
    ("float", "1e999", "'it' must be float, not '1e999'"),
    ("float | None", "-1e400", "'it' must be float, not '-1e400'"),
    ("list[float]", "[NaN]", "NaN is not a number one can count with"),
    (
        "Annotated[int, Field(le=9)]",
        "12",
        "'it' cannot be '12': Input should be less than or equal",
    ),
    ("Annotated[str, Field(max_length=2)] | None", "mill", "at most 2 characters"),
    ("Annotated[list[int], Field(min_length=2)]", "[1]", "at least 2 items"),
    ("list[int]", "@nowhere.json", "'it' names a file: there is no file nowhere.json"),
    ("list[int]", "@wrong.json", "not what wrong.json holds: at 0: Input should be"),
    ("dict[str, int]", '{"a": 1, "b": 2, "a": 3}', "the key 'a' is given twice"),
    ("str | dict[str, int]", '{"a": 1, "a": 3}', "the key 'a' is given twice"),
    ("list[Item]", '[{"name": "m", "name": "n"}]', "the key 'name' is given twice"),
    ("dict[str, int]", "@twice.json", "not what twice.json holds: the key 'a' is given twice"),
    ("list[int]", "@", "'it' names a file: . cannot be read: Is a directory"),
]


def run(nlpu: Terminal, kind: str, *words: str, stdin: str = "") -> Ended:
    Path("p.py").write_text(PROGRAM.replace("{kind}", kind))
    return nlpu("run", "p.py:go", *words, "--engine", "scripted", "--json", stdin=stdin)


@pytest.mark.parametrize(("kind", "word", "seen"), FITS)
def test_what_json_can_hold_can_be_given(nlpu: Terminal, kind: str, word: str, seen: str) -> None:
    for words in ([word], [f"it={word}"]):
        ended = run(nlpu, kind, *words)
        assert ended.code == 0, ended.err
        assert ended.json["result"][0] == seen
        again = nlpu("replay", ended.json["run_id"], "--json")  # of the same type in another life
        assert again.json["result"] == ended.json["result"]


@pytest.mark.parametrize(("kind", "word", "says"), MISFITS)
def test_what_does_not_fit_names_parameter_and_form(
    nlpu: Terminal, kind: str, word: str, says: str
) -> None:
    Path("wrong.json").write_text('["a"]')
    Path("twice.json").write_text('{"a": 1, "a": 2}')
    ended = run(nlpu, kind, f"it={word}")
    assert ended.code == 2 and says in ended.json["error"]["message"], ended.json
    assert "Usage: go(it: " in ended.err and "Traceback" not in ended.err
    assert ended.err.count("\n") == 1


def test_what_is_bounded_is_so_in_a_file_too(nlpu: Terminal) -> None:
    Path("long.txt").write_text("a mill")
    ended = run(nlpu, "Annotated[str, Field(max_length=2)]", "--input", "long.txt")
    assert ended.code == 2 and "at most 2 characters" in ended.err


def reads(ended: Ended) -> Any:
    return find(Path(".nlpu/runs"), ended.json["run_id"]).past.header["reads"]


def test_a_file_or_stdin_may_hold_it_and_is_nobodys_word(nlpu: Terminal) -> None:
    Path("it.json").write_text("\ufeff[1, 2]\n")
    for word, stdin in (
        ("@it.json", ""),
        ("it=@it.json", ""),
        ("-", "[1, 2]\n"),
        ("it=-", "[1,2]"),
    ):
        ended = run(nlpu, "list[int]", word, stdin=stdin)
        assert ended.json["result"][0] == "[1, 2]" and reads(ended) == "--input", word
    assert reads(run(nlpu, "list[int]", "[1, 2]")) == ""


def test_what_stdin_says_names_no_file_and_no_parameter(nlpu: Terminal) -> None:
    Path("it.json").write_text("[1, 2]")
    for word in ("-", "it=-"):
        ended = run(nlpu, "list[int]", word, stdin="@it.json\n")
        assert ended.code == 2 and "Expecting value" in ended.json["error"]["message"]
        assert run(nlpu, "str", word, stdin="it=that").json["result"][0] == "'it=that'"


def test_many_records(nlpu: Terminal) -> None:
    Path("p.py").write_text(
        PROGRAM.replace("go(it: {kind})", "go(*it: Item)").replace("repr(it)", "repr(it[0].size)")
    )
    words = ('{"name": "a"}', '{"name": "b"}', "--engine", "scripted", "--json")
    ended = nlpu("run", "p.py:go", *words)
    assert ended.json["result"][0] == "3"
    assert nlpu("replay", ended.json["run_id"], "--json").json["result"][0] == "3"


def test_a_program_as_text_takes_them_too(nlpu: Terminal) -> None:
    text = 'op shorten(text: str) -> str max_tokens=200: "Shorten."\nparam %1 books: list[str]\n'
    Path("p.nl").write_text(f"{text}%2 = map shorten %1\nreturn %2\n")
    ended = nlpu("run", "p.nl", '["a", "b"]', "--engine", "scripted", "--json")
    assert len(json.loads(ended.out)["result"]) == 2


def test_a_sessions_values_are_taken_as_they_are(nlpu: Terminal) -> None:
    Path("p.py").write_text(PROGRAM.replace("{kind}", "list[int]"))
    Path("it.json").write_text("[1, 2]")
    assert execute(lambda: acts.run("p.py:go", it=acts.Given("[3]"))).result[0] == "[3]"
    assert execute(lambda: acts.run("p.py:go", acts.Given("[3]"))).result[0] == "[3]"
    error = execute(lambda: acts.run("p.py:go", acts.Given("@it.json"))).error
    assert isinstance(error, Usage) and "'it' must be list of int" in str(error)
    assert "cannot be read here" in str(execute(lambda: acts.run("p.py:go", "@it.json")).error)


def test_a_type_that_a_terminal_cannot_give_names_its_parameter(nlpu: Terminal) -> None:
    ended = run(nlpu, "object", "1")
    assert ended.code == 2 and "cannot give 'it', of type <class 'object'>" in ended.err
    typed = PROGRAM.replace("from typing_extensions import", "from typing import")
    Path("p.py").write_text(typed.replace("{kind}", "Facts"))
    ended = nlpu("run", "p.py:go", '{"age": 9}', "--engine", "scripted", "--json")
    if sys.version_info < (3, 12):  # pydantic reads it from there on
        assert ended.code == 2 and "cannot give 'it'" in ended.err
        assert "`typing_extensions.TypedDict` instead of `typing.TypedDict`" in ended.err
    else:
        assert ended.json["result"][0] == "{'age': 9}"


def test_a_number_below_zero_stands_behind_two_dashes_or_has_a_name(nlpu: Terminal) -> None:
    for word in ("-3", "-warm"):
        ended = run(nlpu, "str", word)
        assert ended.code == 2 and "(see: nlpu run --help; behind -- words may begin" in ended.err
    Path("p.py").write_text(PROGRAM.replace("{kind}", "int"))
    for words in (["it=-3"], ["--", "-3"]):
        ended = nlpu("run", "--engine", "scripted", "--json", "p.py:go", *words)
        assert ended.json["result"][0] == "-3", words


def test_a_word_stays_at_its_place_whatever_has_a_name(nlpu: Terminal) -> None:
    Path("p.py").write_text("def go(a: int, b: int = 0, *rest: int):\n    return [a, b, *rest]\n")
    for words in (["5", "a=6"], ["a=6", "5"], ["1", "5", "b=6"], ["1", "5", "7", "b=6"]):
        ended = nlpu("run", "p.py:go", *words, "--engine", "scripted", "--json")
        assert ended.code == 2, words
        assert (
            "is given twice, by its name and as '5' by its place" in ended.json["error"]["message"]
        )
    for words, result in (
        (["5", "b=6"], [5, 6]),
        (["b=6", "5"], [5, 6]),
        (["5", "6", "7"], [5, 6, 7]),
    ):
        ended = nlpu("run", "p.py:go", *words, "--engine", "scripted", "--json")
        assert ended.json["result"] == result, words


def test_the_help_names_every_convention_that_there_is(nlpu: Terminal) -> None:
    layout = get_args(Layout)[1]
    assert layout.metavar == "|".join(KNOWN) and KNOWN["1"] == FIRST
    for version in KNOWN:
        Path("p.py").write_text("def go():\n    return 1\n")
        words = ("--engine", "scripted", "--convention", version)
        assert nlpu("run", "p.py:go", *words).code == 0
