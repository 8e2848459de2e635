"""``python -m benchmarks.memory_answers``: what of ``nlpu bench memory`` needs a language model.

Theory of operation
-------------------
For the questions of a sample, in runs of their own:

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
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from benchmarks.command import carry_out
from nlpu import Computer, Memory, ModelError, Value, nlop
from nlpu.memory.firmware import open_firmware
from nlpu.runtime.bench import memory as recall
from nlpu.runtime.bench.locomo import CONTEXT_TOKENS, CUTS, Question, Result, Talk, score, words_of
from nlpu.runtime.bench.results import AsJson, deliver, processor
from nlpu.runtime.terminal.options import Engine, Model

LOOKS = ("hybrid", "iterative")
CONTEXTS = ("recency", "hybrid")
app = typer.Typer(add_completion=False)
Sample = Annotated[int, typer.Option("--sample", metavar="N", min=1, help="Questions asked.")]


@nlop(max_tokens=32, at_limit="trim")
def reply(question: str, notes: str) -> str:
    """Answer the question from the notes, in a few words."""


@app.command(help="Look-ups and answers with a model, on a sample of the questions.")
def command(
    data: recall.Data,
    sample: Sample = 50,
    engine: Engine = None,
    model: Model = None,
    as_json: AsJson = False,
) -> None:
    found = measure(data, sample, *processor(engine, model))
    deliver("memory_answers", found, tables, as_json=as_json)


def measure(data: Path, sample: int, engine: str, model: str | None) -> dict[str, Any]:
    """Everything the command prints. Raises Usage."""
    talks, asked = recall.talks_in(data), []
    for talk, questions in zip(talks, sampled(talks, sample), strict=True):
        if questions:
            with (
                recall.holding(talk, "hybrid") as memory,
                Computer(engine, model=model) as computer,
            ):
                asked.append(ask(computer, memory, talk, questions))
    rows = [
        recall.row(
            f"{name} (sample)",
            [part.results[name] for part in asked],
            sum(part.nlops[name] for part in asked),
        )
        for name in LOOKS
    ]
    return {**recall.report(talks, rows, engine=engine), "answers": figures(asked)}


def tables(found: dict[str, Any]) -> None:
    """Everything, on stdout."""
    recall.tables(found)
    answers = found["answers"]
    f1 = ", ".join(f"{name} {f1:.3f}" for name, f1 in answers["token_f1"].items())
    print(
        f"token F1 of {found['engine']} on {answers['questions']} questions, "
        f"{CONTEXT_TOKENS:,} tokens of context: {f1}"
    )


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


def token_f1(said: str, answer: str) -> float:
    """The harmonic mean of precision and recall over words, each as often as it is there."""
    words, wanted = Counter(words_of(said)), Counter(words_of(answer))
    common = (words & wanted).total()
    return 2 * common / (words.total() + wanted.total()) if common else 0.0


if __name__ == "__main__":
    carry_out(app)
