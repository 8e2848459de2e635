"""Commits in two phases: what follows from a turn waits until its rows are durable.

Theory of operation
-------------------
A turn ends with a commit. A store that is durable at once goes on in the same step. With one that
takes its time nothing else of the scheduler moves until it reports: what arrives meanwhile is left
to the next turn, which takes all of it in one batch. So turns are grouped by as much as the store
is slow, and rows are written as they would be without it.

    commit     flush; then, once durable, what the turn was for: calls are sent, programs woken
    put_off    a turn that begins meanwhile: it is asked for again after the report
    after      what waits for the rows that are buffered now, whatever turn commits them

Rules
1. Nothing follows from rows that are not durable, and no program sees what was settled with them:
   async programs may run meanwhile. A failure is told instead, once.
2. One flush is under way at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Generic, TypeVar

from nlpu.runtime.journal.store import JournalStore
from nlpu.value import Value, reveal

Then = Callable[[Any, BaseException | None], None]
Told = Callable[[BaseException | None], object]
Settled = TypeVar("Settled", bound=Value[Any])


class CommitGate(Generic[Settled]):
    """Carries the commits of one loop.

    post: has a step done on the loop, from any thread. soon: asks for a turn.
    """

    def __init__(
        self, post: Callable[[Callable[[], None]], object], soon: Callable[[], None]
    ) -> None:
        self._post, self._soon = post, soon
        self.under_way = False
        self.later = False  # whether the store takes its time
        self.settled: list[Settled] = []  # since the last commit that is durable, where it does
        self._put_off = False
        self._after: list[Told] = []

    def put_off(self) -> None:
        """Have a turn asked for again that must wait for what is under way."""
        self._put_off = True

    def after(self, step: Told) -> None:
        """Take a step once what is buffered now is durable, or with why it is not."""
        self._after.append(step)

    def commit(self, store: JournalStore, then: Then, batch: Any) -> None:
        """Flush, and go on with the batch when that is durable; with an error if it fails."""
        waiting, self._after = self._after, []
        try:
            done = store.flush()
        except Exception as failure:
            self._report(failure, then, batch, waiting)
        else:
            if done is not None:
                self._wait(done, then, batch, waiting)
            else:
                self._report(None, then, batch, waiting)

    def _report(
        self, error: BaseException | None, then: Then, batch: Any, waiting: Sequence[Told]
    ) -> None:
        then(batch, error)
        for step in waiting:
            step(error)

    def _wait(self, done: Future[None], then: Then, batch: Any, waiting: Sequence[Told]) -> None:
        self.under_way = self.later = True
        for value in self.settled:
            reveal(value, there=False)

        def durable() -> None:
            self.under_way = False
            for value in self.settled:
                reveal(value, there=True)
            self._report(done.exception(), then, batch, waiting)
            if self._put_off:
                self._put_off = False
                self._soon()

        def reported(_: Future[None]) -> None:
            with suppress(RuntimeError):  # the loop is closed: as if the process had been killed
                self._post(durable)

        done.add_done_callback(reported)
