"""Programs as text: written and read without loss, and checked before they run."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from keyword import iskeyword
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import echo, execute
from pydantic import BaseModel, Field

from nlpu import isa
from nlpu.calibration import Calibration
from nlpu.errors import BadOp, BadProgram
from nlpu.label import SYSTEM, UNTRUSTED, USER, intern_label
from nlpu.ops.op import Op, Operand
from nlpu.runtime.drivers.driver import driver
from nlpu.runtime.plans.bounds import Bounds, Given
from nlpu.runtime.plans.check import check
from nlpu.runtime.plans.execute import program_of
from nlpu.runtime.plans.format import write
from nlpu.runtime.plans.lexer import RESERVED
from nlpu.runtime.plans.parse import STANDARD, read
from nlpu.runtime.plans.plan import Outside, Param, Plan, Ref, Step
from nlpu.runtime.plans.plan import Seen as Looked
from nlpu.sampling import DEFAULTS, MACHINES, SEEDS, Sampling
from nlpu.testing.scripted import Scripted, Seen
from nlpu.types.from_schema import plain, schema_type
from nlpu.types.result import result_type


class Tone(Enum):
    WARM = "warm"
    COLD = "cold"


class Part(BaseModel):
    text: str
    tone: Tone | None = None
    count: int = 3
    children: list[Part] = []


# -- the law ---------------------------------------------------------------------------------

NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True).filter(lambda n: n not in RESERVED)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
TYPES = st.sampled_from(
    [
        str,
        bool,
        int,
        float,
        Tone,
        Literal["a", 'b"c', "ü"],
        list[str],
        list[int],
        list[Tone],
        Part,
        list[Part],
        isa.Judgement,
        Annotated[int, Field(ge=1, le=9)],
    ]
).map(result_type)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | TEXTS
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(TEXTS, part, max_size=3),
    max_leaves=5,
)
EXPRESSIONS = st.recursive(
    JSON | st.integers(1, 99).map(Ref),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(TEXTS, part, max_size=3),
    max_leaves=5,
)
LABELS = st.builds(
    lambda label, who: intern_label(label.integrity, who),
    st.sampled_from([USER, SYSTEM, UNTRUSTED]),
    st.none() | st.frozensets(TEXTS, max_size=2),
)
CONDITIONS = LABELS | st.builds(
    lambda number, state: Looked(number, *state),
    st.integers(1, 99),
    st.sampled_from([(False, ()), (True, ())]) | JSON.map(lambda content: (False, (content,))),
)


SERVERS_OWN = NAMES.filter(lambda name: name not in MACHINES and name not in DEFAULTS)
SAMPLING = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.sampled_from([0.0, 0.7]),
        "top_p": st.sampled_from([0.5, 1.0]),
        "top_k": st.integers(0, 99),
        "min_p": st.floats(0, 1),
        "seed": st.integers(0, SEEDS - 1),
        "presence_penalty": st.floats(-2, 2),
        "frequency_penalty": st.floats(-2, 2),
        "extra": st.dictionaries(SERVERS_OWN, st.none() | st.integers() | TEXTS | st.booleans()),
    },
)


@st.composite
def ops(draw: Callable[..., Any], name: str) -> Op[Any]:
    places = draw(st.lists(NAMES, max_size=3, unique=True))
    result = draw(TYPES)
    stop = draw(st.lists(TEXTS.filter(bool), max_size=2)) if result.kind == "text" else ()
    return Op(
        draw(st.just(name) | TEXTS),
        draw(TEXTS.filter(str.strip)),
        tuple(Operand(place, draw(TYPES)) for place in places if place != "samples"),
        result,
        Sampling(draw(st.integers(0, 900)), **draw(SAMPLING), stop=stop),
        calibration=Calibration(0.5, -1.5e-7, draw(st.booleans()))
        if result.kind == "judgement" and draw(st.booleans())
        else None,
        at_limit="trim" if result.kind == "text" and draw(st.booleans()) else "error",
    )


@st.composite
def plans(draw: Callable[..., Any]) -> Plan:
    uses: dict[str, Any] = {name: draw(ops(name)) for name in draw(st.sets(NAMES, max_size=3))}
    uses |= {n: STANDARD[n] for n in draw(st.sets(st.sampled_from(sorted(STANDARD)), max_size=2))}
    uses |= {f"d{n}": Outside("driver", draw(TEXTS.filter(bool)), "0a") for n in range(2)}
    uses["f"] = Outside("function", "f")
    of_params = NAMES.filter(lambda name: not iskeyword(name)) | st.just("")
    params = draw(st.lists(st.builds(Param, st.integers(1, 99), of_params, TYPES)))
    operands = st.lists(st.tuples(st.just("") | NAMES, EXPRESSIONS), max_size=3).map(tuple)
    given = st.lists(CONDITIONS, max_size=2).map(tuple)
    named = st.sampled_from(sorted(uses))
    number = st.integers(1, 99)
    calls = st.builds(
        Step, number, st.sampled_from(["call", "map", "reduce"]), named, st.just(0), operands, given
    )
    counted = st.builds(
        Step, number, st.sampled_from(["draw", "sample"]), named, st.integers(1, 9), operands, given
    )
    one = EXPRESSIONS.map(lambda part: (("", part),))
    others = st.builds(Step, number, st.just("value"), st.just(""), st.just(0), one, given)
    splits = st.builds(
        Step, number, st.just("split"), st.just(""), st.sampled_from([0, 8, 512]), one, given
    )
    firsts = st.builds(Step, number, st.just("first"), st.just(""), st.just(0), operands, given)
    steps = draw(st.lists(calls | counted | others | splits | firsts, max_size=5))
    return Plan(uses, tuple(params), tuple(steps), draw(EXPRESSIONS))


@pytest.mark.timeout(600)  # plans are large, and a busy machine is slow to make them
@settings(deadline=None, max_examples=30)
@given(plans())
def test_writing_and_reading_are_inverse(plan: Plan) -> None:
    text = write(plan)
    again = read(text)
    assert again == plan
    assert write(again) == text
    with suppress(BadProgram):  # and nothing else, whatever the plan
        check(plan, SEND, Bounds())


GOOD = """
op shorten(text: str) -> str max_tokens=40: "Shorten it."
driver send digest="09"
param %1 book: str
%2 = split %1, 512
%3 = map shorten %2
%4 = judge "Is it sad?", "It rained."
%5 = reduce shorten %3 given %4 = true, untrusted ["ann"], %3 failed
%6 = draw 3 shorten "x"
%7 = send to="ann", body=[%5, {"a": null}]
return {"short": %5}
"""


@settings(deadline=None, max_examples=80)
@given(st.data())
def test_any_text_is_read_or_refused_with_its_place(data: st.DataObject) -> None:
    text = GOOD
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(at, min(len(text), at + 12)))
        piece = data.draw(TEXTS | st.sampled_from([*'[]{}(),:=|%"\n', "%1", "9" * 30, "given"]))
        text = text[:at] + piece + text[end:]
    refusal = ""
    try:
        plan = read(text)
        assert read(write(plan)) == plan
    except BadProgram as error:
        refusal = str(error)
    assert not refusal or re.match(r"line \d+, column \d+: ", refusal)


@settings(deadline=None, max_examples=30)
@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda b: b.decode("latin-1")))
def test_noise_is_refused(text: str) -> None:
    with pytest.raises(BadProgram, match=r"line \d+, column"):
        read(text + "\nx")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("%1 = ", "line 1, column 5: expected a value or JSON, found the end of the line"),
        ("\n%1 = shrink 2", "line 2, column 6: no op is called shrink"),
        ('op a(x: text) -> str: "b"', "column 9: expected a type: str, bool"),
        ('op a() -> str size=3: "b"', "column 15: size is no setting of an op"),
        (f'op a() -> str max_tokens={"9" * 308}: "b"', "column 26: max_tokens cannot be 999"),
        ('op judge digest="00"', "is not that one any more"),
        ("return " + "[" * 40, "at most 24 levels deep"),
        ('return "\\ud800"', "lone surrogate"),
        ("return 1e999", "out of bounds"),
        ('return {"a": 1, "b": [{"c": 2, "c": 3}]}', "column 23: the key 'c' is given twice"),
        (f"return {10**309}", "expected the end of the line"),
        ("param %1 class: str", "a parameter cannot be called class"),
        ("return 1\nreturn 2", "line 2, column 1: expected nothing after the return line"),
        ("", "expected a return line"),
    ],
)
def test_errors_say_the_place_and_what_was_expected(text: str, said: str) -> None:
    with pytest.raises(BadProgram) as refused:
        read(text)
    assert said in str(refused.value)


# -- types from data ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Part, list[Part], list[str], Tone, list[Tone], Literal["a"]])
def test_a_type_from_its_schema_is_equal_and_writes_the_same(kind: Any) -> None:
    made = result_type(kind)
    again = plain(made)
    assert (again, repr(again)) == (made, repr(made))
    whole = '{"text":"a","children":[{"text":"b","tone":"warm"}]}'
    for text in (whole, f"[{whole}]", '["x"]', "warm", '["cold"]', "a"):
        try:
            content = made.parse(text)
        except Exception:
            continue
        assert again.render(again.parse(text)) == made.render(content)


@pytest.mark.parametrize(
    "schema",
    [
        {},
        3,
        {"type": "object", "properties": 3},
        {"type": "string", "pattern": "("},
        {"$ref": "#/$defs/x"},
        {"type": "array"},
        {"enum": []},
        {"type": ["string"]},
        {"anyOf": [{"$ref": "#/$defs/x"}] * 99, "$defs": {"x": {"type": "null"}}},
    ],
)
def test_a_schema_of_another_shape_is_refused(schema: Any) -> None:
    with pytest.raises(BadOp, match="cannot be used"):
        schema_type("x", schema)


# -- checking ----------------------------------------------------------------------------------


@driver(effect="external", roles={"body": "content"})
def send(to: str, body: str) -> str:
    """Send a letter."""
    raise AssertionError("nothing here may send")


SEND = Given({"send": send})


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("%1 = summarize %9", "%9 is not there yet"),
        ("%1 = summarize 4", "operand 'text' of summarize must be text, not int"),
        ('%1 = judge "a", "b"\n%1 = summarize "c"', "%1 has a value already"),
        ('%1 = judge "a", "b"\n%2 = summarize %1', "must be text, not a judgement"),
        ('%1 = map summarize "x"', "map takes a list, not text"),
        ("%1 = map summarize [1, 2]", "must be text, not a whole number"),
        ('%1 = reduce judge ["a"], "b"', "reduce needs an op that gives what it takes"),
        ('%1 = draw 3 summarize "x"', "at temperature 0 are all the same"),
        ('%1 = compare "a"', "'first' is missing"),
        ('%1 = compare "a", "b", third="c"', "'third' does not fit"),
        ("driver fetch\n%1 = fetch", "the driver fetch is not given; a text brings none"),
        ('driver send digest="00"', "is not the one the text was written for"),
        ("driver send\n%1 = send 1, 2", "argument 'to' of send"),
        ("driver send\n%1 = map send [1]", "map takes an op, and send is none"),
        ("%1 = first", "first takes a value"),
        ("%1 = split 5", "split takes a text, not a whole number"),
        ('%1 = split "a", "b"', "split takes a text and, if wanted, tokens from 8 up"),
        ('%1 = summarize "a"\n%2 = split %1', "only a parameter or a literal text"),
        ("return %3", "return: %3 is not there"),
        ("param %1: str\nparam %2 p1: str", "two parameters have the same name"),
    ],
)
def test_what_stands_against_a_plan_is_said_before_it_runs(line: str, said: str) -> None:
    with pytest.raises(BadProgram) as refused:
        program_of(line if "return" in line else f"{line}\nreturn 1", SEND)
    assert said in str(refused.value)


def test_lists_that_double_with_every_line_are_refused() -> None:
    lines = ["%1 = first 1", *(f"%{n + 1} = [%{n}, %{n}]" for n in range(1, 60)), "return %60"]
    with pytest.raises(BadProgram, match="its lists hold more than 100,000 parts in all"):
        program_of("\n".join(lines))


def test_all_objections_come_at_once() -> None:
    with pytest.raises(BadProgram) as refused:
        program_of('%1 = summarize 4\n%2 = map judge "x"\nreturn %3')
    assert len(refused.value.objections) == 4


SUMMARY = """
param %1 book: str
%2 = split %1, 40
%3 = map summarize %2
%4 = reduce summarize %3
return %4
"""
BOOK = "The mill stood still. " * 12


def brief(seen: Seen) -> str:
    return "+".join(text[:9] for text in seen.operands.values())


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        (Bounds(steps=2), "it has 3 steps; at most 2"),
        (Bounds(depth=1), "it is 2 calls deep; at most 1"),
        (Bounds(calls=22), "it may make 23 calls; at most 22"),
        (Bounds(nlops=16), "it may take 29.44 nlops; at most 16"),
    ],
)
def test_bounds_hold_before_anything_is_called(bounds: Bounds, said: str) -> None:
    engine = Scripted("Short.")
    try:
        error: Any = execute(program_of(SUMMARY, bounds=bounds), BOOK, engine=engine).error
    except BadProgram as refused:
        error = refused
    assert said in str(error) and engine.seen == []


def test_an_effect_that_is_not_allowed_is_refused() -> None:
    text = 'driver send\n%1 = send "ann", "hello"\nreturn %1'
    program_of(text, SEND)
    with pytest.raises(BadProgram, match="has the effect external; allowed here: pure, read"):
        program_of(text, SEND, Bounds(effects=frozenset({"pure", "read"})))


def test_a_list_that_nobody_bounds_may_make_any_number_of_calls() -> None:
    text = "param %1 many: list[str]\n%2 = first %1, [1]\n%3 = map summarize %2\nreturn %3"
    program = program_of(text, bounds=Bounds(calls=3))
    assert execute(program, ["a", "b"]).receipt.calls == 2
    assert "may make 4 calls; at most 3" in str(execute(program, list("abcd")).error)

    def unknown() -> Any:
        return program(echo.map(["a"]))

    assert "may make any number of calls" in str(execute(unknown).error)


def test_the_bound_on_calls_is_never_exceeded() -> None:
    run = execute(program_of(SUMMARY, bounds=Bounds(calls=23)), BOOK, engine=Scripted(brief))
    assert run.error is None and 0 < run.receipt.calls <= 23
