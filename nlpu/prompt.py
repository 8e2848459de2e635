"""Prompts as token ids, with the bytes that are sent for them.

A ``Prompt`` is a tuple of ids and compares as one. It knows the pieces it was joined from, and each
piece writes its ids as JSON at most once, when a server first takes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class Piece:
    """Ids that stand together in prompts."""

    __slots__ = ("_json", "ids")

    def __init__(self, ids: tuple[int, ...]) -> None:
        self.ids = ids
        self._json: bytes | None = None

    @property
    def json(self) -> bytes:
        """The ids as JSON, without the brackets."""
        if self._json is None:
            self._json = str(list(self.ids))[1:-1].encode()  # its repr is JSON, and fast
        return self._json


class Prompt(tuple[int, ...]):
    """The ids of a prompt."""

    pieces: tuple[Piece, ...] = ()

    @property
    def json(self) -> bytes:
        """The ids as a JSON array."""
        return b"[" + b",".join(piece.json for piece in self.pieces if piece.ids) + b"]"


def prompt_of(pieces: Iterable[Piece]) -> Prompt:
    """Join pieces."""
    kept = tuple(pieces)
    ids: list[int] = []
    for piece in kept:
        ids += piece.ids
    prompt = Prompt(ids)
    prompt.pieces = kept
    return prompt


def pieces_of(prompt: Sequence[object]) -> tuple[Piece, ...]:
    """The pieces of any prompt of ids, those of a ``Prompt`` as they were joined."""
    if isinstance(prompt, Prompt):
        return prompt.pieces
    return (Piece(tuple(i for i in prompt if isinstance(i, int))),)


def json_of(ids: tuple[int, ...]) -> bytes:
    """Any ids as a JSON array: a prompt's from its pieces."""
    return ids.json if isinstance(ids, Prompt) else str(list(ids)).encode()
