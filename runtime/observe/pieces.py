"""The text of calls as it is generated, never the same text twice without a word.

Theory of operation
-------------------
An attempt that fails half-way has handed out pieces already, and the next one begins anew. What it
says is held back as long as it is what was given before; what goes beyond that is given. Where it
says something else, ``AGAIN`` stands before the new text. Engines say the same again at temperature
0, mostly, so a reader seldom sees that.

Rules
1. Of one call, the pieces after the last ``AGAIN`` are a beginning of its newest attempt's text.
2. What a call gave is kept until it has its outcome, with many calls a little longer.
3. A piece names its call: those of several calls come as they are generated, one among the other.
4. A stream is read once, by whoever asks first: from any thread, and in any event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from nlpu.runtime.graph.node import Node
from nlpu.runtime.graph.stage import Stage

AGAIN = "\n[the answer begins anew]\n"
_MANY = 64


class Piece(str):
    """Text of one call. ``op``: its name; ``position``: where it was issued, as in ``show``."""

    __slots__ = ("op", "position")
    op: str
    position: str


def _piece(node: Node, text: str) -> Piece:
    piece = Piece(text)
    piece.op, piece.position = node.work_name, node.issue_position
    return piece


class Stream:
    """The pieces of a run, for ``for`` and ``async for``; ends with the run."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Piece | None] = SimpleQueue()
        self._bells: list[Callable[[], object]] = []  # of event loops that wait

    def __repr__(self) -> str:
        return "Stream(pieces of a run)"

    def put(self, piece: Piece | None) -> None:
        """Hand on a piece; None: there are no more."""
        self._queue.put(piece)
        bells, self._bells = self._bells, []
        for bell in bells:
            with suppress(RuntimeError):  # its loop is closed
                bell()

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Piece:
        piece = self._queue.get()
        if piece is None:
            self._queue.put(None)  # it stays ended
            raise StopIteration
        return piece

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Piece:
        while True:
            try:
                piece = self._queue.get_nowait()
            except Empty:
                await self._rung()
                continue
            if piece is None:
                self._queue.put(None)
                raise StopAsyncIteration
            return piece

    async def _rung(self) -> None:
        """Wait until something has been put."""
        loop = asyncio.get_running_loop()
        bell = asyncio.Event()
        self._bells.append(lambda: loop.call_soon_threadsafe(bell.set))
        if self._queue.empty():  # else it came before there was a bell
            await bell.wait()


@dataclass(slots=True)
class _Given:
    """What one call has given, and what its newest attempt has said where that is less."""

    node: Node
    attempt: int
    text: str = ""
    again: str | None = None


class Pieces:
    """Hands on pieces through ``put`` (rule 1)."""

    def __init__(self, put: Callable[[Piece], None]) -> None:
        self._put = put
        self._given: dict[int, _Given] = {}  # by node number

    def take(self, node: Node, piece: str) -> None:
        """A piece of the node's newest attempt."""
        attempt = node.call_cost.attempts if node.call_cost is not None else 1
        given = self._given.get(node.issue_seq)
        if given is None:
            self._forget()
            given = self._given[node.issue_seq] = _Given(node, attempt)
        elif given.attempt != attempt:
            given.attempt, given.again = attempt, ""
        if given.again is None:
            given.text += piece
            self._put(_piece(node, piece))
        else:
            given.again += piece
            self._catch_up(given, given.again)

    def _catch_up(self, given: _Given, again: str) -> None:
        if len(again) < len(given.text) and given.text.startswith(again):
            return
        new = again.removeprefix(given.text) if again.startswith(given.text) else AGAIN + again
        given.text, given.again = again, None
        if new:
            self._put(_piece(given.node, new))

    def _forget(self) -> None:
        if len(self._given) >= _MANY:
            for given in [*self._given.values()]:
                if given.node.work_stage is Stage.SETTLED:
                    self._end(self._given.pop(given.node.issue_seq))

    def end(self) -> None:
        """The run has ended: what said less than was given before says so."""
        for given in self._given.values():
            self._end(given)
        self._given.clear()

    def _end(self, given: _Given) -> None:
        if given.again:
            self._put(_piece(given.node, AGAIN + given.again))
