"""Where sentences end, in the scripts of the world.

Theory of operation
-------------------
Unicode says which signs end a sentence (``Sentence_Break``: STerm, ATerm) and which close behind
them; the library ``regex`` knows these properties. Where a script sets blanks between sentences, a
stop counts only with a blank or the end behind it: "3.5", "nlpu.ops.op" and "Yahoo!'s" are no ends.
Where it sets none (Chinese, Japanese), the sign alone is an end. Greek asks with a semicolon.

Rules
1. An end holds the stops that follow each other, and what closes behind them.
2. Nothing here knows words: "Dr. Weber" has an end in it.
"""

from __future__ import annotations

from itertools import pairwise

import regex

_SPACED = r"[.!?…]"  # end a sentence with a blank behind them alone
_OWN = (  # end one whatever is behind them; so do Tibetan's, which Unicode has for lines alone
    r"(?:[[\p{Sentence_Break=STerm}--[!?]]｡\u0f0d-\u0f11\u0f14]|．(?!\p{N}))"
)
_WIDE = r"[\p{Han}\p{Hiragana}\p{Katakana}ー]"  # scripts that set no blanks
_CLOSE = r"[\"'”’»*_`\p{Pe}\p{Pf}]"  # marks of Markdown among them
_GREEK = rf"(?<=\p{{Greek}}{_CLOSE}?);"
_END = (
    rf"(?:(?:{_SPACED}|{_GREEK})+(?:{_CLOSE}|“)*(?=\s|$)"
    rf"|(?:{_OWN}|(?<={_WIDE})[!?])(?:{_OWN}|[!?…])*{_CLOSE}*)"
)
_ENDS = regex.compile(_END, regex.V1)
BORDER = regex.compile(rf"{_END}\s*", regex.V1)  # a sentence's end, with the blanks behind it
CLAUSE = regex.compile(r"[、，；：､]\s*|\s+", regex.V1)  # where one may draw breath


def last_end(text: str, followed: bool = False) -> int:
    """Find where the last whole sentence of a text ends; 0 where none does.

    followed: only ends that something stands behind.
    """
    before = len(text.rstrip()) if followed else len(text) + 1
    return max((m.end() for m in _ENDS.finditer(text) if m.end() < before), default=0)


def parts(text: str) -> list[str]:
    """Cut a text into its sentences, without the blanks between them; at least one, if empty."""
    cuts = [0, *(match.end() for match in BORDER.finditer(text)), len(text)]
    found = [text[start:stop].rstrip() for start, stop in pairwise(cuts)]
    return [part for part in found if part] or [""]
