"""Patterns of JSON schemas as grammars: what pydantic finds in a string, in every JSON form."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from random import Random

import pytest
from grammar_kit import accepts, schema, walk, written
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import SchemaValidator, core_schema
from test_grammar_regex import TEXTS, UNREAD, WHOLE, changed

from nlpu.engines.grammar import grammar_of
from nlpu.engines.grammar.from_regex import pattern_body
from nlpu.engines.grammar.gbnf import Ranges, Rules
from nlpu.engines.grammar.regex_sets import known_set

PATTERNS = [
    *[
        one
        for one in WHOLE
        if not re.search(r"\\[wWDSZ]|\[\^a-c|\{,|\(\?P|\\/|^\{|x\{1$|\\\"", one)
    ],
    r"a",
    r"^a",
    r"a$",
    r"^a$",
    r"^(a|b)c?$",
    r"a|^b$",
    r"(a|^b)-",
    r'"',
    r"^[^\"\\]*$",
    r"^\\$",
    r"^[\x00-\x1f]$",
    r"^[é-😀]+$",
    r"^/.\n$",
    r"$",
    r"\d",
    r"^\s+$",
]


@lru_cache(maxsize=256)
def validator(pattern: str) -> SchemaValidator:
    """pydantic's own reading of a pattern."""
    return SchemaValidator(core_schema.str_schema(pattern=pattern))


@given(st.data(), st.sampled_from(PATTERNS))
def test_a_pattern_is_searched_for_as_pydantic_does(data: st.DataObject, pattern: str) -> None:
    constraint = schema({"type": "string", "pattern": pattern})
    found = data.draw(st.from_regex(pattern) | TEXTS)
    for text in (found, changed(found, data)):
        matches = validator(pattern).isinstance_python(text)
        for form in written(text):
            assert accepts(constraint, form) == matches, form


LETTERS = [r"^\w+$", r"^\W$", r"^\D$", r"^\S$", r"^[^\w]$", r"^[^\s\d]$", r"^[^\W\d]$", r"^[\w-]$"]


@given(st.sampled_from(LETTERS), st.text(max_size=2))
def test_sets_with_letters_are_never_narrower(pattern: str, text: str) -> None:
    constraint = schema({"type": "string", "pattern": pattern})
    if validator(pattern).isinstance_python(text):
        assert all(accepts(constraint, form) for form in written(text))
    elif text.isascii():
        assert not any(accepts(constraint, form) for form in written(text))


@pytest.mark.parametrize("letter", "dsw")
def test_the_tables_hold_what_pydantic_takes(letter: str) -> None:
    takes = validator(f"^\\{letter}$").isinstance_python
    points = [point for point in range(0x110000) if not 0xD800 <= point <= 0xDFFF]
    taken = {point for point in points if takes(chr(point))}
    wide = members(known_set(letter, True))
    assert members(known_set(letter, False)) <= taken <= wide
    assert letter == "w" or taken == wide
    others = set(points) - taken
    assert members(known_set(letter.upper(), False)) <= others
    assert others <= members(known_set(letter.upper(), True))


def members(ranges: Ranges) -> set[int]:
    return {point for low, high in ranges for point in range(low, high + 1)}


@pytest.mark.parametrize(
    ("pattern", "forms"),
    [
        ('^"$', ['"\\""', '"\\u0022"']),
        (r"^\\$", ['"\\\\"', '"\\u005C"', '"\\u005c"']),
        (r"^\n$", ['"\\n"', '"\\u000a"', '"\\u000A"']),
        (r"^/$", ['"/"', '"\\/"']),
        (r"^é$", ['"é"', '"\\u00e9"', '"\\u00E9"']),
        (r"^😀$", ['"😀"', '"\\ud83d\\ude00"', '"\\uD83D\\uDE00"']),
        (r"^\x00$", ['"\\u0000"']),
        (r"^\x7f$", ['"\x7f"', '"\\u007f"']),
    ],
)
def test_all_forms_of_a_character(pattern: str, forms: list[str]) -> None:
    constraint = schema({"type": "string", "pattern": pattern})
    assert [form for form in forms if not accepts(constraint, form)] == []
    for wrong in ('"', '""', '"\n"', '"\\"', '"\\x41"', '"\\u00e"', '"\\ude00"', '"e"'):
        assert not accepts(constraint, wrong)


def test_a_pattern_stays_small_however_it_is_nested() -> None:
    pattern = "a?b?"
    for _ in range(12):
        pattern = f"({pattern}c?)*d?"
    rules = Rules()
    assert len(rules.text(pattern_body(rules, pattern))) < 20_000


@given(st.sampled_from(PATTERNS), st.integers(0, 999))
def test_what_is_generated_under_a_pattern_is_found(pattern: str, seed: int) -> None:
    text = walk(schema({"type": "string", "pattern": pattern}), Random(seed))
    if text is not None:
        assert validator(pattern).isinstance_python(json.loads(text)), text


@pytest.mark.parametrize("expression", [*UNREAD, "(" * 3000 + ")" * 3000])
def test_a_pattern_that_is_not_read_is_any_string_of_its_length(expression: str) -> None:
    wide = schema({"type": "string", "pattern": expression, "maxLength": 3})
    plain = schema({"type": "string", "maxLength": 3})
    assert grammar_of(wide) == grammar_of(plain)
