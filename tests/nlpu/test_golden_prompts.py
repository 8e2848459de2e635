"""Golden: what a model is asked in convention 2, to the byte, and the digests of ops.

A journal's calls are found by these digests, and measurements were made with these words. A change
here is another convention, or a mistake.
"""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, Field

from nlpu import nlop, op
from nlpu.chat import Chat, chat_of
from nlpu.isa import judge
from nlpu.ops.op import Op
from nlpu.processor import scripted_frame
from nlpu.prompt.codec import Codec
from nlpu.prompt.convention import SECOND
from nlpu.prompt.messages import messages_of
from nlpu.tokens import CharTokenizer

CODEC = Codec(CharTokenizer(), scripted_frame())
MARKS = {0x110000: "<system>", 0x110001: "<user>", 0x110002: "<answer>"}
LONG = "The mill stands by the river. " * 40


class Order(BaseModel):
    """An order as the shop writes it."""

    item: str = Field(description="the thing ordered, in the singular", max_length=20)
    pieces: int = Field(ge=1, le=99)
    note: str | None = None


@nlop
def shorten(text: str) -> str:
    """Say it in five words."""


@nlop
def reply(chat: Chat, house_rules: str) -> str:
    """Answer as the shop does."""


order = op("Read the order.", Order)
taught = judge.using(
    examples=[("Is it wet?", "It rains.", True), ("Is it dry?", "It rains.", False)]
)
TALK = chat_of("Hello.", "Yes?", "A lamp.")
FORM = 'Answer with JSON of this form: {"item": string, "pieces": integer, "note": string | null}'
JUDGE = "Answer the question about the text."
YES = "Answer yes or no."

GOLDEN: dict[str, tuple[Op[Any], list[Any], str]] = {
    "a text": (
        shorten,
        ["The heron stands\nin the pond."],
        "<system>Say it in five words."
        "<user>Text:\n```\nThe heron stands\nin the pond.\n```\n\n<answer>",
    ),
    "a line": (
        shorten,
        ["The heron stands."],
        "<system>Say it in five words.<user>Text: The heron stands.\n\n<answer>",
    ),
    "a judge": (
        judge,
        ["Is it wet?", "It rains."],
        f"<system>{JUDGE}\n{YES}<user>Text: It rains.\n\nQuestion: Is it wet?\n\n{YES}<answer>",
    ),
    "a record": (
        order,
        ["Two lamps, please."],
        f"<system>Read the order.\n{FORM}\nAn order as the shop writes it.\n"
        "item: the thing ordered, in the singular; at most 20 characters\n"
        f"pieces: at least 1; at most 99<user>Text: Two lamps, please.\n\n{FORM}<answer>",
    ),
    "a chat": (
        reply,
        [TALK, "Be kind."],
        "<system>Answer as the shop does.<user>Hello.<answer>Yes?"
        "<user>House rules: Be kind.\n\nA lamp.<answer>",
    ),
    "a document": (
        judge,
        ["Is it wet?", LONG],
        f"<user>Text: {LONG}\n\n{JUDGE}\n\nQuestion: Is it wet?\n\n{YES}<answer>",
    ),
    "two examples": (
        taught,
        ["Is it?", "It is."],
        f"<system>{JUDGE}\n{YES}"
        f"<user>Text: It rains.\n\nQuestion: Is it wet?\n\n{YES}<answer>yes"
        f"<user>Text: It rains.\n\nQuestion: Is it dry?\n\n{YES}<answer>no"
        f"<user>Text: It is.\n\nQuestion: Is it?\n\n{YES}<answer>",
    ),
}


@pytest.mark.parametrize("kind", GOLDEN)
def test_prompts_are_what_they_were(kind: str) -> None:
    asked, given, wanted = GOLDEN[kind]
    contents = [place.type.render(x) for place, x in zip(asked.operands, given, strict=True)]
    ids = CODEC.encode(asked, contents, SECOND)
    assert "".join(MARKS.get(i) or chr(i) for i in ids) == wanted
    said = "".join(
        f"<{turn.role.replace('assistant', 'answer')}>{turn.content}"
        for turn in messages_of(asked, contents, convention=SECOND)
    )
    assert f"{said}<answer>" == wanted


def test_digests_are_what_they_were() -> None:
    kinds: dict[str, Op[Any]] = {
        "examples": taught,
        "system": judge.using(system="Be brief."),
        "chat": reply,
        "record": order,
        "retries": judge.using(retries=0),
        "text": shorten,
        "number": op("Count the lamps.", int),
    }
    assert {kind: each.digest.hex() for kind, each in kinds.items()} == {
        "examples": "2156dd7cfc8820759a68109f986d50b3",
        "system": "16c09c6357718e5de3ccba8c92e52194",
        "chat": "f147565a6a92518da576be005ea2ba75",
        "record": "c098f56f472044f7cc5090d9389e4c07",
        "retries": "d63980f128a1f510866113242e342e4e",
        "text": "b1589bf48746209c46dbbd0cf5050bd2",
        "number": "97af1b076a7c8dc4e7e56aec7e5e9f7c",
    }
