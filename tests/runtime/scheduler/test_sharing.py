"""What prompts have in common: a document with its questions, and short texts with their op.

It is what a server's prefix cache saves. The tokenizer and the frame are those of a real model.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from nlpu import nlop
from nlpu.engines.embedded.vocabulary import tokenizer_files
from nlpu.engines.models import installed_model
from nlpu.errors import MissingPart
from nlpu.isa import answer, judge
from nlpu.ops.op import Op
from nlpu.prompt.codec import Codec
from nlpu.prompt.convention import DEFAULT, FIRST, Convention
from nlpu.prompt.frames import load_frame
from nlpu.prompt.messages import messages_of
from nlpu.tokens import FileTokenizer

ESSAY = (Path(__file__).parents[3] / "docs" / "essay.txt").read_text(encoding="utf-8")
SYSTEM = "You work for a museum of technology. Be exact, and say nothing that you do not know."
SYSTEMS = pytest.mark.parametrize("system", [None, SYSTEM], ids=["plain", "system"])
QUESTIONS = ("Who built the first one?", "Is anything in it said to be cheap, and by whom?")
DOCUMENT, SHORT = 4000, 100


@nlop(
    examples=[
        ("The handle came off after two days.", "fault"),
        ("Could it be had in blue, too?", "wish"),
        ("Works as it should, thank you.", "praise"),
        ("When are you open at Easter?", "question"),
    ]
)
def sort_out(letter: str) -> str:
    """Say what kind of letter this is, in one word: fault, wish, praise or question. A letter that
    complains is a fault, even if it asks something in the end."""


def ids(op: Op[Any], contents: Sequence[str], convention: Convention = DEFAULT) -> Sequence[Any]:
    """A prompt of tokens."""
    return codec().encode(op, contents, convention)


def letters(
    op: Op[Any], contents: Sequence[str], convention: Convention = DEFAULT
) -> Sequence[Any]:
    """A prompt of messages, as one text."""
    turns = messages_of(op, contents, convention=convention)
    return "".join(f"<{turn.role}>{turn.content}" for turn in turns)


FORMS = pytest.mark.parametrize("form", [ids, letters])


@cache
def codec() -> Codec:
    """Of the embedded model, whose vocabulary is a file."""
    try:
        home = tokenizer_files(installed_model(None))
    except MissingPart as missing:
        pytest.skip(str(missing))
    tokenizer = FileTokenizer(home)
    return Codec(tokenizer, load_frame(home, tokenizer))


@cache
def document() -> str:
    """A text of 4,000 tokens."""
    words, size = (ESSAY * 3).split(" "), 0
    for size in range(2000, len(words), 20):
        if codec().count(" ".join(words[:size])) >= DOCUMENT:
            break
    return " ".join(words[:size])


def common(prompts: Sequence[Sequence[Any]]) -> int:
    """How much of their beginnings all prompts share."""
    return len(list(takewhile(lambda column: len(set(column)) == 1, zip(*prompts, strict=False))))


def share(prompts: Sequence[Sequence[Any]]) -> float:
    """The same as a share of the longest."""
    return common(prompts) / max(map(len, prompts))


def spoken(op: Op[Any], system: str | None) -> Op[Any]:
    return op.using(system=system) if system else op


@FORMS
@SYSTEMS
def test_two_questions_on_one_document_share_it(form: Any, system: str | None) -> None:
    for op in (answer, judge):
        prompts = [form(spoken(op, system), (question, document())) for question in QUESTIONS]
        assert share(prompts) >= 0.95


@FORMS
@SYSTEMS
def test_different_ops_on_one_document_share_it(form: Any, system: str | None) -> None:
    prompts = [
        form(spoken(answer, system), (QUESTIONS[0], document())),
        form(spoken(judge, system), (QUESTIONS[1], document())),
        form(spoken(sort_out, system), (document(),)),
    ]
    assert share(prompts) >= 0.95


@FORMS
@SYSTEMS
def test_short_documents_share_the_constants_of_their_op(form: Any, system: str | None) -> None:
    op = spoken(sort_out, system)
    texts = [f"{number} times I wrote to you, and nobody answers." for number in range(SHORT)]
    prompts = [form(op, (text,)) for text in texts]
    measure = codec().count if form is ids else len
    constants = min(len(p) - measure(t) for p, t in zip(prompts, texts, strict=True))
    assert common(prompts) >= 0.9 * constants


@FORMS
def test_the_first_convention_shared_no_document(form: Any) -> None:
    prompts = [form(answer, (question, document()), FIRST) for question in QUESTIONS]
    assert share(prompts) < 0.05
