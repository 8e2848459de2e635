"""The scripted engine's own answers: valid values of every type, the same for the same prompt.

The schemas here are pydantic's own, of the annotation itself, without what result types add.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from answered_types import FEW, MANY, Person, Ping
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from nlpu.errors import ConstraintRejected
from nlpu.sampling import Sampling
from nlpu.testing.examples import example
from nlpu.testing.patterns import Dice
from nlpu.testing.scripted import Seen, default_answer, see
from nlpu.wire import Constraint, Request


def asked(prompt: str, schema: Any) -> Seen:
    """The request of a prompt under a schema, as the engine sees it."""
    spec = Constraint("json", json.dumps(schema))
    return see(Request("r", tuple(map(ord, prompt)), Sampling(1000), spec))


PROMPTS = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), max_size=20)


@pytest.mark.parametrize("annotation", [*MANY, *FEW], ids=lambda kind: str(kind)[:60])
def test_what_is_said_is_a_value_of_the_type(annotation: Any) -> None:
    adapter = TypeAdapter(annotation)
    schema = adapter.json_schema()

    @settings(max_examples=40)
    @given(PROMPTS)
    def check(prompt: str) -> None:
        said = default_answer(asked(prompt, schema))
        adapter.validate_json(said)
        assert said == default_answer(asked(prompt, schema))
        assert len(said) < 20_000

    check()
    said = {default_answer(asked(f"prompt {n}", schema)) for n in range(30)}
    assert len(said) >= (4 if annotation in MANY else 1)


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "integer", "minimum": 7, "maximum": 3}, "minimum 7, maximum 3"),
        ({"type": "integer", "minimum": 6, "maximum": 9, "multipleOf": 5}, "multipleOf 5"),
        ({"type": "number", "exclusiveMinimum": 1, "exclusiveMaximum": 1}, "exclusiveMinimum 1"),
        ({"type": "string", "minLength": 5, "maxLength": 3}, "minLength 5"),
        ({"type": "string", "pattern": "^abc$", "minLength": 5}, "\\^abc"),
        ({"type": "string", "pattern": "^(a)\\1$"}, "groupref"),
        ({"type": "string", "pattern": "(((", "maxLength": 3}, "not read"),
        ({"type": "string", "format": "uuid", "maxLength": 5}, "uuid"),
        ({"type": "array", "minItems": 2, "maxItems": 1}, "minItems 2"),
        ({"type": "array", "items": {"enum": [1, 2]}, "minItems": 3, "uniqueItems": True}, "3"),
        (
            {"type": "object", "properties": {}, "minProperties": 1, "additionalProperties": False},
            "1 members",
        ),
        ({"type": "object", "properties": {"a": False}, "required": ["a"]}, "false"),
        ({"enum": []}, "no choices"),
        ({"allOf": [{"enum": [1]}, {"enum": [2]}]}, "no choices"),
        ({"anyOf": []}, "no options"),
        ({"$ref": "#/$defs/nowhere"}, "nowhere"),
        ({"$ref": "#"}, "has another in it"),
        ({"not": {"type": "string"}}, "'not'"),
        (
            {
                "$defs": {
                    "A": {
                        "type": "object",
                        "properties": {"a": {"$ref": "#/$defs/A"}},
                        "required": ["a"],
                    }
                },
                "$ref": "#/$defs/A",
            },
            "has another in it",
        ),
    ],
)
def test_what_cannot_be_met_is_refused_and_named(schema: Any, told: str) -> None:
    with pytest.raises(ConstraintRejected, match=told):
        example(schema, Dice("any"))


BOTH: list[tuple[Any, Any]] = [
    ({"minimum": 5, "type": "integer", "allOf": [{"minimum": 9, "maximum": 9}]}, 9),
    ({"type": ["integer", "null"], "allOf": [{"type": ["string", "null"]}]}, None),
    ({"type": "number", "allOf": [{"type": "integer"}, {"enum": [2, 3]}, {"enum": [3, 4]}]}, 3),
    (
        {
            "anyOf": [{"type": "string"}, {"type": "integer"}],
            "minimum": 3,
            "maximum": 3,
            "type": "integer",
        },
        3,
    ),
    ({"anyOf": [False, {"const": 1}]}, 1),
    ({"anyOf": [{"type": "string", "pattern": "(?<=a"}, {"const": 1}]}, 1),
    ({"properties": {"a": False, "b": {"const": 1}}, "required": ["b"]}, {"b": 1}),
    ({"properties": {"a": {"allOf": [{"maxLength": 0}]}}, "required": ["a"]}, {"a": ""}),
    ({"required": ["x"], "additionalProperties": {"const": 2}, "properties": {}}, {"x": 2}),
    ({"items": [{"const": 1}], "additionalItems": False}, [1]),
    ({"type": "string", "allOf": [{"pattern": "^a[a-d]$"}, {"pattern": "b$"}]}, "ab"),
    (
        {
            "type": "integer",
            "multipleOf": 4,
            "allOf": [{"multipleOf": 6}],
            "minimum": 1,
            "maximum": 23,
        },
        12,
    ),
]


@pytest.mark.parametrize(("schema", "value"), BOTH)
def test_what_must_hold_at_once_does(schema: Any, value: Any) -> None:
    for n in range(20):
        assert example(schema, Dice(str(n))) == value


def test_what_has_no_bounds_is_small() -> None:
    for kind in (int, float, str, list[int], dict[str, float], set[str]):
        schema = TypeAdapter(kind).json_schema()
        assert max(len(json.dumps(example(schema, Dice(str(n))))) for n in range(200)) < 120
    wide = [example({"type": "integer"}, Dice(str(n))) for n in range(200)]
    assert sum(0 <= n <= 100 for n in wide) > 120


def test_members_that_may_be_left_out_are_mostly_there_and_deep_values_end_soon() -> None:
    schema = TypeAdapter(Person).json_schema()
    people = [Person.model_validate(example(schema, Dice(str(n)))) for n in range(100)]
    assert 50 < sum("mail" in person.model_fields_set for person in people) < 100
    names = [f"M{n}" for n in range(12)]
    fields = {name: {"type": "array", "items": {"$ref": f"#/$defs/{name}"}} for name in names}
    wide = {"$defs": {key: {"properties": fields} for key in names}, "$ref": "#/$defs/M0"}
    assert len(json.dumps(example(wide, Dice("wide")))) < 10_000
    schema = TypeAdapter(Ping).json_schema()
    assert max(len(json.dumps(example(schema, Dice(str(n))))) for n in range(100)) < 10_000
