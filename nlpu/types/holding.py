"""Whether what Python made is kept as it was, and what is kept read again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from nlpu.errors import BadOperand
from nlpu.types.json_text import written


def plain(text: str) -> str:
    """Give the characters of a text whose class may write it otherwise: an Enum that is a str."""
    return text if type(text).__str__ is str.__str__ else str.__str__(text)


def from_json(reader: TypeAdapter[Any], text: str) -> Any:
    """Read JSON as its type does, or else by its fields' names, as we write some of them."""
    try:
        return reader.validate_json(text)
    except ValidationError as error:
        with suppress(ValidationError):
            return reader.validate_json(text, by_alias=True, by_name=True)
        raise error


def held(where: str, made: Any, write: Callable[[], str], parse: Callable[[str], Any]) -> str:
    """Give the text of what Python made, if it reads back as it was. Raises BadOperand."""
    try:
        text = write()
        back = parse(text)
        if back == made and type(back) is type(made):
            return text
        why = f"{text:.60} reads back as another value; it has fields, aliases, validators or "
        why += "serialisers that lose or change something"
    except Exception as error:  # the model's own code may raise anything (rule 4)
        why = f"it cannot be written and read again: {error.__cause__ or error}"
    raise BadOperand(f"{where} cannot be kept in the journal: {why}"[:400])


def held_records(where: str, made: Any, reads: Callable[[Any], TypeAdapter[Any]]) -> None:
    """Check the records in what Python made, alone or in lists and dicts. Raises BadOperand.

    reads: gives a class's validator. Fields that are not written, private ones and secrets would
    be other values in a later life, and nobody would notice.
    """
    if isinstance(made, BaseModel):
        kind = reads(type(made))
        held(where, made, lambda: written(kind, made, True), lambda text: from_json(kind, text))
    elif isinstance(made, list | tuple | dict):
        for part in made.values() if isinstance(made, dict) else made:
            held_records(where, part, reads)
