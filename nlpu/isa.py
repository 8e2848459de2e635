"""The standard instruction set: ops that several programs share, each with known answers.

Theory of operation
-------------------
The set of instructions is open; these are the ones every program may count on. What an op promises
is its type and its bounds. Whether it is right is a matter of the model, and is measured: each has
a truth table, a few cases with known answers, which anyone can run on any processor.

    summarize   a text in three sentences        decompose   a task into a few smaller ones
    answer      a question from a text           infer       one step from some facts
    extract     what is wanted, word for word    critique    the worst flaw of a draft, if any
    classify    into one of the given classes    revise      a draft without its flaw
    judge       yes or no, and how likely yes    reflect     the lesson of an attempt that failed
    compare     the better one of two texts
    rank        numbered texts, best first
    select      the numbered texts that matter

Rules
1. An instruction is one or two plain sentences that a small model can follow; its first line says
   all that is asked, because it is repeated behind the data.
2. Every result is valid whatever the model says: texts are trimmed at their limit, lists and
   records have bounds that fit into ``max_tokens`` at a token a character.
3. Texts that are told apart by number come as one text, made by ``numbered``.
4. Cases are data. They are answered the same by everyone who can read; none needs an opinion.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from nlpu.judgement import Judgement
from nlpu.op import Op, nlop, op

Line = Annotated[str, Field(max_length=100)]
Numbers = Annotated[list[Annotated[int, Field(ge=1, le=99)]], Field(max_length=8)]


class Critique(BaseModel):
    """The worst flaw of a draft, and whether the draft will do as it is."""

    model_config = ConfigDict(frozen=True)
    flaw: Line
    good_enough: bool


# -- the ops -----------------------------------------------------------------------------------


@nlop(max_tokens=128, at_limit="trim", repetition_penalty=1.1)
def summarize(text: str) -> str:
    """Summarise the text in three sentences."""


@nlop(max_tokens=64, at_limit="trim")
def answer(question: str, text: str) -> str:
    """Answer the question from the text, in a few words."""


@nlop(max_tokens=64, at_limit="trim")
def extract(wanted: str, text: str) -> str:
    """Copy what is wanted from the text, word for word, and write nothing else."""


def classify(*classes: str) -> Op[str]:
    """The op that says which class a text belongs to: ``classify("bug", "wish")(text)``."""
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


@nlop(max_tokens=448)
def decompose(task: str) -> Annotated[list[Line], Field(max_length=4)]:
    """List the smaller tasks that together solve the task."""


@nlop(max_tokens=144)
def critique(task: str, draft: str) -> Critique:
    """Name the worst flaw of the draft as a solution of the task, and say if it is good enough."""


@nlop(max_tokens=256, at_limit="trim")
def revise(task: str, draft: str, flaw: str) -> str:
    """Write the draft again, as a solution of the task, without the flaw."""


@nlop(max_tokens=48, at_limit="trim")
def reflect(task: str, attempt: str, failure: str) -> str:
    """Say in one sentence what to do differently next time, so that the task does not fail so."""


def numbered(texts: Iterable[str]) -> str:
    """Texts as ``rank`` and ``select`` read them: one a line, numbered from 1."""
    return "\n".join(f"{number}. {' '.join(text.split())}" for number, text in enumerate(texts, 1))


def picked(numbers: Iterable[int], texts: list[str]) -> list[str]:
    """The texts of these numbers, in their order, each once; numbers of no text are passed over."""
    return [texts[n - 1] for n in dict.fromkeys(numbers) if 1 <= n <= len(texts)]


# -- truth tables ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Case:
    """A call and what is right: the content itself, or words that a text must have (any case)."""

    operands: tuple[str, ...]
    expected: Any = None
    words: tuple[str, ...] = ()

    def holds(self, content: Any) -> bool:
        """Whether the content is right; of a Judgement the answer, of a Critique its verdict."""
        if self.words:
            text = content if isinstance(content, str) else " ".join(content)
            return all(word in text.lower() for word in self.words)
        if isinstance(content, Judgement):
            return content.answer is self.expected
        if isinstance(content, Critique):
            return content.good_enough is self.expected
        return bool(content == self.expected)


_LETTER = (
    "Dear Ms Brandt, the parcel with the three lamps came on 4 May. One lamp is broken. "
    "Please send a new one to Harbour Street 9. Yours, Tomas Reyes"
)
_ANIMALS = "1. The kettle is blue.\n2. A heron is a bird.\n3. Paris is in France."

TRUTH_TABLES: dict[Op[Any], tuple[Case, ...]] = {
    summarize: (
        Case((_LETTER,), words=("lamp",)),
        Case(("The bridge was shut in March. Ice had cracked a pillar.",), words=("bridge",)),
    ),
    answer: (
        Case(("Who wrote the letter?", _LETTER), words=("reyes",)),
        Case(("Where is the heron?", "The heron stands in the pond."), words=("pond",)),
        Case(("What colour is the kettle?", "The kettle is blue, the pot red."), words=("blue",)),
    ),
    extract: (
        Case(("the date", _LETTER), words=("4 may",)),
        Case(("the address", _LETTER), words=("harbour street 9",)),
        Case(("the price", "The blue kettle costs 12 euros."), words=("12 euros",)),
    ),
    classify("complaint", "praise"): (
        Case(("The lamp broke on the first day and nobody answers my letters.",), "complaint"),
        Case(("What a lovely lamp! I am very happy with it.",), "praise"),
    ),
    judge: (
        Case(("Is the text about the weather?", "It rained all day, and snowed at night."), True),
        Case(("Is the text about the weather?", "Two and two are four."), False),
        Case(("Is a lamp broken?", _LETTER), True),
        Case(("Is the letter about a dog?", _LETTER), False),
    ),
    compare: (
        Case(("It is about an animal.", "The heron eats a fish.", "The kettle is blue."), "first"),
        Case(("It is about an animal.", "The kettle is blue.", "The heron eats a fish."), "second"),
    ),
    rank: (Case(("It is about a bird.", "1. A kettle.\n2. A heron, which is a bird."), [2, 1]),),
    select: (
        Case(("What is a heron?", _ANIMALS), [2]),
        Case(("Where is Paris?", _ANIMALS), [3]),
    ),
    infer: (
        Case(("Can Pip fly?", "All swifts can fly. Pip is a swift."), words=("pip can fly",)),
        Case(("Who is oldest?", "Ann is older than Bo. Bo is older than Cy."), words=("ann",)),
    ),
    decompose: (Case(("Boil an egg and lay the table.",), words=("egg", "table")),),
    critique: (
        Case(("Name three colours.", "Red, green and blue."), True),
        Case(("Name three colours.", "A kettle."), False),
    ),
    revise: (
        Case(("Name two colours.", "Red and kettle.", "A kettle is no colour."), words=("red",)),
    ),
    reflect: (
        Case(("Name a fruit.", "A stone.", "A stone is no fruit."), words=("fruit",)),
    ),
}  # fmt: skip
