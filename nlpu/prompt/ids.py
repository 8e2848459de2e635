"""Prompts as token ids, with the bytes that are sent for them.

Theory of operation
-------------------
A ``Prompt`` is a sequence of ids and compares as a tuple does. It knows the pieces it is made of,
and each piece writes its ids as JSON at most once, when a server first takes them. So a call on a
long document that was sent before costs the copying of its bytes alone.

Rules
1. Ids are joined only when somebody asks for one; their number and their bytes are known without.
2. Pieces and prompts never change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from operator import attrgetter
from typing import Literal, NamedTuple, overload


class Place(NamedTuple):
    """An operand of a prompt by its name, or a turn of a chat by its role."""

    name: str
    role: Literal["", "user", "assistant"] = ""


class Edge(NamedTuple):
    """What belongs to the operand before a text of ours, and to the one that follows it."""

    behind: str = ""
    before: str = ""


class Outline(NamedTuple):
    """What the pieces of a prompt are: operands in order, the edges of our texts, its examples."""

    places: tuple[Place, ...] = ()
    edges: tuple[Edge, ...] = ()
    shown: str = ""


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


_ids_of = attrgetter("ids")


class Prompt(Sequence[int]):
    """The ids of a prompt; equal to a tuple of the same ids. They are joined when one is asked for.

    A server gets the pieces' bytes, so of a long document no copy is made for each call, nor one
    that the garbage collector has to walk through. ``size`` is its length.
    """

    __slots__ = ("_ids", "outlined", "pieces", "size")

    def __init__(
        self, pieces: Iterable[Piece] = (), outlined: Callable[[], Outline] = Outline
    ) -> None:
        """``outlined`` gives the outline, where somebody asks for it."""
        self.outlined = outlined
        self.pieces = tuple(pieces)
        self.size = sum(map(len, map(_ids_of, self.pieces)))
        self._ids: tuple[int, ...] | None = None

    @property
    def ids(self) -> tuple[int, ...]:
        """All of them."""
        if self._ids is None:
            self._ids = tuple(chain.from_iterable(piece.ids for piece in self.pieces))
        return self._ids

    @property
    def json(self) -> bytes:
        """The ids as a JSON array."""
        return b"[%b]" % b",".join([piece.json for piece in self.pieces if piece.ids])

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, place: int) -> int: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[int, ...]: ...

    def __getitem__(self, place: int | slice) -> int | tuple[int, ...]:
        return self.ids[place]

    def __iter__(self) -> Iterator[int]:
        return iter(self.ids)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Prompt):
            return self.size == other.size and self.ids == other.ids
        return self.ids == other if isinstance(other, tuple) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.ids)

    def __repr__(self) -> str:
        return repr(self.ids)


def pieces_of(prompt: Sequence[object]) -> tuple[Piece, ...]:
    """The pieces of any prompt of ids, those of a ``Prompt`` as they were joined."""
    if isinstance(prompt, Prompt):
        return prompt.pieces
    return (Piece(tuple(i for i in prompt if isinstance(i, int))),)


def outline_in(prompt: Sequence[object]) -> Outline:
    """The outline of any prompt of ids; empty where none is known."""
    return prompt.outlined() if isinstance(prompt, Prompt) else Outline()


def json_of(ids: Sequence[int]) -> bytes:
    """Any ids as a JSON array: a prompt's from its pieces."""
    return ids.json if isinstance(ids, Prompt) else str(list(ids)).encode()
