"""Prompts as chat messages, for servers that take no token ids. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from nlpu.ops.op import Op
from nlpu.prompt.complaint import Invalid
from nlpu.prompt.convention import DEFAULT, Convention
from nlpu.prompt.fences import fences_for
from nlpu.prompt.frames import Frame
from nlpu.prompt.layout import again_of, documents_of, order_of, spread, turns_of, written_again
from nlpu.prompt.markers import USUAL, Markers
from nlpu.wire import Message


def messages_of(
    op: Op[Any],
    contents: Sequence[str],
    markers: Markers = USUAL,
    convention: Convention = DEFAULT,
    invalid: Sequence[Invalid] = (),
    frame: Frame | None = None,
) -> tuple[Message, ...]:
    """The prompt as chat messages, operands' markers broken up (weaker than token ids).

    invalid: what the model has answered already; frame: what its server writes around turns.
    """
    spoken = frame is None or frame.turns
    order = order_of(convention, op, documents_of(convention, op, contents))
    given = spread(op, contents)
    told = [markers.broken(text) for text in given.texts]
    fences = fences_for(convention, op, told[: len(contents)])
    turns = turns_of(convention, op, order, fences, roles=given.roles, spoken=spoken)
    messages = [
        Message(turn.role, "".join(told[p] if isinstance(p, int) else p for p in turn.pieces))
        for turn in turns
    ]
    if invalid:
        unmarked = [Invalid(*map(markers.broken, each)) for each in invalid]
        again = again_of(convention, op, unmarked)
        if frame is None or frame.turns:
            messages += [Message(turn.role, "".join(map(str, turn.pieces))) for turn in again]
        else:
            last = messages[-1]
            messages[-1] = replace(last, content=last.content + written_again(convention, again))
    return tuple(messages)
