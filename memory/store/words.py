"""Texts as the word index keeps them, and words as it is asked: of every script.

Theory of operation
-------------------
SQLite's tokenizer cuts at blanks and marks, and stems English. A script without blanks would be one
long word, and a language that bends its words would not find them again. So each run of another
script is replaced by its overlapping pieces: two signs where there are no blanks (Chinese, Thai,
...) and in Korean, three in Arabic and Hebrew, whose words grow in front, four elsewhere.
Latin text stays as it is.

Rules
1. What ``asked`` makes of a word finds every text that holds the word: both fold alike.
2. A run shorter than its pieces is a piece; it is asked for as a beginning.
3. ``RULE`` names all this: an index made by another rule is made again.
"""

from __future__ import annotations

import unicodedata

import regex

RULE = "pieces 2"
TOKENIZER = "porter unicode61 categories 'L* M* N* Co'"  # of FTS5
_PAIRS = (
    r"\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
    r"\p{Tibetan}ー々"
)
_RUN = regex.compile(
    rf"(?P<two>(?:[{_PAIRS}]\p{{M}}*)+)|(?P<three>[\p{{Arabic}}\p{{Hebrew}}]+)"
    r"|(?P<four>(?:[\p{L}--\p{Latin}]\p{M}*)+)",
    regex.V1,
)
_SIZES = {"two": 2, "three": 3, "four": 4}
# accents, the vowel points of Hebrew and Arabic, and what only stretches a word
_POINTS = regex.compile(r"[\u0300-\u036f\u0591-\u05bd\u05bf-\u05c7\u0640\u064b-\u065f\u0670]")


def indexed(text: str) -> str:
    """Write a text as the index takes it."""
    if text.isascii():
        return text
    told: str = _RUN.sub(lambda run: f" {' '.join(_pieces(run, True))} ", folded(text))
    return told


def asked(word: str) -> list[str]:
    """Write a word as FTS5 is asked for it: one or more phrases."""
    if word.isascii():
        return [f'"{word}"']
    plain, found = folded(word), []
    for run in _RUN.finditer(plain):
        short = len(run[0]) < _SIZES[run.lastgroup]
        found += [f'"{piece}"' + "*" * short for piece in _pieces(run, False)]
    rest = _RUN.sub(" ", plain).split()
    return list(dict.fromkeys(found + [f'"{part}"' for part in rest]))


def folded(text: str) -> str:
    """Fold a text: one form, one width, no accents, no case."""
    apart = unicodedata.normalize("NFKD", text)
    return unicodedata.normalize("NFC", _POINTS.sub("", apart)).casefold()


def _pieces(run: regex.Match[str], ends: bool) -> list[str]:
    """A run's pieces; with its ``ends``, which make each of its signs the beginning of one."""
    text, size = run[0], _SIZES[run.lastgroup or "four"]
    whole = [text[at : at + size] for at in range(len(text) - size + 1)] or [text]
    tails = [text[at:] for at in range(max(1, len(text) - size + 1), len(text))] if ends else []
    return whole + (tails if size == 2 else [])
