"""What of ``nlpu bench memory`` needs a language model: on a sample of the questions.

Theory of operation
-------------------
For the questions of the sample, in runs of their own:

    iterative   looks up with the model's help; ``hybrid`` beside it, on the same questions
    answers     the model answers from 1,000 tokens, by its own tokenizer: the last of the
                conversation (``recency``), or what ``hybrid`` finds; scored by token F1

Rules
1. A reply that is not valid is an empty answer.
2. nlops are those of the look-ups alone.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from nlpu import Computer, Memory, ModelError, Value, nlop
from nlpu.memory.firmware import open_firmware
from nlpu.runtime.bench.locomo import CONTEXT_TOKENS, CUTS, Question, Result, Talk, score, token_f1

LOOKS = ("hybrid", "iterative")
CONTEXTS = ("recency", "hybrid")


@nlop(max_tokens=32, at_limit="trim")
def reply(question: str, notes: str) -> str:
    """Answer the question from the notes, in a few words."""


class Asked(NamedTuple):
    """One file's part of the sample: results and nlops by firmware, F1s by context."""

    results: dict[str, Result]
    nlops: dict[str, float]
    f1: dict[str, list[float]]


def sampled(talks: Sequence[Talk], most: int) -> list[list[Question]]:
    """So many questions, drawn by a fixed seed from all files; a list for each file."""
    every = [(place, q) for place, talk in enumerate(talks) for q in talk.questions]
    drawn = random.Random(0).sample(every, min(most, len(every)))
    return [[q for at, q in drawn if at == place] for place in range(len(talks))]


def ask(computer: Computer, memory: Memory, talk: Talk, questions: list[Question]) -> Asked:
    """The sample's questions to one file. The memory holds it, and its clock is at its end."""
    asked = Asked({}, {}, {})
    before = memory.firmware
    for name in LOOKS:
        memory.firmware = open_firmware(name)
        asked.results[name], asked.nlops[name] = _looked(computer, memory, talk, questions)
    for name in CONTEXTS:
        memory.firmware = open_firmware(name)
        run = computer.run(lambda: _answers(memory, questions))
        pairs = zip(run.result, questions, strict=True)
        asked.f1[name] = [token_f1(said, question.answer) for said, question in pairs]
    memory.firmware = before
    return asked


def _looked(
    computer: Computer, memory: Memory, talk: Talk, questions: list[Question]
) -> tuple[Result, float]:
    ids = {page.address: name for name, page in talk.pages.items()}
    result, nlops = Result({cut: [] for cut in CUTS}, [], []), 0.0
    for question in questions:
        start = time.perf_counter()
        run = computer.run(lambda q=question.text: _addresses(memory, q))
        result.ms.append(1000 * (time.perf_counter() - start))
        score(result, question, [ids[address] for address in run.result])
        nlops += run.receipt.nlops
    return result, nlops


def _addresses(memory: Memory, question: str) -> list[str]:
    return [found.page.address for found in memory.search(question, most=max(CUTS))]


def _answers(memory: Memory, questions: list[Question]) -> list[str]:
    replies = [reply(q.text, memory.context(q.text, CONTEXT_TOKENS)) for q in questions]
    return [_said(each) for each in replies]


def _said(value: Value[str]) -> str:
    try:
        return value.value
    except ModelError:
        return ""


def figures(asked: Sequence[Asked]) -> dict[str, Any]:
    """The mean F1 by context, and of how many questions."""
    every = {name: [f1 for part in asked for f1 in part.f1[name]] for name in CONTEXTS}
    return {
        "questions": len(every[CONTEXTS[0]]),
        "token_f1": {name: round(sum(f1) / len(f1), 4) for name, f1 in every.items()},
    }
