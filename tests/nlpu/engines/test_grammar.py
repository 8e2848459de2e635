"""One grammar for every engine: choices, refusals, and what both engines make of the text."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import pytest
from grammar_kit import accepts, compiled, generated, regex, schema, typed
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from nlpu.engines.grammar import grammar_of
from nlpu.engines.grammar.gbnf import ALL, MOST, common, merged, outside, spans
from nlpu.errors import ConstraintRejected
from nlpu.wire import Constraint

POINTS = st.integers(0, 0x10FFFF).filter(lambda point: not 0xD800 <= point <= 0xDFFF)
SETS = st.lists(st.tuples(POINTS, st.integers(0, 300)), max_size=6).map(
    lambda found: common(merged((low, min(low + more, 0x10FFFF)) for low, more in found), ALL)
)
CHOICES = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
    min_size=1,
    max_size=5,
)


def choice(*texts: str) -> Constraint:
    return Constraint("choice", json.dumps(texts))


def test_a_choice_is_its_literals() -> None:
    assert grammar_of(choice("yes", 'no "é\\')) == 'root ::= "yes" | "no \\"é\\\\"\n'
    shared = 'root ::= "a" choice-1\nchoice-0 ::= "c" | "d"\nchoice-1 ::= "" | "b" choice-0\n'
    assert grammar_of(choice("a", "abc", "abd", "abc")) == shared


@given(CHOICES, st.text(max_size=4))
def test_a_choice_is_exactly_one_of_its_texts(texts: list[str], other: str) -> None:
    constraint = choice(*texts)
    for text in texts:
        assert accepts(constraint, text)
        for wrong in (text[:-1], text + other, other, text + "\n", '"' + text):
            assert accepts(constraint, wrong) == (wrong in texts)


@pytest.mark.parametrize(
    "spec", ["[]", '[""]', '"yes"', "[1]", "yes", '["\\u0000"]', '["\\ud800"]']
)
def test_what_is_no_choice_is_refused(spec: str) -> None:
    with pytest.raises(ConstraintRejected):
        grammar_of(Constraint("choice", spec))


@pytest.mark.parametrize("spec", ["", "{", '{"type":"string"', "\ud800"])
def test_what_is_no_json_is_refused(spec: str) -> None:
    with pytest.raises(ConstraintRejected):
        grammar_of(Constraint("json", spec))


def test_what_is_nested_too_deeply_is_refused() -> None:
    deep: Any = {}
    for _ in range(500):
        deep = {"type": "array", "items": deep}
    for constraint in (schema(deep), regex("(" * 3000 + ")" * 3000)):
        with pytest.raises(ConstraintRejected, match="nested too deeply"):
            grammar_of(constraint)


def test_the_same_constraint_is_written_once() -> None:
    first = grammar_of(choice("a", "b"))
    assert grammar_of(choice("a", "b")) is first


@given(SETS, SETS, POINTS)
def test_sets_of_characters(left: Any, right: Any, point: int) -> None:
    def has(ranges: Any) -> bool:
        return any(low <= point <= high for low, high in ranges)

    assert has(outside(left)) != has(left)
    assert has(common(left, right)) == (has(left) and has(right))
    assert has(merged([*left, *right])) == (has(left) or has(right))


@given(st.integers(0, 9999), st.integers(0, 9999), st.integers(0, 9999))
def test_spans_are_the_numbers_between(low: int, high: int, number: int) -> None:
    first, last, digits = ([int(digit) for digit in f"{n:04}"] for n in (low, high, number))
    found = spans(first, last, 9) if low <= high else []
    inside = [
        span
        for span in found
        if all(least <= digit <= most for digit, (least, most) in zip(digits, span, strict=True))
    ]
    assert len(inside) == (low <= number <= high)  # once: no two ways to write a number


# -- both engines -------------------------------------------------------------------------------


class Leaf(BaseModel):
    word: str
    size: Annotated[float, Field(ge=-1, le=1)] = 0.0


class Branch(BaseModel):
    name: Annotated[str, Field(min_length=2, max_length=12)]
    age: Annotated[int, Field(ge=0, le=130)]
    mood: Literal["glad", 'so "so"', "trübe"] = "glad"
    leaves: Annotated[list[Leaf], Field(max_length=3)] = []
    below: Branch | None = None
    at: tuple[int, bool] | None = None
    notes: dict[str, int] = {}


EVERY: dict[str, Constraint] = {
    "choice": choice("yes", "no", 'sa"y\\', "é😀\n"),
    "integer": regex(r"-?(0|[1-9][0-9]{0,8})"),
    "expression": regex(r"^(?:[A-Z][a-z]+ ?)*\w[^\d\]\-^\\]\s?(a?b?)+\.$"),
    "any": schema({}),
    "record": typed(Branch),
    "leaf": typed(Leaf),
    "huge integer": schema({"type": "integer", "minimum": -17, "maximum": 10**19 + 12345}),
    "number": schema({"type": "number", "minimum": 0, "exclusiveMaximum": 100}),
    "enum": schema({"enum": [1, "ä", None, [True, {"a": 1.5}]]}),
    "pattern": schema({"type": "string", "pattern": r'^[^"]\d{2}\w\s.é"\S|b$'}),
    "found": schema({"type": "string", "pattern": "a|b"}),
    "lengths": schema({"type": "string", "minLength": MOST, "maxLength": 10**6}),
    "longest": schema({"type": "string", "maxLength": MOST}),
    "many": schema({"type": "array", "items": {"type": "null"}, "minItems": MOST}),
    "deep": schema(
        {"type": "array", "maxItems": MOST, "items": {"type": "string", "maxLength": MOST}}
    ),
    "optional": schema({"properties": {f"a b{n}": {"type": "boolean"} for n in range(100)}}),
    "choices": choice(*(f"choice {n}" for n in range(1000))),
    "nothing": schema({"type": "object", "additionalProperties": False}),
    "empty": regex(""),
    "repeated": regex("((a{0,100}b){0,100}c){0,100}(a*)*(b?|c){3}"),
}


@pytest.mark.parametrize("name", EVERY)
def test_xgrammar_reads_every_grammar(name: str) -> None:
    compiled(grammar_of(EVERY[name]))


@pytest.mark.local
@pytest.mark.parametrize("name", EVERY)
def test_llama_reads_every_grammar_and_writes_in_its_language(name: str) -> None:
    constraint = EVERY[name]
    for seed in range(2):
        text, ended = generated(grammar_of(constraint), seed, tokens=64)
        assert not ended or accepts(constraint, text), text
