"""pydantic's schemas of types, and what we have to know of types beside that.

Rules
1. What no later life could read as the first did has no schema: ``PydanticInvalidForJsonSchema``.
2. A part that says more of a type than pydantic does never narrows it.
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from nlpu.errors import BadOp
from nlpu.types.descriptions import names_of

DECIMAL = r"^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$"
NAMED = "nlpu-names"
_NO_SCHEMAS = {"default", "metadata", "expected", "members"}  # of a core schema: users' own objects
_COMPLEX = "^-?N([+-]Nj)?$|^-?Nj$".replace("N", r"[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def check_members(annotation: Any) -> None:
    """Raise ValueError for an Enum of which no member can be read from JSON.

    What is asked for alone or in lists, unions and such is looked at: a record's own validators
    may read what JSON does not have.
    """
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        reader = TypeAdapter(annotation)
        if not any(_reads_back(reader, member) for member in annotation):
            raise ValueError(
                f"no JSON can be read as a member of {annotation.__name__}, whose values are such "
                f"as {next(iter(annotation)).value!r:.60}; use texts or numbers"
            )
    elif get_origin(annotation) not in (Annotated, Literal):
        for part in get_args(annotation):
            check_members(part)


def check_imports(schema: Any) -> None:
    """Raise BadOp for a core schema with an ``ImportString``: what a reply names would be run."""
    if isinstance(schema, list | tuple):
        for part in schema:
            check_imports(part)
    elif isinstance(schema, dict):
        reads = schema.get("function")
        reads = reads.get("function") if isinstance(reads, dict) else None
        if getattr(reads, "__name__", "") == "import_string" and _is_of_pydantic(reads):
            raise BadOp("an ImportString would import what a reply names: use str")
        for name, part in schema.items():
            if name not in _NO_SCHEMAS:
                check_imports(part)


def _is_of_pydantic(function: Any) -> bool:
    return str(getattr(function, "__module__", "")).startswith("pydantic.")


def _reads_back(reader: TypeAdapter[Any], member: Any) -> bool:
    try:
        return reader.validate_json(reader.dump_json(member)) is member
    except Exception:  # of an Enum's own code, too
        return False


class Schemas(GenerateJsonSchema):
    """pydantic's, with what else is to be known of a type, or that it cannot be read.

    The digits of a Decimal as a string, what an Enum's members mean, how a complex number and a
    truth as a key are written.
    """

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> dict[str, Any]:
        made = super().decimal_schema(schema)
        for option in made.get("anyOf", ()):
            if option.get("type") == "string":
                option.setdefault("pattern", DECIMAL)
        return made

    def complex_schema(self, schema: core_schema.ComplexSchema) -> dict[str, Any]:
        return {**super().complex_schema(schema), "pattern": _COMPLEX}

    def dict_schema(self, schema: core_schema.DictSchema) -> dict[str, Any]:
        made, keys = super().dict_schema(schema), schema.get("keys_schema", {}).get("type")
        if keys in ("tuple", "list", "set", "frozenset", "dict"):
            raise PydanticInvalidForJsonSchema(f"a {keys} cannot be a key in JSON; use text")
        return {**made, "propertyNames": {"enum": ["true", "false"]}} if keys == "bool" else made

    def generator_schema(self, schema: core_schema.GeneratorSchema) -> dict[str, Any]:
        raise PydanticInvalidForJsonSchema(
            "what can be read only once is empty for whoever reads it next; use list"
        )

    def json_or_python_schema(self, schema: core_schema.JsonOrPythonSchema) -> dict[str, Any]:
        writer = schema.get("serialization", {}).get("function")
        name = f"{getattr(writer, '__module__', '')}.{getattr(writer, '__name__', '')}"
        if name.startswith("pydantic.types._serialize_secret"):  # Secret[...]: no mark in a schema
            raise PydanticInvalidForJsonSchema("it holds a secret, which has no text: use str")
        return super().json_or_python_schema(schema)

    def enum_schema(self, schema: core_schema.EnumSchema) -> dict[str, Any]:
        made = super().enum_schema(schema)
        if said := names_of(schema["members"]):
            made[NAMED] = said  # pydantic writes the docstring over a description from here
        return made
