"""Cases: what they are read from, and how a bad one says where it is and what to do."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from enum import Enum, IntEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit import count, echo, merge, yes
from pydantic import BaseModel, Field

from nlpu import nlop, op
from nlpu.errors import BadOp, BadOperand, Usage
from nlpu.eval.cases import Case, cases_of
from nlpu.eval.questions import questions
from nlpu.isa import classify, judge, rank
from nlpu.judgement import Judgement
from nlpu.sampling import USUAL
from nlpu.types.result import result_type

LINE = {"id": "a-1", "operands": {"text": "x"}, "expected": "x", "tags": {"language": "en"}}


class Tone(Enum):
    GLAD = "glad"
    SAD = "sad"


class Size(IntEnum):
    SMALL = 1
    LARGE = 2


class Bill(BaseModel):
    who: str
    euros: Annotated[int, Field(ge=0)]


@nlop
def bill(text: str) -> Bill:
    """Who pays how much?"""


@nlop
def tone(text: str) -> Tone:
    """Which tone?"""


def written(directory: Path, content: str | bytes, name: str = "c.jsonl") -> Path:
    path = directory / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


# -- where they come from ------------------------------------------------------------------------


def test_python_jsonl_and_csv_give_the_same_cases(tmp_path: Path) -> None:
    first = {"id": "1", "operands": {"left": "a,\nb", "right": "ü"}, "expected": "ab"}
    second = {"id": "2", "operands": {"left": "c", "right": "d"}, "expected": "cd"}
    second |= {"metric": "exact", "tags": {"length": "short"}}
    lines = "\n".join(map(json.dumps, (first, second))) + "\n\n"
    table = 'id,left,right,expected,metric,tag.length\n1,"a,\nb",ü,ab,,\n2,c,d,cd,exact,short\n'
    from_list = cases_of([Case(**first), second])
    assert cases_of(written(tmp_path, lines)) == from_list
    assert cases_of(str(written(tmp_path, table, "c.csv"))) == from_list
    assert cases_of(written(tmp_path, b"\xef\xbb\xbf" + table.encode(), "d.CSV")) == from_list
    assert cases_of([({"text": "x"}, True)]) == (
        Case(id="1", operands={"text": "x"}, expected=True),
    )


def test_a_cell_of_a_table_may_be_a_document(tmp_path: Path) -> None:
    (path := tmp_path / "long.csv").write_text(f"text,expected\n{'word ' * 60_000},x\n")
    (case,) = cases_of(path)
    assert len(case.operands["text"]) == 300_000


def test_a_family_is_a_tag_and_choices_are_divided(tmp_path: Path) -> None:
    (case,) = cases_of([LINE | {"family": "mood", "choices": ["a", "b"]}])
    assert case.tags == {"language": "en", "family": "mood"} and case.choices == ("a", "b")
    table = "text,expected,choices,family\nx,a,a | b,mood\n"
    (case,) = cases_of(written(tmp_path, table, "c.csv"))
    assert case.choices == ("a", "b") and case.tags == {"family": "mood"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(operands=st.dictionaries(st.text(), JSON, max_size=3), expected=JSON)
def test_a_case_reads_back_from_its_json(operands: dict[str, Any], expected: Any) -> None:
    case = Case(id="c", operands=operands, expected=expected, tags={"a": 1, "b": True})
    assert Case.model_validate_json(case.model_dump_json()) == case
    assert cases_of([case.model_dump()]) == (case,)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"has no cases: give at least one"),
        ("{", r"c\.jsonl, line 1 is not JSON: .*; write one object on each line"),
        (json.dumps(LINE) + "\n[1]", r"line 2: a case is an object with operands and expected"),
        ('{"operands": {}}', r"line 1: 'expected' is missing"),
        ('{"expected": 1}', r"line 1: 'operands' is missing"),
        ('{"operands": {}, "expected": NaN}', r"line 1 is not JSON: NaN is not a number"),
        ('{"operands": {"a": 1, "a": 2}, "expected": 1}', "line 1: the key 'a' is given twice"),
        (json.dumps(LINE | {"expect": 1}), r"line 1: a case has no 'expect', but .*into tags"),
        (json.dumps(LINE | {"tags": {"a": []}}), r"line 1: tags\.a"),
        (json.dumps(LINE | {"choices": ["a"]}), r"line 1: choices: .*two or more choices"),
        (json.dumps(LINE | {"operands": "x"}), r"line 1: operands: .*dictionary"),
        (json.dumps(LINE | {"id": 7}), r"line 1: id: .*string"),
        (f"{json.dumps(LINE)}\n\n{json.dumps(LINE)}", r"line 3: the id 'a-1' is that of .*line 1"),
        (
            b'{"operands": {}, "expected": "\xff"}',
            r"is not UTF-8 text \(byte 30\); save it as UTF-8",
        ),
        ("[" * 100_000, r"line 1 is not JSON"),
    ],
)
def test_bad_lines_say_where_and_what_to_do(
    tmp_path: Path, content: str | bytes, message: str
) -> None:
    with pytest.raises(Usage, match=message):
        cases_of(written(tmp_path, content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"c\.csv, line 1: there is no column 'expected'; .*it names none"),
        ("text,answer\nx,y\n", r"no column 'expected'; .*it names text, answer"),
        ("text,expected\n", r"has no cases"),
        ("text,text,expected\nx,y,z\n", r"line 1: the column 'text' is there twice"),
        ("text,,expected\nx,y,z\n", r"line 1: a column has no name"),
        ("text,expected\nx,y\nx,y,z\n", r"line 3 has 3 fields, and there are 2 columns; .*quotes"),
        ('text,expected\n"x\ny",z\nw\n', r"line 4 has 1 fields"),
        ('text,expected\n"x"y,z\n', r"line 2 is not CSV"),
        ('text,expected\n"x,z\n', r"is not CSV"),
    ],
)
def test_bad_tables_say_where_and_what_to_do(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(Usage, match=message):
        cases_of(written(tmp_path, content, "c.csv"))


def test_what_is_no_file_of_cases(tmp_path: Path) -> None:
    with pytest.raises(Usage, match=r"c\.txt: cases are in a \.jsonl or \.csv file"):
        cases_of(tmp_path / "c.txt")
    with pytest.raises(Usage, match=r"cannot be read: No such file"):
        cases_of(tmp_path / "c.jsonl")
    for odd in (7, {"operands": {}, "expected": 1}, Case(operands={}, expected=1)):
        with pytest.raises(Usage, match="cases are a list or the path of"):
            cases_of(odd)
    with pytest.raises(Usage, match="case 1: a case is an object"):
        cases_of(["x"])


# -- held against an op ----------------------------------------------------------------------------


def expected_of(subject: Any, expected: Any, metric: str = "", **operands: Any) -> Any:
    (question,) = questions(
        subject, cases_of([({"text": "x"} | operands, expected)]), metric or None
    )
    return question.expected


def test_a_table_s_texts_are_read_as_the_types() -> None:
    assert expected_of(yes, "Yes") is True and expected_of(yes, "false") is False
    assert expected_of(count, "12") == 12 and expected_of(count, 12) == 12
    assert expected_of(tone, "glad") is Tone.GLAD is expected_of(tone, Tone.GLAD)
    assert expected_of(bill, '{"who":"Ann","euros":3}') == Bill(who="Ann", euros=3)
    assert expected_of(bill, {"euros": 3}) == {"euros": 3}
    double = op("Double it.", int, operands=1)
    assert questions(double, cases_of([({"text": "4"}, "8")]))[0].operands == ("4",)

    @nlop
    def total(numbers: list[int], more: int) -> int:
        """Add them."""

    @nlop
    def maybe(text: str | None) -> date | str | None:
        """When was it?"""

    assert expected_of(maybe, "null", text="null") == "null" and expected_of(maybe, None) is None
    assert questions(maybe, cases_of([({"text": "null"}, None)]))[0].operands == ("null",)
    assert expected_of(op("When?", date), "2024-05-04") == date(2024, 5, 4)
    case = ({"numbers": "[1,2]", "more": "3"}, "6")
    assert questions(total, cases_of([case]))[0].operands == ([1, 2], 3)


@pytest.mark.parametrize(
    ("subject", "expected", "metric", "message"),
    [
        (yes, "maybe", "", "true or false is expected of it, not 'maybe'"),
        (yes, 1, "", "true or false is expected"),
        (echo, 7, "", "a text is expected of it, not 7"),
        (echo, " ", "", "a text is expected of it, not ' ', which is empty"),
        (count, "many", "", "a number is expected of it, not 'many'"),
        (count, 1.5, "", "a whole number is expected of it"),
        (count, True, "", "a number is expected"),
        (tone, "angry", "", "'angry' is none of its choices: glad, sad"),
        (bill, {"whom": "Ann"}, "", "it has no field 'whom', but who, euros"),
        (bill, {"euros": "x"}, "", "'x' does not fit its field 'euros'"),
        (bill, [1], "", "what is expected must be Bill"),
        (echo, ["a"], "set", "set is of a list, and it gives text"),
        (bill, ["a"], "set", "must be Bill"),
        (echo, "a", "one_of", "a list of what would be right is expected by one_of"),
        (echo, [], "one_of", "a list of what would be right"),
        (yes, 3, "number", "number is of a number or a text, and it gives yes or no"),
        (echo, "a", "predicate", "an object is expected by predicate"),
        (echo, {"al": ["x"]}, "predicate", "predicate knows no 'al'; it knows all, any, none"),
        (echo, {"all": "x"}, "predicate", "'all' of predicate is a list of words or phrases"),
        (echo, {"any": [["x"]]}, "predicate", "'any' of predicate is a list"),
        (echo, {"max_words": True}, "predicate", "'max_words' of predicate is a whole number"),
        (yes, True, "judge", "judge is of a text, and it gives yes or no"),
        (echo, 7, "judge", "a text is expected by judge"),
        (echo, "x", "bleu", "there is no metric 'bleu'; use exact, one_of, .*mine.py:score"),
        (rank, ["x"], "", "must be list of"),
    ],
)
def test_what_could_never_be_right_is_refused(
    subject: Any, expected: Any, metric: str, message: str
) -> None:
    operands = {"criterion": "c", "texts": "1. a"} if subject is rank else {"text": "x"}
    cases = cases_of([Case(operands=operands, expected=expected, metric=metric, where="f, line 3")])
    with pytest.raises(BadOperand, match=rf"^f, line 3 \({subject.name}\): .*{message}"):
        questions(subject, cases)


def test_operands_must_fit() -> None:
    for operands, message in (
        ({"left": "a"}, "'right' is missing"),
        ({"left": "a", "right": "b", "more": "c"}, "'more' does not fit there"),
        ({"left": "a", "right": 7}, "operand 'right' of merge must be text, not int"),
        ({"left": "a", "right": "\ud800"}, "lone surrogate"),
    ):
        with pytest.raises(BadOperand, match=rf"case 1 \(merge\): .*{message}"):
            questions(merge, cases_of([(operands, "x")]))


def test_a_case_with_choices_makes_its_op() -> None:
    given = {"by": "mood", "text": "x"}
    (case,) = cases_of([Case(operands=given, expected="b", choices=("a", "b"))])
    assert questions(classify, [case])[0].asks == classify("a", "b")
    (case,) = cases_of([Case(operands={"text": "x"}, expected="b", choices=("a", "b"))])
    assert questions(tone, [case])[0].asks.result.name == op("x", Literal["a", "b"]).result.name
    with pytest.raises(
        BadOperand, match="classify is made of choices: give the case its 'choices'"
    ):
        questions(classify, cases_of([({"text": "x"}, "a")]))
    with pytest.raises(BadOperand, match="only an op can be given choices"):
        questions(lambda text: text, [case])


def test_a_case_s_choices_have_room_and_examples_of_their_own() -> None:
    long = ("a long choice that no token holds", "another one that is even longer than that")
    (case,) = cases_of([Case(operands={"text": "x"}, expected=long[0], choices=long)])
    (asked,) = questions(tone, [case])
    assert asked.asks == replace(tone, result=result_type(Literal[long]), sampling=USUAL)
    assert asked.asks.max_tokens > max(map(len, long)) > tone.max_tokens
    shown = tone.using(examples=[("What a day!", Tone.GLAD)])
    with pytest.raises(
        BadOperand,
        match=r"case 1 \(tone\): example 1 of tone answers 'glad', which is none of the case's "
        r"choices \(a long .*\): show examples of these",
    ):
        questions(shown, [case])
    (case,) = cases_of([Case(operands={"text": "x"}, expected="glad", choices=("glad", "mad"))])
    assert questions(shown, [case])[0].asks.examples == shown.examples


def test_a_case_that_does_not_say_its_answer_is_no_example() -> None:
    for metric, expected in (("predicate", {"all": ["x"]}), ("one_of", ["x", "y"])):
        case = Case(operands={"text": "x"}, expected=expected, metric=metric)
        loose = op("Say more.", dict[str, list[str]], operands=1)
        for subject in (echo, loose):
            with pytest.raises(BadOp, match=f"example 1 .* is a case of the metric '{metric}'"):
                subject.using(examples=[case.model_copy(update={"operands": named(subject)})])
    assert echo.using(examples=[Case(operands={"text": "x"}, expected="y")]).examples


def test_cases_of_files_are_examples_of_ops_of_other_types(tmp_path: Path) -> None:
    @nlop
    def louder(tone: Tone, size: Size, many: int) -> Judgement:
        """Is it louder?"""

    rows = "tone,size,many,expected\nglad,1,3,yes\nsad,2,40,false\n"
    shown = louder.using(examples=cases_of(written(tmp_path, rows, "c.csv")))
    assert [(each.operands, each.answer) for each in shown.examples] == [
        (("glad", "1", "3"), "yes"),
        (("sad", "2", "40"), "no"),
    ]
    line = {"operands": {"tone": "glad", "size": 2, "many": 3}, "expected": True}
    found = cases_of(written(tmp_path, json.dumps(line)))
    assert louder.using(examples=found).examples[0].operands == ("glad", "2", "3")
    (asked,) = questions(louder, found)  # as what is asked
    assert asked.operands == (Tone.GLAD, Size.LARGE, 3)
    told = Case(operands={"text": "x"}, expected='{"who": "Ann", "euros": "9"}')
    assert bill.using(examples=[told]).examples[0].answer == '{"who":"Ann","euros":9}'
    for wrong in ("mad", '{"who": "Ann", "who": "Bo", "euros": 9}'):
        with pytest.raises(BadOp, match="the result of example 1 of op bill does not fit"):
            bill.using(examples=[Case(operands={"text": "x"}, expected=wrong)])
    with pytest.raises(BadOp, match="does not fit"):  # who writes Python can say what is meant
        tone.using(examples=[("What a day!", "glad")])


def named(subject: Any) -> dict[str, str]:
    return {place.name: "x" for place in subject.operands}


def test_a_program_s_arguments_are_checked_as_far_as_it_says() -> None:
    def program(text: str, size: int = 3, *rest: str) -> int:
        return size

    def loose(text, *, other=1):  # type: ignore[no-untyped-def]
        return text

    (found,) = questions(program, cases_of([({"text": "a", "size": "5"}, "7")]))
    assert (found.operands, found.expected, found.metric.name) == (("a", 5), 7, "number")
    (found,) = questions(loose, cases_of([({"text": ["a"]}, {"any": 1})]))
    assert (found.operands, found.metric.name) == ((["a"],), "exact")
    for subject, operands, message in (
        (program, {"size": 5}, "missing a required argument: 'text'; it takes"),
        (program, {"text": "a", "size": "x"}, "argument 'size' must be a whole number"),
        (loose, {"text": "a", "other": 2}, "'other' can only be given by name"),
    ):
        with pytest.raises(BadOperand, match=message):
            questions(subject, cases_of([(operands, 1)]))


def test_ids_are_of_the_cases_and_printing_is_one_line() -> None:
    with pytest.raises(Usage, match="case 2: the id 'a' is that of case 1, too"):
        cases_of([Case(id="a", operands={}, expected=1), Case(id="a", operands={}, expected=2)])
    case = Case(id="a", operands={"text": "x\n" * 500}, expected="y")
    assert len(str(case)) <= 200 and "\n" not in repr(case)
    assert len({case, case.model_copy(update={"where": "elsewhere"})}) == 1
    assert (
        questions(judge, cases_of([({"question": "q", "text": "t"}, True)]))[0].metric.name
        == "exact"
    )
