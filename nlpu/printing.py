"""How objects print: one line of a bounded length, whatever is in them.

``print(x)`` and ``repr(x)`` are asked for by people, debuggers and logs, at any moment and from any
thread. So a ``__repr__`` of this project reads what is there and is made of the parts below.

Rules
1. Nothing here raises, and nothing long is looked through to its end.
2. What could drive a terminal, or fail there, is written out.
"""

from __future__ import annotations

import re
from reprlib import Repr
from typing import Any

MOST = 200  # characters of a repr
_MANY = (list, tuple, dict, set, frozenset)
_DRIVES = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


class _Brief(Repr):
    """As ``reprlib`` has it, but what cannot print itself raises."""

    def repr_instance(self, x: Any, level: int) -> str:
        return repr(x)


_BRIEF = _Brief()
_BRIEF.maxstring = _BRIEF.maxother = MOST
_BRIEF.maxlist = _BRIEF.maxtuple = _BRIEF.maxdict = _BRIEF.maxset = 20


def safe(text: str) -> str:
    """The text with all that could drive a terminal, or that none can encode, written out."""
    return _DRIVES.sub(lambda found: ascii(found[0])[1:-1], text)


def one_line(text: str, width: int = MOST) -> str:
    """The start of a text as one safe line of at most ``width`` characters."""
    line = safe(" ".join(text[: 4 * width].split()))
    return line if len(line) <= width else line[: width - 1] + "…"


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


def counted(number: int, what: str) -> str:
    """How many of what: "1 call", "2 calls"."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
