"""JSON schemas as grammars: what is held, what is left to validation, and what is refused."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from grammar_kit import accepts, compiled, schema
from hypothesis import given
from hypothesis import strategies as st

from nlpu.engines.grammar import grammar_of
from nlpu.engines.grammar.gbnf import MOST
from nlpu.errors import ConstraintRejected

NODE = {"$ref": "#/$defs/Node"}
NAMED = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "null"}}}


def nulls(count: int) -> str:
    return json.dumps([None] * count, separators=(",", ":"))


HELD: list[tuple[Any, list[str], list[str]]] = [
    (
        {},
        [
            *("null", "[]", "{}", '"\\ud83d\\ude00"', "-0.5e-07", "1" * 400),
            *('{"a":[1,{"":true}]}', '{"a": [1,{"": true}],"b": []}'),
        ],
        [
            "",
            "nul",
            "01",
            "+1",
            "1.",
            ".5",
            "-",
            "[1, 2]",
            "[1,]",
            '{"a" :1}',
            '{"a":  1}',
            "{1:1}",
            " 1",
            "1 ",
            '"\t"',
            '"\\ud83d"',
            '"\\ude00\\ud83d"',
            '"\\u12"',
            '"\\a"',
            "NaN",
            "'a'",
            "1,2",
        ],
    ),
    (True, ["1", '""'], [""]),
    (
        {"const": {"a b": [1.5, "ü", None]}},
        ['{"a b":[1.5,"ü",null]}', '{"a b":[1.5,"\\u00fc",null]}'],
        ['{"a b":[1.5,"u",null]}', "1"],
    ),
    ({"enum": ["a", 1, True, "\ud800"]}, ['"a"', "1", "true", '"\\ud800"'], ['"b"', "a", "1.0"]),
    ({"type": ["string", "null"], "maxLength": 1}, ['"a"', "null", '""', '"😀"'], ['"ab"', "1"]),
    ({"type": ["integer", "what"]}, ["1"], ["null"]),
    ({"type": "what"}, ["1", "null"], [""]),
    ({"type": "integer"}, ["0", "-1", "9" * 50], ["-0", "00", "1.0", "1e3"]),
    (
        {"type": "integer", "minimum": 5, "maximum": 1234},
        ["5", "9", "10", "99", "999", "1000", "1234"],
        ["4", "1235", "05", "-5", "2000", "12345"],
    ),
    (
        {"type": "integer", "exclusiveMinimum": -3, "exclusiveMaximum": 0.5},
        ["-2", "-1", "0"],
        ["-3", "1", "-0"],
    ),
    ({"type": "integer", "minimum": 10**12}, ["1" + "0" * 12, "9" * 30], ["9" * 12, "-1"]),
    ({"type": "integer", "minimum": 10**60}, ["1" * 61, "9" * 70], ["9" * 60]),
    ({"type": "number", "minimum": 0}, ["0", "0.25", "1e-07", "-0.0", "1.5E+10"], ["-1", "-0.5"]),
    ({"type": "number", "exclusiveMinimum": 0, "maximum": 99.5}, ["7", "99.5", "-0.0"], ["-1"]),
    ({"type": "number", "maximum": -1}, ["-1.5"], ["1", "0"]),
    (
        {"type": "number"},
        ["123456.789012345", "1e+22", "5e-324", "0.00000123456789012345678"],
        ["1.", "1e", "1e1000", "0." + "1" * 24, "--1"],
    ),
    (
        {"type": "string", "minLength": 2, "maxLength": 3},
        ['"ab"', '"\\ud83d\\ude00\\n"', '"\\u0041b\\/"'],
        ['"a"', '"abcd"', '"\\ud83d\\ude00"'],
    ),
    ({"type": "string", "maxLength": MOST + 1}, [json.dumps("a" * (MOST + 9))], ["1"]),
    ({"type": "string", "minLength": MOST + 9}, [json.dumps("a" * (MOST + 9))], ['"a"']),
    ({"type": "string", "maxLength": 0}, ['""'], ['"a"']),
    ({"type": "string", "format": "email"}, ['"a@b.cd"', '"?"'], ["2020"]),
    ({"type": "string", "format": "date"}, ['"2020-01-31"'], ["2020", '"2020-13-01"', '"?"']),
    ({"type": "string", "format": "time"}, ['"23:59"', '"10:00:00.5+02:00"'], ['"24:00"', '"9"']),
    ({"type": "string", "format": "uuid"}, [f'"{UUID(int=7)}"'], ['"7"']),
    ({"type": "array", "items": {"type": "null"}}, ["[]", "[null,null]"], ["[null,]", "[1]"]),
    (
        {"type": "array", "items": {"type": "null"}, "minItems": 1, "maxItems": 2},
        ["[null]", "[null,null]"],
        ["[]", "[null,null,null]"],
    ),
    ({"type": "array", "maxItems": 0}, ["[]"], ["[1]"]),
    ({"type": "array"}, ["[]", '[1,"a",[]]'], ["[,]"]),
    ({"items": {"type": "null"}}, ["[null]"], ["1"]),
    (
        {"prefixItems": [{"type": "null"}, {"const": 1}], "items": False},
        ["[]", "[null]", "[null,1]"],
        ["[1]", "[null,1,1]", "[null,]"],
    ),
    (
        {"prefixItems": [{"type": "null"}, {"const": 1}], "minItems": 1, "maxItems": 3},
        ["[null]", "[null,1]", "[null,1,{}]"],
        ["[]", "[null,2]", "[null,1,{},{}]"],
    ),
    (
        {"prefixItems": [{"type": "null"}, {"const": 1}], "minItems": 3, "items": {"const": 2}},
        ["[null,1,2]", "[null,1,2,2]"],
        ["[null,1]", "[null,1,1]"],
    ),
    (
        {"type": "array", "items": [{"const": 1}], "additionalItems": {"const": 2}},
        ["[]", "[1,2,2]"],
        ["[2]"],
    ),
    ({"type": "array", "items": False}, ["[]"], ["[1]"]),
    ({"prefixItems": [{"const": 1}, False, {"const": 3}]}, ["[]", "[1]"], ["[1,1]", "[1,1,3]"]),
    (
        NAMED,
        ["{}", '{"a":1}', '{"b":null}', '{"a":1,"b":null}'],
        ['{"b":null,"a":1}', '{"c":1}', '{"a":1,}', '{,"b":null}', '{"a":null}'],
    ),
    ({**NAMED, "required": ["b"]}, ['{"b":null}', '{"a":1,"b":null}'], ["{}", '{"a":1}']),
    ({**NAMED, "required": ["a", "b"]}, ['{"a":1,"b":null}'], ["{}", '{"a":1}', '{"b":null}']),
    (
        {**NAMED, "required": ["c"], "additionalProperties": {"const": 3}},
        ['{"c":3}', '{"a":1,"c":3,"d":3}'],
        ["{}", '{"d":3}', '{"c":1}'],
    ),
    ({**NAMED, "additionalProperties": True}, ["{}", '{"z":[]}', '{"a":1,"z":[]}'], ['{"z":[],}']),
    ({**NAMED, "anyOf": [{"required": ["a"]}]}, ['{"a":1}', '{"z":1}'], ["1"]),
    ({"properties": {"a": False, "b": True}}, ["{}", '{"b":[]}'], ['{"a":1}']),
    ({"type": "object"}, ["{}", '{"a":1,"b":[]}'], ["[]", "{a:1}"]),
    ({"type": "object", "additionalProperties": False}, ["{}"], ['{"a":1}']),
    ({"type": "object", "properties": {}}, ["{}"], ['{"a":1}']),
    (
        {
            "type": "object",
            "additionalProperties": {"type": "null"},
            "minProperties": 1,
            "maxProperties": 2,
        },
        ['{"a":null}', '{"":null,"b":null}'],
        ["{}", '{"a":1}'],
    ),
    (
        {
            "type": "object",
            "patternProperties": {"^x": {"const": 1}},
            "additionalProperties": False,
        },
        ["{}", '{"x":1}'],
        ['{"x":2}'],
    ),
    ({"type": "object", "patternProperties": {"^x": {"const": 1}}}, ['{"y":2}'], ["1"]),
    ({"anyOf": [{"type": "null"}, {"const": "ü"}, False]}, ["null", '"ü"'], ["1"]),
    ({"oneOf": [{"type": "integer"}, NAMED]}, ["1", "{}"], ["null"]),
    ({"allOf": [{"type": "null"}]}, ["null"], ["1"]),
    (
        {"allOf": [NAMED, {"properties": {"c": {"const": 1}}, "required": ["c"]}]},
        ['{"c":1}', '{"a":1,"b":null,"c":1}'],
        ["{}", '{"a":1}'],
    ),
    ({"type": "integer", "allOf": [{"minimum": 3}, {"minimum": 5}]}, ["5"], ["2"]),
    (
        {
            "$defs": {"Node": {**NAMED, "additionalProperties": {"const": 1}}},
            **NODE,
            "required": ["q"],
            "properties": {"c": {"const": 1}},
        },
        ['{"a":1,"c":1,"q":1}'],
        ["{}", '{"q":2}'],
    ),
    (
        {"$defs": {"Node": {"properties": {"n": {**NODE, "description": "deeper"}}}}, **NODE},
        ["{}", '{"n":{"n":{}}}'],
        ['{"n":1}'],
    ),
    (
        {"$defs": {"Node": {"properties": {"n": {**NODE, "x-note": "deeper"}}}}, **NODE},
        ["{}", '{"n":{"n":{}}}'],
        ['{"n":1}'],
    ),
    ({"$defs": {"a/b~c d": {"const": 1}}, "$ref": "#/$defs/a~1b~0c%20d"}, ["1"], ["2"]),
    ({"type": "array", "items": {"$ref": "#"}}, ["[]", "[[],[[]]]"], ["[1]"]),
    ({"anyOf": [{"const": 1}, {"$ref": "#/anyOf/0"}]}, ["1"], ["2"]),
    ({"items": {"type": "null"}, "maxItems": 130}, [nulls(0), nulls(51), nulls(130)], [nulls(131)]),
    ({"items": {"type": "null"}, "minItems": 120}, [nulls(120), nulls(500)], [nulls(119), "[]"]),
    (
        {"items": {"type": "null"}, "minItems": 120, "maxItems": 222},
        [nulls(120), nulls(151), nulls(222)],
        [nulls(119), nulls(223)],
    ),
    # what is left to validation
    ({"type": "integer", "multipleOf": 5}, ["5", "6"], ["a"]),
    ({"type": "array", "uniqueItems": True, "contains": {"const": 1}}, ["[2,2]"], ["1"]),
    ({"type": "object", "propertyNames": {"maxLength": 1}}, ['{"abc":1}'], ["1"]),
    ({"not": {"type": "null"}}, ["1", "null"], [""]),
    ({"if": {"type": "null"}, "then": False}, ["1"], [""]),
    ({"type": "string", "pattern": "^(?=a)", "maxLength": 2}, ['"b"'], ['"abc"']),
    ({"type": "string", "pattern": "^a", "maxLength": 2}, ['"a"', '"aaa"'], ['"b"']),
]


@pytest.mark.parametrize(("content", "good", "bad"), HELD)
def test_what_is_held(content: Any, good: list[str], bad: list[str]) -> None:
    constraint = schema(content)
    assert [text for text in good if not accepts(constraint, text)] == [], grammar_of(constraint)
    assert [text for text in bad if accepts(constraint, text)] == [], grammar_of(constraint)


@pytest.mark.parametrize("low", [0, 1, 31, 32, 33, 100])
@pytest.mark.parametrize("more", [0, 1, 31, 32, 33, 64, 300, None])
def test_lengths_are_exact_whatever_they_are(low: int, more: int | None) -> None:
    high = {} if more is None else {"maxLength": low + more}
    constraint = schema({"type": "string", "minLength": low, **high})
    for length in {0, low - 1, low, low + 1, low + (more or 500) - 1, low + (more or 500)} - {-1}:
        for one in ("a", "\\n", "\\ud83d\\ude00", "é"):
            fits = low <= length <= high.get("maxLength", 999)
            assert accepts(constraint, f'"{one * length}"') == fits, (length, one)
    if more is not None:
        assert not accepts(constraint, f'"{"a" * (low + more + 1)}"')


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (False, "no value satisfies"),
        ({"enum": []}, "no choices"),
        ({"anyOf": []}, "no options"),
        ({"anyOf": [False]}, "no value satisfies"),
        ({**NAMED, "required": ["c"], "additionalProperties": False}, "no value satisfies"),
        ({"type": "array", "minItems": 1, "items": False}, "no value satisfies"),
        ({"$ref": "#/$defs/X"}, "which is not in it"),
        ({"$ref": "https://example.org/schema.json"}, "which is not in it"),
        ({"$ref": "#"}, "refers to itself"),
        ({"anyOf": [{"type": "null"}, {"$ref": "#"}]}, "refers to itself"),
        ({"allOf": [{"$ref": "#"}]}, "refers to itself"),
        (
            {
                "$ref": "#/$defs/A",
                "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}},
            },
            "refers to itself",
        ),
    ],
)
def test_what_nothing_satisfies_is_refused(content: Any, what: str) -> None:
    with pytest.raises(ConstraintRejected, match=what):
        grammar_of(schema(content))


def test_a_definition_that_cannot_be_is_left_out_where_it_may_be() -> None:
    part = {"$ref": "#/$defs/A"}
    content = {"$defs": {"A": {"properties": {"x": part, "y": False}, "required": ["y"]}}}
    constraint = schema(
        {**content, "properties": {"a": part, "b": {"anyOf": [part, {"const": 1}]}}}
    )
    assert accepts(constraint, '{"b":1}') and not accepts(constraint, '{"a":{}}')


# -- size ---------------------------------------------------------------------------------------


@given(st.sets(st.integers(0, 29)), st.sets(st.integers(0, 29), max_size=3))
def test_any_of_thirty_optional_members_may_be_left_out(there: set[int], needed: set[int]) -> None:
    named = {f"p{n}": {"const": n} for n in range(30)}
    constraint = schema({"properties": named, "required": [f"p{n}" for n in sorted(needed)]})
    text = json.dumps({f"p{n}": n for n in sorted(there)}, separators=(",", ":"))
    assert accepts(constraint, text) == (needed <= there)
    assert len(grammar_of(constraint)) < 5000


def test_grammars_grow_with_their_schemas_only() -> None:
    def size(count: int) -> int:
        named = {f"p{n:04}": {"type": "string", "maxLength": 9} for n in range(count)}
        return len(grammar_of(schema({"properties": named})))

    assert size(2000) < 21 * size(100)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["a", "object", "#", "^a$"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "type", "$ref", "items"]), inner, max_size=3)
    ),
    max_leaves=5,
)
WORDS = [
    *("type", "properties", "required", "additionalProperties", "patternProperties", "items"),
    *("prefixItems", "minItems", "maxItems", "minLength", "maxLength", "pattern", "minimum"),
    *("maximum", "exclusiveMinimum", "enum", "const", "anyOf", "oneOf", "allOf", "$ref", "$defs"),
    *("minProperties", "maxProperties", "format"),
]


@given(st.dictionaries(st.sampled_from(WORDS), JUNK, max_size=5))
def test_a_schema_of_any_shape_gives_a_grammar_or_is_refused(content: Any) -> None:
    try:
        grammar = grammar_of(schema(content))
    except ConstraintRejected:
        return
    compiled(grammar)
