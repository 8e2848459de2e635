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
   has a format with a grammar of its own, as dates have, has none of these. Bytes that are written
   as letters have no bare words: any may be some.
5. Where records or lists are asked for, too, a text with brackets in it is one of these gone wrong.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import AnyUrl, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from nlpu.types.json_text import compact, normal
from nlpu.types.lenient import fenced, stripped
from nlpu.types.times import FORMATS

NUMERAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WORDS = {"yes": "true", "true": "true", "no": "false", "false": "false"}
_WORDS |= {"none": "null", "null": "null"}
_HELD = {"object", "array"}  # types that only JSON can write
_BROKEN = re.compile(r'[\[{]|".*".*"', re.DOTALL)  # JSON that is none, or several
_NO_TEXTS = {"boolean", "integer", "number"}  # which read some texts if they are let
_LIKE_A_NUMBER = re.compile(r"[-+.\d_]+(?:[eE][-+\d_]+)?j?")  # Python reads some that are none
_GRAMMARS = re.compile(
    r"date|date-time|time|duration|uuid\d?|(?:multi-host-)?uri|(?:name-)?email|ip\w+"
)
_READERS: dict[str, Any] = {  # of formats, for types whose reader does not look at them
    "date": date,
    "date-time": datetime,
    "time": time,
    "duration": timedelta,
    "uuid": UUID,
    "uri": AnyUrl,
}
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
    return any(_is_free(part) for part in parts)


def _is_free(part: Any) -> bool:
    is_text = part.get("type") == "string" and not {"enum", "const"} & part.keys()
    return is_text and not _GRAMMARS.fullmatch(part.get("format", ""))


def _is_broken(text: str, held: bool) -> bool:
    """Whether it is JSON gone wrong. held: records or lists are asked for, too (rule 5)."""
    return bool(_BROKEN.match(text) or (held and re.search(r"[\[{]", text)))


def _is_any_text(part: Any) -> bool:
    """Whether any words may be bytes of it, or the beginning of one: base64, a pattern's start."""
    letters = part.get("format", "").startswith("base64")
    return part.get("type") == "string" and (letters or not part.get("pattern", "$").endswith("$"))


def value_of(
    text: str, schema: Any, reader: TypeAdapter[Any], exact: bool, formats: bool = True
) -> str:
    """The one JSON value that a text can stand for; "" where the type has no bare words.

    exact: the type has numbers that keep all their digits. formats: its reader holds texts to
    theirs. Raises ValueError where the text stands for none, or for several.
    """
    parts = options(schema)
    kinds = {part.get("type") for part in parts}
    if kinds <= _HELD or _is_broken(text, bool(kinds & _HELD)) or any(map(_is_any_text, parts)):
        return ""
    *_, bare = stripped(fenced(text) or text)
    why = _odd(bare, [part for part in parts if not _is_plain(part)])
    if why and not any(map(_is_plain, parts)):
        raise _fault(why, text)
    found = {} if why else _others(bare, parts, reader, exact)
    fault: Exception | None = None
    for one in dict.fromkeys((text, bare)) if takes_text(parts) else () if found else (bare,):
        if one[:1] == '"' or (compact(text) in found and text.startswith(one)):
            continue
        try:
            content = reader.validate_json(compact(one), strict=bool(kinds & _NO_TEXTS))
            if not formats:
                _check_format(one, parts)
            if not why or type(content) is str:  # what is odd as all else is a text at most
                found[compact(one)] = content
        except Exception as error:
            fault = error
    if fault and not found:
        raise fault
    return _only(found, text)


def _only(found: dict[str, Any], text: str) -> str:
    """The first of the values, if all mean the same. Raises ValidationError (rule 3)."""
    first, *others = found.values() or (None,)
    if any(type(other) is not type(first) or other != first for other in others):
        raise _fault(f"it can mean {' or '.join(found)}", text)
    return next(iter(found), "")


def _others(bare: str, parts: list[Any], reader: TypeAdapter[Any], exact: bool) -> dict[str, Any]:
    """What the type reads of the values other than texts."""
    found: dict[str, Any] = {}
    for one in _said(bare, parts):
        with suppress(Exception):  # a model's own validators may raise anything
            found[one] = reader.validate_json(normal(one, exact), strict=True)
    return found


def _check_format(text: str, parts: list[Any]) -> None:
    """Raise ValueError for a text that has no format of these schemas, where each has one."""
    forms = [part.get("format", "") for part in parts if part.get("type") == "string"]
    if not forms or not all(map(_GRAMMARS.fullmatch, forms)):
        return
    for form in forms:
        with suppress(ValidationError, KeyError):
            TypeAdapter(_READERS[form]).validate_json(compact(text))
            return
    raise ValueError(f"it is no {' or '.join(forms)}")


def _is_plain(part: Any) -> bool:
    return part.get("type") == "string" and not _OF_TEXTS & part.keys()


def _odd(text: str, parts: list[Any]) -> str:
    """What is wrong with a number that is one to Python alone, or that would be seconds."""
    if _LIKE_A_NUMBER.fullmatch(text) and ("_" in text or not text.isascii()):
        return "a number has the digits 0 to 9 alone, and no _ in it"
    times = {part.get("type") for part in parts} <= {"string", "null"} and any(
        part.get("format") in FORMATS for part in parts
    )
    return "a number is no time" if times and NUMERAL.fullmatch(text) else ""


def _said(bare: str, parts: list[Any]) -> list[str]:
    """The values other than texts: a word, a numeral, the one choice of these letters."""
    word = bare.casefold()
    choices = [one for part in parts for one in part.get("enum", ())]
    choices += [part["const"] for part in parts if "const" in part]
    same = [compact(one) for one in choices if str(one).casefold() == word]
    truths = any(part.get("type") == "boolean" for part in parts)
    truths = truths or any(type(choice) is bool for choice in choices)  # for pydantic True is 1
    is_word = word in _WORDS and (truths or _WORDS[word] == "null")
    found = [_WORDS[word]] if is_word else []
    found += [str(Decimal(bare))] if NUMERAL.fullmatch(bare) else []
    return found + (same if len(same) == 1 else [])


def _fault(why: str, text: str) -> ValidationError:
    told = PydanticCustomError("bare_words", "{why}", {"why": why})
    return ValidationError.from_exception_data("reply", [{"type": told, "input": text}])
