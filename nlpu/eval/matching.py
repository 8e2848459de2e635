"""Texts as metrics see them: folded, bare of what does not matter, and what is found in them.

Theory of operation
-------------------
A right answer comes in many spellings. Texts are compared in one case, with single blanks, and
without differences of width (a full-width A is an A; a superscript is no digit) or of how a hyphen
or an apostrophe is drawn. Words and phrases are looked for on the borders of tokens: 5 is not in
1.5, -5 or 15:40, and C is not in C++.

Rules
1. Nothing here raises, whatever the text.
2. ``bare`` of texts that differ in case, blanks, quotes around them and a full stop at the end
   alone is the same; what has nothing else keeps it.
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

_FOLDED = ("<wide>", "<narrow>", "<noBreak>", "<compat>")  # what differs in width or form alone
_QUOTES = (
    '""',
    "''",
    "``",
    "\u201c\u201d",
    "\u2018\u2019",
    "\u201e\u201c",
    "\u201e\u201d",
    "\u201a\u2018",
    "\u00ab\u00bb",
    "\u00bb\u00ab",
    "\u2039\u203a",
    "\u203a\u2039",
    "\u300c\u300d",
)
_SIGNS = r"[-+\u2212\u2013]"
_HYPHENS = str.maketrans("\u2010\u2011\ufe63", "---")
_APOSTROPHE = re.compile(r"(?<=\w)[\u2019\u02bc](?=\w)")


def folded(text: str) -> str:
    """A text in one case, of one form and width, with single blanks."""
    once = _form(_form(text).casefold()).casefold()
    return " ".join(_form(once).split())


def _form(text: str) -> str:
    if text.isascii():
        return text
    signs = (
        unicodedata.normalize("NFKC", sign)
        if unicodedata.decomposition(sign).startswith(_FOLDED)
        else sign
        for sign in text
    )
    plainly = unicodedata.normalize("NFC", "".join(signs)).translate(_HYPHENS)
    return _APOSTROPHE.sub("'", plainly)


def bare(text: str) -> str:
    """A text as ``exact`` compares it: folded, without quotes around it and a last full stop."""
    core = folded(text)
    while (less := _without_outer(core)) != core:
        core = less
    return core


def _without_outer(text: str) -> str:
    """The text without a full stop at its end, or a pair of quotes, if there is more."""
    rest = text[:-1]
    if text.endswith((".", "\u3002")) and rest.strip(". \u3002") and not rest.endswith("."):
        return rest.rstrip()
    inner = text[1:-1].strip()
    if text[:1] + text[-1:] in _QUOTES and inner and not _quoted_inside(text[0], text[-1], inner):
        return inner
    return text


def _quoted_inside(first: str, last: str, inner: str) -> bool:
    """Whether what stands around a text is of quotations within it; an apostrophe is none."""
    signs = re.escape(first + last)
    return re.search(rf"(?<!\w)[{signs}]|[{signs}](?!\w)", inner) is not None


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


def sentences(text: str) -> int:
    """How many sentences a text has; an end without a stop is one, too."""
    return sum(1 for part in parts(text) if re.search(r"\w", part))


def found_at(wanted: str | list[str], text: str, start: int = 0) -> int | None:
    """Where the first of one phrase or its alternatives ends, behind ``start``; None: nowhere."""
    phrases = [wanted] if isinstance(wanted, str) else wanted
    found = (_phrase(each).search(text, start) for each in phrases)
    return min((match.end() for match in found if match), default=None)


def _phrase(phrase: str) -> re.Pattern[str]:
    """A phrase on the borders of tokens: of a number with sign and decimals, of C++ as a whole."""
    core = folded(phrase)
    before = r"(?<!\w)" if core[:1].isalnum() else ""
    behind = r"(?!\w|#|\+\+|\+(?!\w))" if core[-1:].isalnum() else ""
    if core[:1].isdigit():
        before += rf"(?<!\d[.,:/'])(?<!(?<!\w)\.)(?<!(?<!\w){_SIGNS})(?<!{_SIGNS}[$\u20ac\u00a3])"
    if core[-1:].isdigit():
        behind += r"(?![.,:/']\d)"
    return re.compile(before + re.escape(core) + behind)


def in_order(wanted: Iterable[str | list[str]], text: str) -> bool:
    """Whether all are there, each behind the one before."""
    place: int | None = 0
    for each in wanted:
        place = found_at(each, text, place or 0)
        if place is None:
            return False
    return True
