"""Red flags: signs that a draw went astray, whatever was asked.

A reply that runs on, goes in circles or leaves the labels was drawn by a model that has lost the
thread, and is wrong more often than others (Meyerson and others, "Solving a million-step LLM task
with zero errors", 2025, discard such draws). A flag is called with an answer and gives the
objection, "" for none; so it is also a check for ``verified``. Any function like that is one.

Words are those of all that an answer holds: the names of a record's fields and the signs of JSON
were drawn by nobody. They are parted by blanks: of a script that writes none (Chinese, Thai) a
whole sentence is one, and ``TooLong`` and ``Repeats`` say nothing of it; ``max_tokens`` does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from nlpu.checks import COUNT, NAMES, check_fields
from nlpu.eval.likeness import fields_of
from nlpu.eval.matching import text_of
from nlpu.judgement import Judgement

Flag = Callable[[Any], Any]
_PHRASE = 4  # words


@dataclass(frozen=True, slots=True)
class TooLong:
    """More words than such an answer has."""

    words: int

    def __post_init__(self) -> None:
        check_fields(self, {"words": COUNT})

    def __call__(self, answer: Any) -> str:
        count = len(_words(answer))
        return f"it has {count} words, at most {self.words} are wanted" * (count > self.words)


@dataclass(frozen=True, slots=True)
class Repeats:
    """Four words in a row that stand there so many times."""

    times: int = 3

    def __post_init__(self) -> None:
        check_fields(self, {"times": COUNT})

    def __call__(self, answer: Any) -> str:
        words = [word.lower() for word in _words(answer)]
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


def _words(answer: Any) -> list[str]:
    """All that was said, in order; a mapping's names are said, a record's are not."""
    fields = None if isinstance(answer, Judgement) else fields_of(answer)
    if isinstance(answer, Mapping):
        parts: Iterable[Any] = chain.from_iterable(answer.items())
    elif fields is not None:
        parts = fields.values()
    elif isinstance(answer, list | tuple | set | frozenset):
        parts = answer
    else:
        return [] if answer is None else text_of(answer).split()
    return [word for part in parts for word in _words(part)]
