"""What an annotation says beside its type: descriptions, an Enum's docstring, its members' names.

And what it is called itself (``called``).

Rules
1. A name is told where its value, which is all a model sees, is no word: 1 is TODAY, "en" is
   ENGLISH. A word means itself, whatever a program calls it.
2. What is found here is in no schema; an op that tells it has it in its digest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from inspect import cleandoc
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from nlpu.errors import BadOp, BadOperand
from nlpu.lifting import check_text

NAMES = "Here "  # how the line with the members' names begins
_WORD = 3  # letters; what has fewer is a sign that stands for something
_NO_DOCS = (None, "An enumeration.")


def described(annotation: Any, fields: bool = True) -> str:
    """What ``Annotated`` says in words of a type, or of a union's members; a line each.

    fields: with those of ``Field``, which stand in a schema where there is one. Raises BadOp.
    """
    return _sendable(_described(annotation, fields))


def meaning_of(kind: type[Enum]) -> str:
    """An Enum's docstring, and what its members are called where that tells more. Raises BadOp."""
    docs = "" if kind.__doc__ in _NO_DOCS else cleandoc(kind.__doc__ or "")
    return _sendable((docs, names_of(kind)))


def names_of(members: Iterable[Enum]) -> str:
    """The names of members that say more than their values (rule 1), as a sentence, if any do."""
    said = [f"{each.value} is {_words(each.name)}" for each in members if _tells(each)]
    return f"{NAMES}{', '.join(said)}." if said else ""


def _described(annotation: Any, fields: bool) -> Iterator[str]:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        for member in parts:
            yield from _described(member, fields=False)
    if origin is not Annotated:
        return
    for each in parts[1:]:
        if isinstance(each, str):
            yield each
        elif fields and isinstance(each, FieldInfo):
            yield each.description or ""


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


def unannotated(annotation: Any) -> Any:
    """The type without what ``Annotated`` adds to it."""
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def called(annotation: Any) -> str:
    """A name that is the same in every process: no modules, no addresses."""
    kind = unannotated(annotation)
    if kind in (None, NoneType):
        return "null"
    if kind is ...:
        return "..."
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " or ".join(map(repr, parts))
    names = [called(part) for part in parts]
    if origin is list:
        return f"list of {names[0]}"
    if origin is None or not names:
        return str(getattr(kind, "__name__", None) or type(kind).__name__)
    if origin in (Union, UnionType):
        return " or ".join(names)
    return f"{getattr(origin, '__name__', 'value')}[{', '.join(names)}]"
