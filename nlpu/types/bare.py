"""Bare words in place of JSON: ``yes`` for true, ``None`` for null, a date without quotes.

Theory of operation
-------------------
A type that is written as JSON may have contents that a model writes as it would for a type of their
own: ``2024-02-28``, ``Yes.``, ``blue``. The text is tried as each JSON value that it can stand for,
and is what exactly one of them makes of it.

Rules
1. Only what is no JSON of its type in any way of ``lenient`` is read here.
2. A value is read strictly: a text is no number and no truth for it, ``yes`` is not 1.
3. What can be two contents is none: ``None`` where null and texts are asked for, ``yes`` where
   truths and texts are.
4. A text is what it says, with its full stop; in quotes, emphasis or a fence it may be either. What
   has a format, as dates have, has none of these.
5. Where records or lists are asked for, too, a text with brackets in it is one of these gone wrong.
"""

from __future__ import annotations

import re
from contextlib import suppress
from decimal import Decimal
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from nlpu.types.json_text import compact, normal
from nlpu.types.lenient import fenced, stripped

NUMERAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WORDS = {"yes": "true", "true": "true", "no": "false", "false": "false"}
_WORDS |= {"none": "null", "null": "null"}
_HELD = {"object", "array"}  # types that only JSON can write
_BROKEN = re.compile(r'[\[{]|".*".*"', re.DOTALL)  # JSON that is none, or several
_NO_TEXTS = {"boolean", "integer", "number"}  # which read some texts if they are let
_LIKE_A_NUMBER = re.compile(r"[-+.\d_]+(?:[eE][-+\d_]+)?j?")  # Python reads some that are none
_TIMES = {"date", "date-time", "time", "duration"}
_OF_TEXTS = {"format", "enum", "const", "pattern"}  # what binds texts


def options(schema: Any) -> list[Any]:
    """The schemas of which a content fits one: unions and references taken apart."""
    parts = [schema]
    for part in parts:  # it grows
        inner = part.get("anyOf") or part.get("oneOf") or part.get("allOf") or []
        inner = [schema["$defs"][part["$ref"].rsplit("/", 1)[-1]]] if "$ref" in part else inner
        parts += [one for one in inner if one not in parts]
    return [part for part in parts if not {"$ref", "anyOf", "oneOf", "allOf"} & part.keys()]


def takes_text(parts: list[Any]) -> bool:
    """Whether some text is a content of these schemas whatever it says: str, bytes, a path."""
    return any(
        part.get("type") == "string"
        and part.get("format") in (None, "binary", "path")
        and not {"enum", "const"} & part.keys()
        for part in parts
    )


def value_of(text: str, schema: Any, reader: TypeAdapter[Any], exact: bool) -> str:
    """The one JSON value that a text can stand for; "" where the type has no bare words.

    exact: the type has numbers that keep all their digits. Raises ValueError where the text stands
    for none, or for several.
    """
    parts = options(schema)
    kinds = {part.get("type") for part in parts}
    if kinds <= _HELD or _BROKEN.match(text) or (kinds & _HELD and re.search(r"[\[{]", text)):
        return ""
    *_, bare = stripped(fenced(text) or text)
    if why := _odd(bare, parts):
        raise _fault(why, text)
    strict, fault, found = bool(kinds & _NO_TEXTS), None, dict[str, Any]()
    for one in _said(bare, parts):
        with suppress(Exception):  # a model's own validators may raise anything
            found[one] = reader.validate_json(normal(one, exact), strict=True)
    for one in dict.fromkeys((text, bare)) if takes_text(parts) else () if found else (bare,):
        if one[:1] == '"' or (compact(text) in found and text.startswith(one)):
            continue
        try:
            found[compact(one)] = reader.validate_json(compact(one), strict=strict)
        except Exception as error:
            fault = error
    first, *others = found.values() or (None,)
    if any(type(other) is not type(first) or other != first for other in others):
        fault = _fault(f"it can mean {' or '.join(found)}", text)
    elif found:
        return next(iter(found))
    if fault:
        raise fault
    return ""


def _odd(text: str, parts: list[Any]) -> str:
    """What is wrong with a number that is one to Python alone, or that would be seconds."""
    if any(part.get("type") == "string" and not _OF_TEXTS & part.keys() for part in parts):
        return ""
    if _LIKE_A_NUMBER.fullmatch(text) and ("_" in text or not text.isascii()):
        return "a number has the digits 0 to 9 alone, and no _ in it"
    times = {part.get("type") for part in parts} <= {"string", "null"} and any(
        part.get("format") in _TIMES for part in parts
    )
    return "a number is no time" if times and NUMERAL.fullmatch(text) else ""


def _said(bare: str, parts: list[Any]) -> list[str]:
    """The values other than texts: a word, a numeral, the one choice of these letters."""
    word = bare.casefold()
    choices = [one for part in parts for one in part.get("enum", ())]
    choices += [part["const"] for part in parts if "const" in part]
    same = [compact(one) for one in choices if str(one).casefold() == word]
    found = [_WORDS[word]] if word in _WORDS else []
    found += [str(Decimal(bare))] if NUMERAL.fullmatch(bare) else []
    return found + (same if len(same) == 1 else [])


def _fault(why: str, text: str) -> ValidationError:
    told = PydanticCustomError("bare_words", "{why}", {"why": why})
    return ValidationError.from_exception_data("reply", [{"type": told, "input": text}])
