"""Result types: from a Python annotation to a language the model must write in, and back.

Theory of operation
-------------------
Each annotation has four things: a *constraint* the engine decodes under, a *contract* sentence
that tells the model what is wanted, ``parse`` from generated text to a content, and ``render``
from a content to the canonical text in which it is hashed, stored and fed to other ops.

    str             free text                       bool            yes | no
    Judgement       yes | no, with its probability
    int, float      a bounded numeral               Literal, Enum   one of the choices
    list, models    one JSON value under a schema with bounds; an Annotated int too

Rules
1. ``parse(render(x)) == x`` for every content of the type; a property test holds it.
2. Unbounded parts of a schema get default bounds: a small model writes digits or list items until
   it is cut off, and what is cut off is no result.
3. ``parse`` raises Malformed, ``check`` raises BadOperand; nothing else escapes.
4. What is not written as the type is, but can only mean one of its contents, is that (``lenient``).
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from math import isfinite
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from nlpu.errors import BadOp, BadOperand, Malformed
from nlpu.judgement import Judgement, read
from nlpu.lenient import readings
from nlpu.wire import Constraint

MAX_STRING = 400  # characters of a string inside a record or list
MAX_ITEMS = 16  # items of a list
MAX_INT = 10**9 - 1  # largest absolute value of an integer
_INT = r"-?(0|[1-9][0-9]{0,8})"
_FLOAT = r"-?(0|[1-9][0-9]{0,8})(\.[0-9]{1,6})?"
NUMBER_SCHEMAS = {  # for engines that take JSON schemas and no regular expressions
    regex: {"type": kind, "minimum": -MAX_INT, "maximum": MAX_INT}
    for regex, kind in ((_INT, "integer"), (_FLOAT, "number"))
}

Kind = Literal["text", "bool", "judgement", "int", "float", "choice", "json"]


@lru_cache(maxsize=1024)
def adapter(annotation: Any) -> TypeAdapter[Any]:
    """pydantic's validator for the annotation (built once)."""
    return TypeAdapter(annotation)


@dataclass(frozen=True, slots=True)
class ResultType:
    """One annotation, ready to be decoded. Compares by kind, name and constraint."""

    kind: Kind
    name: str
    contract: str
    constraint: Constraint | None
    annotation: Any = field(compare=False, repr=False)

    @property
    def probabilities(self) -> bool:
        """Whether the engine is asked for the probability of each choice."""
        return self.kind == "judgement"

    def parse(self, text: str) -> Any:
        """The content that a generated text stands for. Raises Malformed."""
        stripped = text.strip()
        parse = _PARSERS[self.kind]
        try:
            return parse(self, stripped)
        except Exception as error:  # a model's own validators may raise anything (rule 3)
            choices = [*choices_of(self.annotation)] if self.kind == "choice" else ()
            for reading in readings(self.kind, stripped, choices):
                with suppress(Exception):
                    return parse(self, reading)
            shown = stripped if len(stripped) <= 80 else stripped[:77] + "..."
            article = "a " if self.kind == "json" else ""  # the other names have their own
            raise Malformed(f"the reply {shown!r} is not {article}{self.name}") from error

    def render(self, content: Any) -> str:
        """The canonical text of a content."""
        if type(content) is str:
            return content
        return _render(self, content)

    def check(self, content: Any, where: str) -> Any:
        """The content, made exactly of this type. Raises BadOperand naming ``where``."""
        if self.kind == "text":
            if not isinstance(content, str):
                raise BadOperand(f"{where} must be {self.name}, not {type(content).__name__}")
            return content
        try:
            return adapter(self.annotation).validate_python(content, strict=self.kind != "json")
        except ValidationError as error:
            what = error.errors()[0]["msg"]
            raise BadOperand(f"{where} must be {self.name}: {what}") from error


def _parse_choice(kind: ResultType, text: str) -> Any:
    return choices_of(kind.annotation)[text]


def _parse_int(kind: ResultType, text: str) -> int:
    number = int(text)
    if abs(number) > MAX_INT:
        raise ValueError(f"{number} is out of bounds")
    return number


def _parse_float(kind: ResultType, text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"{text} is not a number one can count with")
    return number


_PARSERS: dict[str, Any] = {
    "text": lambda kind, text: text,
    "bool": lambda kind, text: {"yes": True, "no": False}[text.lower()],
    "judgement": lambda kind, text: read(text),
    "int": _parse_int,
    "float": _parse_float,
    "choice": _parse_choice,
    "json": lambda kind, text: adapter(kind.annotation).validate_json(text),
}


def _render(kind: ResultType, content: Any) -> str:
    if kind.kind == "bool":
        return "yes" if content else "no"
    if kind.kind == "choice":
        for text, choice in choices_of(kind.annotation).items():
            if choice is content or choice == content:
                return text
    if kind.kind in ("int", "float", "text"):
        return str(content)
    return adapter(kind.annotation).dump_json(content).decode()


@lru_cache(maxsize=1024)
def choices_of(annotation: Any) -> dict[str, Any]:
    """The texts of a Literal's or Enum's choices, with what each stands for."""
    by_value = isinstance(annotation, type)
    return {str(member.value if by_value else member): member for member in _members(annotation)}


