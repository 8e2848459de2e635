"""Likeness: whether what was answered is what was expected, as values of its type.

Rules
1. Texts are the same that differ in nothing that could change their meaning (``matching.bare``);
   choices are values: they are the same or not.
2. Numbers are compared as numbers, times as times: 1.50 is 1.5, and an instant is the same
   wherever its clock stood. Yes and no are no numbers.
3. Of a record the fields that are expected count, if it is of no other type; of an object whose
   names are data (``dict[str, int]``) all do. Of a set the order does not count.
4. Nothing here raises, whatever was answered.
"""

from __future__ import annotations

import dataclasses
import typing
from collections import abc
from collections.abc import Mapping, Sequence
from decimal import Decimal, DecimalException
from enum import Enum
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from nlpu.eval.matching import bare, plain
from nlpu.eval.numerals import same_number
from nlpu.judgement import Judgement

_NUMBERS = (int, float, Decimal)
_OBJECTS = (dict, abc.Mapping, abc.MutableMapping)


def same(expected: Any, said: Any, annotation: Any = None) -> bool:
    """Tell whether a content is what was expected; annotation: the type that it is of, if known."""
    expected, said = _answer(expected), _answer(said)
    if isinstance(expected, str) and isinstance(said, str):
        return expected == said if _is_choice(annotation) else bare(expected) == bare(said)
    if isinstance(expected, bool) or isinstance(said, bool):
        return expected is said
    if isinstance(expected, _NUMBERS) and isinstance(said, _NUMBERS):
        return same_number(expected, said)
    fields, others = fields_of(expected), fields_of(said)
    if fields is not None and others is not None:
        typed = not isinstance(expected, Mapping) and not isinstance(said, Mapping)
        whole = get_origin(_inner(annotation)) in _OBJECTS
        if typed and not isinstance(said, type(expected)):
            return False
        if whole and fields.keys() != others.keys():
            return False
        kinds = _kinds(annotation, others)
        return all(n in others and same(e, others[n], kinds.get(n)) for n, e in fields.items())
    return _same_items(expected, said, annotation)


def alike(one: Any, other: Any, annotation: Any = None) -> bool:
    """Tell whether two answers are the same, none of which is the one that is expected."""
    return same(one, other, annotation) and same(other, one, annotation)


def _answer(content: Any) -> Any:
    if isinstance(content, Judgement):
        return content.answer
    return content.value if isinstance(content, Enum) else content


def _same_items(expected: Any, said: Any, annotation: Any) -> bool:
    kind = element_of(annotation)
    if isinstance(said, set | frozenset) and isinstance(expected, list | tuple | set | frozenset):
        return same_in_any_order(list(expected), list(said), kind)
    if isinstance(expected, set | frozenset) and isinstance(said, list | tuple):
        return same_in_any_order(list(expected), list(said), kind)
    if isinstance(expected, list | tuple) and isinstance(said, list | tuple):
        places = zip(expected, said, _places(annotation, len(said)), strict=False)
        return len(expected) == len(said) and all(same(*each) for each in places)
    return _same_single(expected, said)


def _same_single(one: Any, other: Any) -> bool:
    """Other values as such; what stands in a file as a text, by its text."""
    if isinstance(one, str) == isinstance(other, str):
        return bool(one == other)
    text, value = (one, other) if isinstance(one, str) else (other, one)
    if isinstance(value, Decimal):
        try:
            return Decimal(text.strip()) == value
        except DecimalException:
            return False
    written = None if isinstance(value, int | float) else plain(value)
    return isinstance(written, str) and bare(text) == bare(written)


def same_in_any_order(expected: Sequence[Any], said: Sequence[Any], annotation: Any = None) -> bool:
    """Tell whether the elements are the same in any order, each once."""
    if len(said) != len(expected):
        return False
    left = list(said)
    for item in expected:
        match = next(
            (place for place, other in enumerate(left) if alike(item, other, annotation)), None
        )
        if match is None:
            return False
        del left[match]
    return True


# -- types -----------------------------------------------------------------------------------------


def fields_of(content: Any) -> Mapping[str, Any] | None:
    """Give a record's fields by name; None for what is no record."""
    if isinstance(content, Mapping):
        return {str(name): item for name, item in content.items()}
    if isinstance(content, BaseModel):
        return {name: getattr(content, name) for name in type(content).model_fields}
    if dataclasses.is_dataclass(content) and not isinstance(content, type):
        names = [field.name for field in dataclasses.fields(content)]
        return {name: getattr(content, name) for name in names}
    return None


def element_of(annotation: Any) -> Any:
    """Give the type of a list's or a set's elements, if it is one for all of them."""
    inner = _inner(annotation)
    parts = [part for part in get_args(inner) if part is not ...]
    return parts[0] if get_origin(inner) in (list, set, frozenset, tuple) and parts[:1] else None


def _places(annotation: Any, count: int) -> Sequence[Any]:
    """The types of a list's elements; those of a tuple differ."""
    inner = _inner(annotation)
    parts = get_args(inner)
    if get_origin(inner) is tuple and len(parts) == count and ... not in parts:
        return parts
    return [element_of(annotation)] * count


def _kinds(annotation: Any, fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """The types of a record's fields, as far as they are known."""
    inner = _inner(annotation)
    if get_origin(inner) in _OBJECTS:
        return dict.fromkeys(fields, get_args(inner)[1])
    if isinstance(inner, type) and issubclass(inner, BaseModel):
        return {name: field.annotation for name, field in inner.model_fields.items()}
    try:
        return typing.get_type_hints(inner) if isinstance(inner, type) else {}
    except Exception:  # an annotation can be any expression
        return {}


def _inner(annotation: Any) -> Any:
    """The type without what ``Annotated`` adds; of an optional one what it may be."""
    while hasattr(annotation, "__metadata__"):
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, UnionType):
        parts = [part for part in get_args(annotation) if part is not type(None)]
        return _inner(parts[0]) if len(parts) == 1 else annotation
    return annotation


def _is_choice(annotation: Any) -> bool:
    inner = _inner(annotation)
    if get_origin(inner) in (Union, UnionType):  # of a text and a choice no one can tell
        return str not in (parts := get_args(inner)) and any(map(_is_choice, parts))
    return get_origin(inner) is Literal or (isinstance(inner, type) and issubclass(inner, Enum))
