"""The schema of a type with what no JSON schema can say: bounds of dates, schemes, digits, keys.

Theory of operation
-------------------
Engines are sent the JSON schema that pydantic makes of a type. From the same type pydantic makes it
here once more, and what its validators know beyond it stands under ``MORE`` of each part, as
pydantic has it: dates as dates, by the words of its core schemas.

Rules
1. A type that came as data says what its engines are sent, and no more.
2. Of functions only pydantic's own say something, those that hold a bound; see ``values`` for the
   others, the user's validators among them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from nlpu.testing.texts import MORE
from nlpu.types.forms import schema_for
from nlpu.types.from_schema import PlainJson
from nlpu.types.result import ResultType, adapter, remembered
from nlpu.types.schemas import Schemas

_WORDS = (
    *("ge", "gt", "le", "lt", "multiple_of", "now_op", "tz_constraint", "allowed_schemes"),
    *("max_digits", "decimal_places"),
)


def fuller(kind: ResultType) -> Any:
    """Give the schema of a type with all that it says."""
    if isinstance(kind.annotation, PlainJson) and kind.constraint is not None:
        return json.loads(kind.constraint.spec)
    return _schema(kind.annotation)


@remembered
def _schema(annotation: Any) -> Any:
    return schema_for(adapter(annotation), _Fuller)


class _Fuller(Schemas):
    """pydantic's, with what it leaves out."""

    def build_schema_type_to_method(self) -> Any:
        made: Any = super().build_schema_type_to_method()
        return {kind: self._telling(method) for kind, method in made.items()}

    def _telling(self, method: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def tell(schema: Any) -> Any:
            made, more = method(schema), _said(schema)
            if "keys_schema" in schema:
                more["keys"] = self.generate_inner(schema["keys_schema"])
            if patterns := [*_patterns(schema.get("steps", ())[1:])]:
                made = {**made, "allOf": [{"pattern": pattern} for pattern in patterns]}
            return {**made, MORE: {**made.get(MORE, {}), **more}} if more else made

        return tell


def _said(schema: Any) -> dict[str, Any]:
    """What a core schema says, or the function that it is checked by (rule 2)."""
    function = schema.get("function")
    held = function.get("function") if isinstance(function, dict) else None
    if isinstance(held, partial) and str(held.func.__module__).startswith("pydantic."):
        schema = held.keywords
    return {word: schema[word] for word in _WORDS if schema.get(word) is not None}


def _patterns(steps: Any) -> Any:
    """The patterns that a text is held to behind a validator of the user's."""
    for step in steps:
        inner = step.get("schema", step)
        if isinstance(inner, dict) and isinstance(inner.get("pattern"), str):
            yield inner["pattern"]
