"""The outline of a prompt: which of its pieces is which operand, and what only stands around them.

For whoever has to take a prompt apart again, as the scripted engine does: what a label looks like
may stand in a text, and a label does not tell how its operand is spelled.

Rules
1. It is made by ``layout``, as the prompt itself is, from the same op, operands and convention.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from nlpu.ops.op import Op
from nlpu.prompt.convention import Convention
from nlpu.prompt.fences import Around, Shown, fences_for
from nlpu.prompt.ids import Edge, Outline, Place
from nlpu.prompt.layout import (
    Texts,
    Turn,
    constants_of,
    documents_of,
    examples_text,
    order_of,
    spread,
    turns_of,
)


def outline_of(
    convention: Convention, op: Op[Any], contents: Sequence[str], spoken: bool = True
) -> Outline:
    """Outline the prompt of a call. ``spoken``: the frame can write an assistant's turns."""
    order = order_of(convention, op, documents_of(convention, op, contents))
    fences = fences_for(convention, op, contents)
    given = spread(op, contents)
    turns = turns_of(convention, op, order, fences, roles=given.roles, spoken=spoken)
    places, bones = _parted(op, given, turns)
    if given.roles and spoken and op.examples:
        shown = examples_text(convention, op).strip()
    else:
        shown = "\n".join(p for turn in turns for p in turn.pieces if isinstance(p, Shown))
    if convention.place == "user" and op.operands:  # the first one's turn begins with them
        shown = shown.removeprefix(constants_of(convention, op) + convention.gap)
    edges = [_edge(bone, bone is bones[-1]) for bone in bones]
    return Outline(tuple(places), tuple(edges), shown)


def _parted(
    op: Op[Any], given: Texts, turns: Sequence[Turn]
) -> tuple[list[Place], list[list[str]]]:
    """The operands and a chat's turns in order, and our texts before, between and behind them."""
    places: list[Place] = []
    bones: list[list[str]] = [[]]
    for turn in turns:
        bones[-1].append("")  # what the frame writes
        for piece in turn.pieces:
            if isinstance(piece, str):
                bones[-1].append(piece)
                continue
            spoken = piece - len(op.operands)
            if spoken < 0:
                places.append(Place(op.operands[piece].name))
            else:
                said = given.roles[spoken] == "assistant"
                places.append(Place("", "assistant" if said else "user"))
            bones.append([])
    return places, bones


def _edge(bone: Sequence[str], is_last: bool) -> Edge:
    """What stands around operands at the start and at the end of our text between two."""
    behind = list(takewhile(_is_around, bone))
    if len(behind) == len(bone):  # nothing else between them: the last one belongs to the next
        own = len(bone) if is_last else max(1, len(bone) - 1)
        return Edge("".join(bone[:own]), "".join(bone[own:]))
    before = [*takewhile(_is_around, reversed(bone))]
    return Edge("".join(behind), "".join(reversed(before)))


def _is_around(piece: str) -> bool:
    return isinstance(piece, Around)
