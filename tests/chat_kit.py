"""Ops that read a chat, a long one, and the texts of a call."""

from __future__ import annotations

from typing import Any

from nlpu import Op, nlop
from nlpu.chat import Chat, chat_of


@nlop
def talk(chat: Chat) -> str:
    """Answer the last message."""


@nlop
def helped(notes: str, chat: Chat, more: str) -> int:
    """How often do the notes help?"""


LONG = chat_of("What is a loom?", "A frame.", "And a mill? ```x```", "It grinds.", "Thanks!")


def texts(op: Op[Any], chat: Chat, others: tuple[str, ...] = ()) -> list[str]:
    """The operands' texts of a call."""
    given = iter(others)
    return [
        place.type.render(chat if place.type.annotation is Chat else next(given))
        for place in op.operands
    ]
