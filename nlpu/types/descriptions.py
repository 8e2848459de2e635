"""What an annotation says beside its type: descriptions, an Enum's docstring, its members' names.

Rules
1. A name is told where its value, which is all a model sees, is no word: 1 is TODAY, "en" is
   ENGLISH. A word means itself, whatever a program calls it. So are the names of a NamedTuple.
2. What is found here is in no schema; an op that tells it has it in its digest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from enum import Enum
from inspect import cleandoc
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import RootModel
from pydantic.fields import FieldInfo

from nlpu.chat import Chat
from nlpu.errors import BadOp, BadOperand
from nlpu.lifting import check_text

NAMES = "Here "  # how the line with the members' names begins
_WORD = 3  # letters; what has fewer is a sign that stands for something
# What a dataclass, a TypedDict and a NamedTuple have.
_RECORDS = ("__dataclass_fields__", "__required_keys__", "_field_defaults")
_NO_DOCS = (None, "An enumeration.")


def described(annotation: Any, fields: bool = True) -> str:
    """What ``Annotated`` says in words of a type and of all types in it; a line each.

    fields: with those of ``Field``, which stand in a schema where there is one. Raises BadOp.
    """
    texts = dict.fromkeys(_described(annotation, "", fields, (Chat,)))  # a Chat is ours
    return _sendable(f"{where}: {text}" if where and text else text for where, text in texts)


def meaning_of(kind: type[Enum]) -> str:
    """An Enum's docstring, and what its members are called where that tells more. Raises BadOp."""
    docs = "" if kind.__doc__ in _NO_DOCS else cleandoc(kind.__doc__ or "")
    return _sendable((docs, names_of(kind)))


def names_of(members: Iterable[Enum]) -> str:
    """The names of members that say more than their values (rule 1), as a sentence, if any do."""
    said = [f"{each.value} is {_words(each.name)}" for each in members if _tells(each)]
    return f"{NAMES}{', '.join(said)}." if said else ""


def _described(
    annotation: Any, where: str, fields: bool, within: tuple[Any, ...]
) -> Iterator[tuple[str, str]]:
    """The texts, each with its place, as ``forms.told`` names it. ``within``: records around it."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        for each in parts[1:]:
            if isinstance(each, str):
                yield where, each
            elif fields and isinstance(each, FieldInfo):
                yield where, each.description or ""
        parts = parts[:1]
    elif annotation not in within:
        if hasattr(annotation, "_field_defaults"):  # a NamedTuple: written as a list
            yield where, f"{NAMES}the items are {', '.join(annotation._fields)}."
        for name, kind in _fields_of(annotation):
            place = f"{where}.{name}" if where and name else where or name
            yield from _described(kind, place, False, (*within, annotation))
    for each in parts if origin is not Literal else ():
        yield from _described(each, _inside(origin, parts, where), False, within)


def _inside(origin: Any, parts: tuple[Any, ...], where: str) -> str:
    """The place of what a type has in it."""
    if origin in (Annotated, Union, UnionType) or (origin is tuple and parts[-1] is not ...):
        return where
    if len(parts) == 2 and origin is not tuple:  # a mapping
        return f"{where}.*" if where else "each"
    return f"{where}[]" if where else "each"


def _fields_of(kind: Any) -> Iterator[tuple[str, Any]]:
    """The fields of a record with their types; pydantic keeps what ``Annotated`` adds apart."""
    found = vars(kind).get("__pydantic_fields__") if isinstance(kind, type) else None
    if found is not None:
        for name, info in found.items():
            called = info.validation_alias if isinstance(info.validation_alias, str) else name
            texts = [each for each in info.metadata if isinstance(each, str)]
            own = Annotated[info.annotation, *texts] if texts else info.annotation
            yield "" if issubclass(kind, RootModel) else called, own
    elif any(hasattr(kind, mark) for mark in _RECORDS):
        with suppress(Exception):  # an annotation can be any expression
            yield from get_type_hints(kind, include_extras=True).items()


def _sendable(texts: Iterable[str]) -> str:
    lines = filter(None, (" ".join(text.split()) for text in texts))
    try:
        return check_text("\n".join(dict.fromkeys(lines)), "a type's description")
    except BadOperand as error:
        raise BadOp(str(error)) from None


def _tells(member: Enum) -> bool:
    name, value = _letters(member.name), _letters(str(member.value))
    if sum(map(str.isalpha, name)) < _WORD:
        return False
    return name not in value and sum(map(str.isalpha, value)) < _WORD


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text)).casefold()


def _words(name: str) -> str:
    return " ".join(name.lower().split("_")).strip()