def _members(annotation: Any) -> tuple[Any, ...]:
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return tuple(annotation)
    return get_args(annotation)


@lru_cache(maxsize=1024)
def result_type(annotation: Any) -> ResultType:
    """The ResultType of an annotation. Raises BadOp where there is none."""
    if get_origin(annotation) is Annotated:  # bounds: they count where a schema can hold them
        inner = _bare(annotation)
        holds = inner is int or get_origin(inner) is list
        return _json(annotation) if holds else result_type(inner)
    if annotation is str:
        return ResultType("text", "text", "", None, str)
    if annotation is bool or annotation is Judgement:
        constraint = Constraint("choice", '["yes","no"]')
        kind: Kind = "bool" if annotation is bool else "judgement"
        return ResultType(kind, "yes or no", "Answer yes or no.", constraint, annotation)
    if annotation is int:
        wanted = "Answer with one whole number."
        return ResultType("int", "a whole number", wanted, Constraint("regex", _INT), int)
    if annotation is float:
        wanted = "Answer with one number."
        return ResultType("float", "a number", wanted, Constraint("regex", _FLOAT), float)
    if get_origin(annotation) is Literal or (
        isinstance(annotation, type) and issubclass(annotation, Enum)
    ):
        return _choice(annotation)
    if get_origin(annotation) is list or (
        isinstance(annotation, type) and issubclass(annotation, BaseModel)
    ):
        return _json(annotation)
    raise BadOp(
        f"a result can be str, bool, int, float, Literal, Enum, a list of these or a pydantic "
        f"model, not {annotation!r}"
    )


def _bare(annotation: Any) -> Any:
    """The type without what ``Annotated`` adds to it."""
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _choice(annotation: Any) -> ResultType:
    texts = list(choices_of(annotation))
    if not texts or any(text.strip() != text or not text for text in texts):
        raise BadOp(f"{annotation!r} needs choices, each a text without outer blanks")
    if len(texts) != len(_members(annotation)):
        raise BadOp(f"{annotation!r} has choices that are written the same")
    name = "one of " + ", ".join(texts)
    spec = json.dumps(texts, ensure_ascii=False, separators=(",", ":"))
    return ResultType(
        "choice", name, f"Answer with {name}.", Constraint("choice", spec), annotation
    )


def _json(annotation: Any) -> ResultType:
    try:
        schema = bounded(adapter(annotation).json_schema())
    except Exception as error:  # pydantic raises several kinds for types it has no schema for
        raise BadOp(f"{annotation!r} has no JSON schema: {error}") from error
    bare = _bare(annotation)
    name = getattr(bare, "__name__", None) or str(bare)
    if get_origin(bare) is list:
        item = _bare(get_args(bare)[0])
        name = f"list of {getattr(item, '__name__', item)}"
    return json_type(name, schema, annotation)


def json_type(name: str, schema: Any, annotation: Any) -> ResultType:
    """The ResultType of a bounded schema; ``annotation`` is what validates its contents."""
    spec = json.dumps(schema, ensure_ascii=False, separators=(",", ":"), sort_keys=False)
    wanted = f"Answer with JSON of this form: {_form(schema, schema)}"
    return ResultType("json", name, wanted, Constraint("json", spec), annotation)


def bounded(schema: Any) -> Any:
    """The schema with default bounds where it has none, and without titles (rule 2)."""
    if isinstance(schema, list):
        return [bounded(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    out = {key: _bounded_entry(key, item) for key, item in schema.items() if key != "title"}
    kind = out.get("type")
    if kind == "string" and "enum" not in out and "const" not in out and "pattern" not in out:
        out.setdefault("maxLength", MAX_STRING)
    elif kind == "array":
        out.setdefault("maxItems", MAX_ITEMS)
    elif kind == "integer":
        out.setdefault("minimum", -MAX_INT)
        out.setdefault("maximum", MAX_INT)
    elif kind == "object" and "properties" in out:
        out.setdefault("additionalProperties", False)
    return out


def _bounded_entry(key: str, item: Any) -> Any:
    if key in ("properties", "$defs"):  # names here are the program's, not schema keywords
        return {name: bounded(sub) for name, sub in item.items()}
    return item if key in ("enum", "const", "default", "required") else bounded(item)


def _form(schema: Any, root: Any) -> str:
    """A short human form of a schema, for the contract: {"name": string, "age": integer}."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return _form(root["$defs"][name], {"$defs": {**root["$defs"], name: {"type": name}}})
    if "enum" in schema:
        return " | ".join(json.dumps(choice, ensure_ascii=False) for choice in schema["enum"])
    if "const" in schema:
        return json.dumps(schema["const"], ensure_ascii=False)
    if "anyOf" in schema:
        return " | ".join(_form(option, root) for option in schema["anyOf"])
    if "properties" in schema:
        parts = (f'"{key}": {_form(sub, root)}' for key, sub in schema["properties"].items())
        return "{" + ", ".join(parts) + "}"
    if schema.get("type") == "array":
        return f"[{_form(schema.get('items', {}), root)}, ...]"
    return str(schema.get("type", "value"))
