"""Texts as metrics see them: folded, bare of what does not matter, and what is found in them.

Theory of operation
-------------------
A right answer comes in many spellings. Texts are compared after NFKC and casefolding, with single
blanks; words and phrases are looked for on word borders, numbers as numerals or as words.

Rules
1. Nothing here raises, whatever the text.
2. ``bare`` of texts that differ in case, blanks, outer punctuation and a leading article alone is
   the same; what has nothing else keeps it.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable
from typing import Any

from pydantic_core import to_jsonable_python

from nlpu.judgement import Judgement
from nlpu.sentences import parts

_ARTICLE = re.compile(r"(?:an?|the) ")
_NUMERAL = re.compile(
    r"(?<![\w.,])[-+\u2212]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+|,\d{1,2}(?!\d))?"
)
_MOST_DIGITS = 4000  # Python reads no longer numerals
_NUMBERS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
    "nineteen", "twenty",
)  # fmt: skip


def folded(text: str) -> str:
    """A text in one case, of one form, with single blanks."""
    once = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(unicodedata.normalize("NFKC", once).split())


def bare(text: str) -> str:
    """A text as ``exact`` compares it: folded, without outer punctuation and a leading article."""
    core = _stripped(folded(text))
    return _stripped(_ARTICLE.sub("", core, 1) if _ARTICLE.match(core) else core)


def _stripped(text: str) -> str:
    """The text without blanks, punctuation and quotes around it; all of it if that is all."""
    start, end = 0, len(text)
    while start < end and _is_outer(text[start]):
        start += 1
    while end > start and _is_outer(text[end - 1]):
        end -= 1
    return text[start:end] or text


def _is_outer(sign: str) -> bool:
    return sign in " `^\u00b4" or unicodedata.category(sign)[0] == "P"


def plain(content: Any) -> Any:
    """A content as JSON values; of a judgement its answer, a set in one order."""
    if isinstance(content, Judgement):
        return content.answer
    if isinstance(content, set | frozenset):
        return sorted(map(plain, content), key=lambda item: json.dumps(item, sort_keys=True))
    if isinstance(content, list | tuple):
        return [plain(item) for item in content]
    if isinstance(content, dict):
        return {str(name): plain(item) for name, item in content.items()}
    return to_jsonable_python(content, fallback=str)


def text_of(content: Any) -> str:
    """A content as a person reads it: lists of texts by lines."""
    said = plain(content)
    if isinstance(said, str):
        return said
    if isinstance(said, bool):
        return "yes" if said else "no"
    if isinstance(said, list) and all(isinstance(item, str) for item in said):
        return "\n".join(said)
    return json.dumps(said, ensure_ascii=False)


def number_in(text: str) -> int | float | None:
    """The first number in a text; in words, up to twenty, where no numeral is in it."""
    found = _NUMERAL.search(unicodedata.normalize("NFKC", text))
    if found is None:
        words = re.findall(r"\w+", text.casefold())
        return next((_NUMBERS.index(word) for word in words if word in _NUMBERS), None)
    numeral = found[0].replace("\u2212", "-")
    if re.search(r"\d,\d{1,2}$", numeral):
        numeral = ".".join(numeral.rsplit(",", 1))
    plainly = numeral.replace(",", "")[:_MOST_DIGITS]
    return float(plainly) if "." in plainly else int(plainly)


def sentences(text: str) -> int:
    """How many sentences a text has; an end without a stop is one, too."""
    return sum(1 for part in parts(text) if re.search(r"\w", part))


def found_at(wanted: str | list[str], text: str, start: int = 0) -> int | None:
    """Where the first of one phrase or its alternatives ends, behind ``start``; None: nowhere."""
    phrases = [wanted] if isinstance(wanted, str) else wanted
    found = (_phrase(each).search(text, start) for each in phrases)
    return min((match.end() for match in found if match), default=None)


def _phrase(phrase: str) -> re.Pattern[str]:
    core = folded(phrase)
    before = r"(?<!\w)" if core[:1].isalnum() else ""
    behind = r"(?!\w)" if core[-1:].isalnum() else ""
    return re.compile(before + re.escape(core) + behind)


def in_order(wanted: Iterable[str | list[str]], text: str) -> bool:
    """Whether all are there, each behind the one before."""
    place: int | None = 0
    for each in wanted:
        place = found_at(each, text, place or 0)
        if place is None:
            return False
    return True
