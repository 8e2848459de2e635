"""The standard instruction set: ops that several programs share, each with known answers.

Theory of operation
-------------------
The set of instructions is open; these are the ones every program may count on. What an op promises
is its type and its bounds. Whether it is right is a matter of the model, and is measured: each has
a truth table, a few cases with known answers (``nlpu.eval.cases``), which anyone can run on any
processor.

    summarize   a text in three sentences        decompose   a task into a few smaller ones
    answer      a question from a text           infer       one step from some facts
    extract     what is wanted, word for word    critique    the worst flaw of a draft, if any
    classify    into one of the given classes    revise      a draft without its flaw
    judge       yes or no, and how likely yes    reflect     the lesson of an attempt that failed
    compare     the better one of two texts      continue    what comes next (``go_on``)
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
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from nlpu.eval.cases import Case
from nlpu.judgement import Judgement
from nlpu.ops.op import Op, Operand, nlop
from nlpu.types.result import choices_of, result_type

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
    """Find what is wanted in the text. Answer with the words of the text alone."""


def classify(*classes: str) -> Op[str]:
    """Make the op that says to which class a text belongs, by what is named.

    ``classify("bug", "wish")("what the writer wants", text)``
    """
    by = Operand("by", result_type(str), asks="Classify the text by {text}.")
    return Op(
        "classify",
        "Say which class the text belongs to.",
        (by, Operand("text", result_type(str))),
        result_type(Literal[classes]),
    )


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


@nlop(max_tokens=64, at_limit="trim")
def _continue(text: str) -> str:
    """Go on with the text: write what comes next, and nothing else."""


go_on = _continue.using(name="continue")  # a word that Python keeps


@nlop(max_tokens=48, at_limit="trim")
def infer(question: str, facts: str) -> str:
    """Answer the question in one sentence with what follows from the facts."""


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
    """Write texts as ``rank`` and ``select`` read them: one a line, numbered from 1."""
    return "\n".join(f"{number}. {' '.join(text.split())}" for number, text in enumerate(texts, 1))


def picked(numbers: Iterable[int], texts: list[str]) -> list[str]:
    """Give the texts of these numbers, in their order, each once; numbers of none are skipped."""
    return [texts[n - 1] for n in dict.fromkeys(numbers) if 1 <= n <= len(texts)]


# -- truth tables ------------------------------------------------------------------------------


def _cases(op: Op[Any], *rows: tuple[Any, ...]) -> tuple[Case, ...]:
    """Rows of operands in order and what is expected: the content, or what a text must hold."""
    names = [place.name for place in op.operands]
    return tuple(
        Case(
            id=f"{op.name}-{number}",
            op=op.name,
            operands=dict(zip(names, operands, strict=True)),
            expected=expected,
            metric="predicate" if isinstance(expected, dict) and "all" in expected else "",
            choices=tuple(choices_of(op.result.annotation)) if op.name == "classify" else (),
        )
        for number, (*operands, expected) in enumerate(rows, 1)
    )


def _holding(*words: str | list[str]) -> dict[str, Any]:
    return {"all": list(words)}


_LETTER = (
    "Dear Ms Brandt, the parcel with the three lamps came on 4 May. One lamp is broken. "
    "Please send a new one to Harbour Street 9. Yours, Tomas Reyes"
)
_MOOD = "what the writer has to say of the lamp"
_ANIMALS = "1. The kettle is blue.\n2. A heron is a bird.\n3. Paris is in France."

_TABLES: tuple[tuple[Op[Any], *tuple[tuple[Any, ...], ...]], ...] = (
    (
        summarize,
        (_LETTER, _holding(["lamp", "lamps"])),
        ("The bridge was shut in March. Ice had cracked a pillar.", _holding("bridge")),
    ),
    (
        answer,
        ("Who wrote the letter?", _LETTER, _holding("reyes")),
        ("Where is the heron?", "The heron stands in the pond.", _holding("pond")),
        ("What colour is the kettle?", "The kettle is blue, the pot red.", _holding("blue")),
    ),
    (
        extract,
        ("the date", _LETTER, _holding("4 may")),
        ("the address", _LETTER, _holding("harbour street 9")),
        ("the price", "The blue kettle costs 12 euros.", _holding("12 euros")),
    ),
    (
        classify("complaint", "praise"),
        (_MOOD, "The lamp broke on the first day and nobody answers my letters.", "complaint"),
        (_MOOD, "What a lovely lamp! I am very happy with it.", "praise"),
    ),
    (
        judge,
        ("Is the text about the weather?", "It rained all day, and snowed at night.", True),
        ("Is the text about the weather?", "Two and two are four.", False),
        ("Is a lamp broken?", _LETTER, True),
        ("Is the letter about a dog?", _LETTER, False),
    ),
    (
        compare,
        ("It is about an animal.", "The heron eats a fish.", "The kettle is blue.", "first"),
        ("It is about an animal.", "The kettle is blue.", "The heron eats a fish.", "second"),
    ),
    (rank, ("It is about a bird.", "1. A kettle.\n2. A heron, which is a bird.", [2, 1])),
    (
        select,
        ("What is a heron?", _ANIMALS, [2]),
        ("Where is Paris?", _ANIMALS, [3]),
    ),
    (
        infer,
        ("Can Pip fly?", "All swifts can fly. Pip is a swift.", _holding("pip can fly")),
        ("Who is oldest?", "Ann is older than Bo. Bo is older than Cy.", _holding("ann")),
    ),
    (decompose, ("Boil an egg and lay the table.", _holding("egg", "table"))),
    (
        critique,
        ("Name three colours.", "Red, green and blue.", {"good_enough": True}),
        ("Name three colours.", "A kettle.", {"good_enough": False}),
    ),
    (
        go_on,
        ("Monday, Tuesday, Wednesday,", _holding("thursday")),
        ("One, two, three, four,", _holding("five")),
    ),
    (revise, ("Name two colours.", "Red and kettle.", "A kettle is no colour.", _holding("red"))),
    (reflect, ("Name a fruit.", "A stone.", "A stone is no fruit.", _holding("fruit"))),
)

TRUTH_TABLES: dict[Op[Any], tuple[Case, ...]] = {op: _cases(op, *rows) for op, *rows in _TABLES}
