"""Change a text the way an example was changed.

    nlpu run transfer "The cat sleeps." "The cats sleep." "The dog barks."
    nlpu run transfer "I can't come." "I regret that I cannot come." --input letter.txt

One call sees the example pair and a piece of the new text, and writes at most about twice as much;
a piece for which no valid text comes stays as it was. Pieces of a long text are changed at the same
time, and put together again with the blanks and line breaks that were between them.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from nlpu import Chunk, Value, lift, nlop, spawn, split
from nlpu.programs.calling import attempted
from nlpu.value import current

PIECE_TOKENS = 64


class Changed(BaseModel):
    """A text after the change; as a record it ends where the text ends."""

    text: Annotated[str, Field(min_length=1, max_length=600)]


@nlop(max_tokens=256, repetition_penalty=1.1)
def change_likewise(before: str, after: str, text: str) -> Changed:
    """Write the text with the same change that turned "before" into "after"."""


def transfer(before: str, after: str, text: str) -> Value[str]:
    """Make the change that turned ``before`` into ``after`` in another text."""
    pieces = [spawn(changed, before, after, piece) for piece in split(text, PIECE_TOKENS)]
    return joined(*pieces)


def changed(before: str, after: str, piece: Chunk) -> str:
    """One piece changed; as it was, where the model gives nothing that can be used."""
    bare = piece.strip()
    if not bare:
        return piece
    most_tokens = 2 * current().processor(None).count(bare) + 24  # more is no change but babble
    new = attempted(change_likewise.using(max_tokens=most_tokens), before, after, bare)
    return piece.replace(bare, new.text, 1) if new else piece


@lift
def joined(*pieces: str) -> str:
    """The pieces as one text."""
    return "".join(pieces)
