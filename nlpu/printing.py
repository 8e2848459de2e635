"""How objects print: one line of a bounded length, whatever is in them.

``print(x)`` and ``repr(x)`` are asked for by people, debuggers and logs, at any moment and from any
thread. So a ``__repr__`` of this project reads what is there and is made of the parts below.

Rules
1. Nothing here raises, and nothing long is looked through to its end.
2. What could drive a terminal, reorder or hide its text, or fail there, is written out as <U+202E>.
   What joins letters or signs of other scripts than Latin stays (``safe``), but not where a person
   decides (``visible``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from reprlib import Repr
from typing import Any
from unicodedata import category, east_asian_width

MOST = 200  # characters of a repr
_MANY = (list, tuple, dict, set, frozenset)
_FILLS = (
    "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0"
    "\U0001bca0-\U0001bca3\U0001d159\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_DRIVES = re.compile(
    f"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    f"\ufff0-\ufffb\ud800-\udfff{_FILLS}]"
    "|(?<![\xa9\xae\u0300-\u1fff\u203c-\ufeff\U00010000-\U0001ffff])[\u200c\u200d\ufe00-\ufe0f]"
)
_HIDES = re.compile(f"[\u2800\ufe00-\ufe0f{_FILLS}]")  # what is no "C" or "Z" to Unicode
_MARKS = 4  # on one letter: no script needs more, and a pile of them covers other lines


class _Brief(Repr):
    """As ``reprlib`` has it, but what cannot print itself raises."""

    def repr_instance(self, x: Any, level: int) -> str:
        return repr(x)


_BRIEF = _Brief()
_BRIEF.maxstring = _BRIEF.maxother = MOST
_BRIEF.maxlist = _BRIEF.maxtuple = _BRIEF.maxdict = _BRIEF.maxset = 20


def safe(text: str) -> str:
    """The text with all that could drive a terminal, or that none can encode, written out."""
    return _DRIVES.sub(lambda found: named(found[0]), text)


def named(sign: str) -> str:
    """Write a character as its number."""
    return f"<U+{ord(sign):04X}>"


def visible(text: str) -> Iterator[str]:
    """Give each character as it can be seen; any that has no look of its own by its number.

    As ``safe``, but joiners, unusual blanks and marks on no letter are written out, too.
    """
    marks = _MARKS
    for sign in text:
        kind = "L" if sign == " " else category(sign)[0]
        marks = marks + 1 if kind == "M" else _MARKS if sign == " " or kind in "CPZ" else 0
        hidden = kind in "CZ" or marks > _MARKS or _HIDES.match(sign)
        yield named(sign) if hidden else sign


def one_line(text: str, width: int = MOST) -> str:
    """The start of a text as one safe line of at most ``width`` columns."""
    line = safe(" ".join(text[: 4 * width].split()))
    return cut(line if len(text) <= 4 * width else line + " …", width)


def cut(line: str, width: int) -> str:
    """Cut a line to at most ``width`` columns; a terminal that says it has none has one."""
    width = max(width, 1)
    if cells(line) <= width:
        return line
    kept = len(line[: width - 1])
    while cells(line[:kept]) > width - 1:
        kept -= 1
    return line[:kept] + "…"


def folded(text: str, width: int) -> Iterator[str]:
    """Break the text into lines of at most ``width`` columns, between short words if it can."""
    width = max(width, 2)  # a wide letter has to go somewhere
    while cells(text) > width:
        end = len(cut(text, width + 1)) - 1
        blank = text.rfind(" ", end // 2, end)
        yield text[: (end := blank if blank > 0 else end)]
        text = text[end:].lstrip(" ")
    yield text


def cells(text: str) -> int:
    """Count the most columns of a terminal that a text takes: they differ about joined signs."""
    return len(text) if text.isascii() else sum(map(_cells, text))


@lru_cache(4096)
def _cells(sign: str) -> int:
    if east_asian_width(sign) in "WF" or sign >= "\U0001f000":
        return 2
    return 0 if category(sign) in ("Mn", "Me", "Cf") and sign != "\ufe0f" else 1


def columns(
    rows: Iterable[Sequence[str]], right: Sequence[int] = (), most: int = 0, whole: int = 0
) -> list[str]:
    """Give the lines of a table; ``right``: the columns that end below each other.

    most: no line takes more columns; the widest cells are cut for it, but for those of the first
    ``whole`` ones, which somebody has to type.
    """
    safes = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(map(cells, column)) for column in zip(*safes, strict=True)]
    while most and sum(widths) + 2 * len(widths) - 2 > most and max(widths[whole:], default=1) > 1:
        widths[widths.index(max(widths[whole:]), whole)] -= 1
    return [
        "  ".join(
            _padded(cut(cell, width), width, at in right)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in safes
    ]


def _padded(text: str, width: int, right: bool) -> str:
    blanks = " " * (width - cells(text))
    return blanks + text if right else text + blanks


def shown(content: Any, width: int = 60) -> str:
    """Any content's ``repr``, as one line."""
    try:
        text = _BRIEF.repr(content)
    except Exception:  # its own ``repr`` failed
        text = f"a {type(content).__name__} that cannot be printed"
    return one_line(text, width)


def first_line(content: Any, width: int = MOST) -> str:
    """The first line of what a content prints as."""
    if isinstance(content, _MANY):
        return shown(content, width)
    try:
        line, _, more = str(content).strip().partition("\n")
    except Exception:  # its own ``str`` failed
        return shown(content, width)
    return one_line(f"{line} …" if more else line, width)


def figure(number: float) -> str:
    """Three digits that count, or all before the point."""
    return f"{number:.3g}" if number < 1000 else f"{number:,.0f}"


def some(names: Sequence[str], most: int) -> str:
    """The first of many names, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")


def counted(number: int, what: str) -> str:
    """How many of what: "1 call", "2 calls"."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
