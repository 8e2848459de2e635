"""The words of ``benchmarks.answers``: ops as they were, plain requests, DSPy's signatures.

Theory of operation
-------------------
What the default layout is held against is data here, so that it stays what it is while the standard
ops change: the ops with the words that went with the first convention, and one request for each op
as a person would type it into a chat. Operands go by the names of the cases. These words were
written from the planning halves alone.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from nlpu import Judgement, Op, nlop, op

Numbers = Annotated[list[Annotated[int, Field(ge=1, le=99)]], Field(max_length=8)]


# -- the ops as they were ----------------------------------------------------------------------


@nlop(max_tokens=64, at_limit="trim")
def answer(question: str, text: str) -> str:
    """Answer the question from the text, in a few words."""


@nlop(max_tokens=64, at_limit="trim")
def extract(wanted: str, text: str) -> str:
    """Copy what is wanted from the text, word for word, and write nothing else."""


def classify(*classes: str) -> Op[str]:
    """The op that says which class a text belongs to."""
    return op("Which class does the text belong to?", Literal[classes], name="classify")


@nlop
def judge(question: str, text: str) -> Judgement:
    """Answer the question about the text."""


@nlop
def compare(criterion: str, first: str, second: str) -> Literal["first", "second"]:
    """Which of the two texts meets the criterion better?"""


@nlop(max_tokens=40)
def rank(criterion: str, texts: str) -> Numbers:
    """Give the numbers of the texts in order, with the one that meets the criterion best first."""


@nlop(max_tokens=40)
def select(question: str, texts: str) -> Numbers:
    """Give the numbers of those texts that help to answer the question."""


@nlop(max_tokens=48, at_limit="trim")
def infer(question: str, facts: str) -> str:
    """Write one new fact that follows from these facts and helps to answer the question."""


OLD: dict[str, Any] = {
    "answer": answer,
    "extract": extract,
    "classify": classify,
    "judge": judge,
    "compare": compare,
    "rank": rank,
    "select": select,
    "infer": infer,
}


# -- as a person writes it ---------------------------------------------------------------------


PLAIN = {
    "answer": "{text}\n\n{question} Answer from the text above, in a few words.",
    "extract": "{text}\n\nFrom the text above, copy {wanted}, word for word. Write nothing else.",
    "classify": "{text}\n\nClassify the text above by {by}. Answer with one of: {choices}.",
    "judge": "{text}\n\n{question} Answer yes or no.",
    "compare": "First text: {first}\n\nSecond text: {second}\n\n"
    'Which of the two texts fits this better: "{criterion}"? Answer first or second.',
    "rank": "{texts}\n\nSort the texts above: {criterion}. "
    "Answer with their numbers as a JSON list.",
    "select": "{texts}\n\nWhich of the texts above help to answer this question? {question}\n"
    "Answer with their numbers as a JSON list.",
    "infer": "{facts}\n\n{question} Answer in one short sentence.",
}


# -- as DSPy's signatures ----------------------------------------------------------------------


class Signature(NamedTuple):
    """A signature: its instructions, its inputs by name, and what its output is called and is."""

    instructions: str
    inputs: tuple[str, ...]
    output: str
    kind: Literal["text", "bool", "choice", "numbers"]
    choices: tuple[str, ...] = ()


DSPY = {
    "answer": Signature(
        "Answer the question from the text, in a few words.",
        ("question", "text"),
        "answer",
        "text",
    ),
    "extract": Signature(
        "Copy what is wanted from the text, word for word, and write nothing else.",
        ("wanted", "text"),
        "copied",
        "text",
    ),
    "classify": Signature(
        "Say which class the text belongs to, by the given aspect.",
        ("by", "text"),
        "text_class",
        "choice",
    ),
    "judge": Signature(
        "Answer the question about the text.",
        ("question", "text"),
        "answer",
        "bool",
    ),
    "compare": Signature(
        "Which of the two texts meets the criterion better?",
        ("criterion", "first", "second"),
        "better",
        "choice",
        ("first", "second"),
    ),
    "rank": Signature(
        "Give the numbers of the texts in order, with the one that meets the criterion best first.",
        ("criterion", "texts"),
        "numbers",
        "numbers",
    ),
    "select": Signature(
        "Give the numbers of those texts that help to answer the question.",
        ("question", "texts"),
        "numbers",
        "numbers",
    ),
    "infer": Signature(
        "Write one new fact that follows from these facts and helps to answer the question.",
        ("question", "facts"),
        "fact",
        "text",
    ),
}
