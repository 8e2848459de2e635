"""Red flags: signs that a draw went astray, whatever was asked.

A reply that runs on, goes in circles or leaves the labels was drawn by a model that has lost the
thread, and is wrong more often than others (Meyerson and others, "Solving a million-step LLM task
with zero errors", 2025, discard such draws). A flag is called with an answer and gives the
objection, "" for none; so it is also a check for ``verified``. Any function like that is one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nlpu.checks import COUNT, NAMES, check_fields
from nlpu.eval.matching import text_of

Flag = Callable[[Any], Any]
_PHRASE = 4  # words


@dataclass(frozen=True, slots=True)
class TooLong:
    """More words than such an answer has."""

    words: int

    def __post_init__(self) -> None:
        check_fields(self, {"words": COUNT})

    def __call__(self, answer: Any) -> str:
        count = len(text_of(answer).split())
        return f"it has {count} words, at most {self.words} are wanted" * (count > self.words)


@dataclass(frozen=True, slots=True)
class Repeats:
    """Four words in a row that stand there so many times."""

    times: int = 3

    def __post_init__(self) -> None:
        check_fields(self, {"times": COUNT})

    def __call__(self, answer: Any) -> str:
        words = text_of(answer).lower().split()
        phrases = Counter(zip(*(words[at:] for at in range(_PHRASE)), strict=False))
        phrase, count = max(phrases.items(), key=lambda each: each[1], default=((), 0))
        return f"it says {' '.join(phrase)!r} {count} times" if count >= self.times else ""


@dataclass(frozen=True, slots=True)
class OffLabels:
    """Something else than one of these texts."""

    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        check_fields(self, {"labels": NAMES})

    def __call__(self, answer: Any) -> str:
        text = text_of(answer).strip()
        return "" if text in self.labels else f"it is none of {', '.join(self.labels)}"
