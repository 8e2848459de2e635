"""Predicates that no answer could meet, or that any does: found before anything is asked.

Rules
1. What is refused can never hold, or asks nothing; what only seems odd is not refused (red/blue
   is one word).
2. What contradicts what is named.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from nlpu.errors import BadOperand
from nlpu.eval.matching import folded, found_at
from nlpu.printing import shown

_Wanted = str | Sequence[str]


def check_predicate(expected: Mapping[str, Any]) -> None:
    """Refuse a predicate whose parts contradict one another. Raises BadOperand, naming them."""
    if all(_asks_nothing(name, part) for name, part in expected.items()):
        raise BadOperand("this predicate always holds: it names nothing that must or must not be")
    why = _apart(expected) or _forbidden(expected) or _too_long(expected)
    if why:
        raise BadOperand(f"this predicate can never hold: {why}; change one of them")


def _asks_nothing(name: str, part: Any) -> bool:
    return (part == [] and name != "any") or (part == 0 and name.startswith("min_"))


def _apart(expected: Mapping[str, Any]) -> str:
    """Bounds that leave nothing between them."""
    for what in ("words", "items"):
        least, most = expected.get(f"min_{what}"), expected.get(f"max_{what}")
        if least is not None and most is not None and least > most:
            return f"min_{what} is {least} and max_{what} is {most}"
    return "'any' has nothing that could be there" if expected.get("any") == [] else ""


def _forbidden(expected: Mapping[str, Any]) -> str:
    """What must be there and must not."""
    for name, wanted in _needed(expected):
        against = [_forbids(expected, phrase) for phrase in _ways(wanted)]
        if all(against):
            return f"{shown(wanted)} of {name!r} and {shown(against[0])} of 'none' exclude it"
    return ""


def _forbids(expected: Mapping[str, Any], phrase: str) -> str:
    """The phrase of ``none`` that is in every text which has this one."""
    text = folded(phrase)
    return next((each for each in expected.get("none", ()) if found_at(each, text)), "")


def _too_long(expected: Mapping[str, Any]) -> str:
    """What must be there against how long it may be: two phrases may share a word, as in a/b."""
    for name, wanted in _needed(expected):
        ways = _ways(wanted)
        words = min(len(folded(phrase).split()) for phrase in ways)
        if words > expected.get("max_words", words):
            return f"{shown(wanted)} of {name!r} has {words} words and max_words is less"
        said = all(re.search(r"\w", phrase) for phrase in ways)
        for limit in ("max_sentences", "max_items"):
            if expected.get(limit) == 0 and (said or limit == "max_items"):
                return f"{shown(wanted)} of {name!r} must be there and {limit} is 0"
    return ""


def _needed(expected: Mapping[str, Any]) -> list[tuple[str, _Wanted]]:
    """What must be there, by the part that says so; of ``any`` one is enough."""
    needed = [(name, each) for name in ("all", "order") for each in expected.get(name, ())]
    return [*needed, ("any", expected["any"])] if expected.get("any") else needed


def _ways(wanted: _Wanted) -> list[str]:
    return [wanted] if isinstance(wanted, str) else list(wanted)
