"""What a scripted model says: a text that depends on the prompt only, and obeys its constraint.

Theory of operation
-------------------
The words come from a stream of numbers drawn from a hash of the prompt (``Dice``). A choice is
rolled, a JSON schema is answered by examples.py, a regular expression by patterns.py.

Rules
1. Same prompt and constraint, same answer; nothing else counts.
2. One piece is one token of an answer. ``pieces`` cuts as real tokenizers do: up to eight ASCII
   letters, with the blank before them; each other letter, and each of three and more equal ones;
   each digit; up to three signs in a row, with the blank before them; each run of other blanks. A
   token of English prose has about four characters, of JSON two to three.
3. A schema or expression that is not understood is ConstraintRejected, never an invalid answer.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from nlpu.testing.examples import example
from nlpu.testing.patterns import Dice, match

_PIECE = re.compile(r" ?[A-Za-z]{1,8}|\d| ?[^\w\s]{1,3}|[^\W\dA-Za-z]|\s+")
_RUN = re.compile(r"([A-Za-z])\1\1+")


def pieces(text: str) -> list[str]:
    """Cut a text into what is counted as its tokens (rule 2)."""
    found: list[str] = []
    start = 0
    for run in _RUN.finditer(text):  # no word has them: who writes one means its length
        found += [*_PIECE.findall(text, start, run.start()), *run[0]]
        start = run.end()
    return found + _PIECE.findall(text, start)


def hash_of(prompt: Any) -> str:
    """Name a prompt, which is anything that JSON holds."""
    return hashlib.sha256(json.dumps(prompt, separators=(",", ":")).encode()).hexdigest()[:16]


def answer(prompt: Any, constraint: tuple[str, Any] | None = None) -> str:
    """Say something, whole, under (kind, what it allows). Raises ConstraintRejected."""
    dice = Dice(f"{hash_of(prompt)}/{json.dumps(constraint)}")
    if constraint is None:
        return dice.words(dice.between(4, 24)) + "."
    kind, allowed = constraint
    if kind == "choice":
        return str(allowed[dice.below(len(allowed))])
    if kind == "regex":
        return match(allowed, dice)
    return json.dumps(example(allowed, dice), separators=(",", ":"), ensure_ascii=False)
