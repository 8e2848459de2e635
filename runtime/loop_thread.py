"""The station: a computer's loop thread, with its kernel, journal and engines on it.

Theory of operation
-------------------
Nothing is opened until it is needed. ``open`` makes the journal, starts the thread, and opens the
engines on it; from then on the kernel runs there. ``close`` takes all of it down again.

Rules
1. What fails while opening leaves nothing behind: no thread, no lock, no empty file.
2. Engines are opened, used and closed on the loop thread alone.
3. One journal for the life of a station: another run's file needs another station.
4. In a forked child nothing of it is used and nothing closed: thread, journal and engines are the
   parent's, and what would wait for them is told so.
5. Programs that would not end keep their loop and its thread, which no exit waits for: unwound once
   more, at the latest by the end of the interpreter, they could keep that from ending, too.
6. Of several engines one whose host fails does not stop the others: what asks for it fails. With
   each run that begins it is tried again; that run does not wait for it.
"""

from __future__ import annotations

import asyncio
import os
import threading
import warnings
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nlpu.engines.absent import none_of
from nlpu.errors import (
    HostError,
    MissingPart,
    NlpuError,
    ProgramError,
    StorageFailed,
    failure_of,
)
from nlpu.owner_only import make_dir
from nlpu.processor import DEFAULT_LIMITS, FREE, Limits, Price, open_processor
from nlpu.runtime.drivers.person import Person
from nlpu.runtime.executor.clock import Clock
from nlpu.runtime.executor.forks import check_process
from nlpu.runtime.journal.file import older
from nlpu.runtime.journal.header import new_stem
from nlpu.runtime.journal.places import is_there, opened, where_of
from nlpu.runtime.journal.store import JournalStore, NoJournal
from nlpu.runtime.journal.where import Place
from nlpu.runtime.kernel import Kernel
from nlpu.runtime.naming import described
from nlpu.wire import Engine

_CLOSING_S = 5.0  # longest wait for effects under way, and for tasks that programs left behind


class LeftBehind(RuntimeWarning):
    """A program goes on though its computer was closed."""


@dataclass
class Station:
    """See ``Computer`` for the settings. ``started``: how many runs the journal holds."""

    engines: Mapping[str, Engine]
    clock: Clock
    run_dir: Place | None
    durable: bool
    prices: Mapping[str, Price]
    limits: Mapping[str, Limits] | Limits
    seed: int
    person: Person | None
    dry: bool = False
    stem: str = ""
    started: int = 0
    is_closed: bool = False  # for good
    _kernel: Kernel | None = None
    _loop: asyncio.AbstractEventLoop | None = None
    _thread: threading.Thread | None = None
    _trying: Future[None] | None = None  # to open what could not be opened
    _owner: int = 0  # the process that opened it
    _left: list[Any] = field(default_factory=list)  # rule 5
    _opening: threading.Lock = field(default_factory=threading.Lock)

    @property
    def is_open(self) -> bool:
        """Whether the kernel is there."""
        return self._kernel is not None

    @property
    def is_foreign(self) -> bool:
        """Whether it was opened by the process that this one is a fork of."""
        return self._owner not in (0, os.getpid())

    @property
    def models(self) -> dict[str, str]:
        """The model of each processor that is open."""
        kernel = self._kernel
        opened = {} if kernel is None else kernel.ports.processors.opened.copy()
        return {name: each.capabilities.model for name, each in opened.items()}

    @property
    def kernel(self) -> Kernel:
        """The kernel of an open station."""
        assert self._kernel is not None  # whoever asks has opened it
        return self._kernel

    def facts(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """What a run's header says of the computer: its processors, and how it was asked for."""
        opened = self.kernel.ports.processors.opened
        facts = {"processors": {name: each.identity for name, each in opened.items()}, **asked}
        if self.run_dir is None:
            return facts
        cans = {name: described(each.capabilities) for name, each in opened.items()}
        facts["can"] = next(iter(cans.values()))
        if len(cans) > 1:
            return facts | {"cans": cans}
        price = next(iter(self.prices.values()), None)
        return facts | {"durable": self.durable, "price": None if price is None else asdict(price)}

    def call(self, step: Callable[[], None]) -> None:
        """Have a step done on the loop thread."""
        assert self._loop is not None  # it is open
        check_process(self._owner, "this computer")
        self._loop.call_soon_threadsafe(step)

    def number(self) -> int:
        """The number of the next run."""
        with self._opening:
            self.started += 1
            return self.started

    # -- opening -----------------------------------------------------------------------------

    def open(
        self,
        stem: str | None = None,
        *,
        new: bool = False,
        replay: bool = False,
        run: int | Collection[int] = 0,
    ) -> None:
        """Open on a new journal, or on that of ``stem``, for a replay read-only. Idempotent.

        new: make the one of that stem. run: that is to be read, or several.

        Raises ProgramError, RunBusy, StorageFailed, JournalDamaged, and what opening engines does.
        """
        if self._kernel is not None:
            check_process(self._owner, "this computer")  # before the lock: a fork may have kept it
        with self._opening:
            if self.is_closed:
                raise ProgramError("this computer was closed, which is for good: make another")
            if self._kernel is not None:
                self._check_open(stem, replay)
                self._try_absent()
                return
            self._owner = os.getpid()
            self.stem = stem or new_stem()
            try:
                self._begin(self._journal(stem is not None and not new, replay=replay, run=run))
            except BaseException:
                self.stem = ""  # of what is opened next it is not the journal
                raise

    def _begin(self, journal: JournalStore) -> None:
        self._loop = self.clock.new_loop()
        self._left = []
        self._thread = threading.Thread(
            target=_turn, args=(self._loop, self._left), name="nlpu", daemon=True
        )
        self._thread.start()
        opening = asyncio.run_coroutine_threadsafe(self._boot(journal), self._loop)
        try:
            opening.result()
        except BaseException as error:
            opening.cancel()
            if isinstance(error, Exception):  # an interrupt does not wait for engines
                asyncio.run_coroutine_threadsafe(self._close_engines(), self._loop).result()
            journal.close(discard=True)
            self._stop_thread()
            if isinstance(error, NlpuError):  # it says itself what was wrong, not our frames
                raise error.with_traceback(None)  # noqa: B904  (its cause is its own)
            raise

    def _check_open(self, stem: str | None, replay: bool) -> None:
        if self.kernel.journal.read_only and not replay:
            raise ProgramError("this computer was opened for a replay; use another to run")
        if stem is not None and stem != self.stem:
            raise ProgramError(
                f"this computer has the journal {self.stem} open: for {stem}, make another"
            )

    def _journal(self, existing: bool, replay: bool, run: int | Collection[int]) -> JournalStore:
        if self.run_dir is None:
            if existing:
                raise ProgramError(f"no run is kept without run_dir=, so there is no {self.stem}")
            return NoJournal()
        where = where_of(self.run_dir, self.stem)
        if existing and not is_there(where):
            raise ProgramError(f"there is no run {self.stem} in {self.run_dir}; see: nlpu runs")
        if replay:
            found = opened(where, read_only=True, run=run)
            if isinstance(where, Path) and getattr(found, "is_older", False):
                found.close()
                raise older(where)
            return found
        try:
            if isinstance(self.run_dir, Path):
                make_dir(self.run_dir)
        except OSError as error:
            raise StorageFailed(
                f"cannot make the run directory {self.run_dir}: {error.strerror}; "
                "choose another with --run-dir"
            ) from error
        journal = opened(where, durable=self.durable, run=run, post=self.call)
        self.started = max(journal.runs(), default=0)
        return journal

    async def _boot(self, journal: JournalStore) -> None:
        kernel = Kernel(
            asyncio.get_running_loop(), journal, self.seed, person=self.person, dry=self.dry
        )
        for name in self.engines:
            await self._open_engine(kernel, name)
        if not kernel.ports.processors.opened:
            raise none_of([*kernel.ports.processors.absent.values()])
        kernel.prefer(next(iter(self.engines)))
        self._kernel = kernel

    async def _open_engine(self, kernel: Kernel, name: str) -> None:
        """Add a processor to the kernel, or why it could not be opened (rule 5)."""
        limits = (
            self.limits
            if isinstance(self.limits, Limits)
            else self.limits.get(name, DEFAULT_LIMITS)
        )
        price = self.prices.get(name, FREE)
        try:
            processor = await open_processor(name, self.engines[name], price, limits)
        except HostError as error:
            if len(self.engines) == 1 or isinstance(error, MissingPart):
                raise
            told = f"the processor {name!r} could not be opened: {error}"
            kernel.ports.processors.absent[name] = failure_of(type(error).__name__, told, "host")
        else:
            kernel.add(processor)

    def _try_absent(self) -> None:
        """Ask once more for the processors that are not there; nobody waits for that."""
        kernel, loop = self.kernel, self._loop
        absent = kernel.ports.processors.absent
        if absent and (self._trying is None or self._trying.done()) and loop is not None:

            async def tried() -> None:
                for name in [*absent]:
                    await self._open_engine(kernel, name)

            self._trying = asyncio.run_coroutine_threadsafe(tried(), loop)

    # -- closing -----------------------------------------------------------------------------

    def close(self) -> None:
        """Release everything; the runs have been stopped. Idempotent."""
        self.is_closed = True
        if self._kernel is None or self._loop is None or self.is_foreign:
            return
        left = asyncio.run_coroutine_threadsafe(self._shutdown(), self._loop).result()
        if not left:
            self._stop_thread()
        self._kernel.journal.close()
        self._kernel = None
        if left:
            warnings.warn(
                f"left behind, as it goes on though it was ended: {', '.join(left)}; it catches "
                "what ends a program (asyncio.CancelledError, GreenletExit): write `except "
                "Exception`, not `except BaseException` or `except:`",
                LeftBehind,
                stacklevel=3,
            )

    async def _shutdown(self) -> list[str]:
        """Gives the names of programs that would not end."""
        await self.kernel.outside.outlast(_CLOSING_S)
        mine = asyncio.current_task()
        tasks = [task for task in asyncio.all_tasks() if task is not mine]
        for task in tasks:  # attempts were stopped with their runs; these are programs' own
            task.cancel()
        left = (await asyncio.wait(tasks, timeout=_CLOSING_S))[1] if tasks else set[Any]()
        await self._close_engines()
        programs = self.kernel.programs
        names = sorted({*programs.stranded, *(task.get_name() for task in left)})
        self._left += [left, programs.stranded]
        programs.forget()
        return names

    async def _close_engines(self) -> None:
        for engine in self.engines.values():
            await engine.close()

    def _stop_thread(self) -> None:
        assert self._loop is not None and self._thread is not None
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _turn(loop: asyncio.AbstractEventLoop, left: list[Any]) -> None:
    """Run the loop. What is ``left`` lives as long as this does, and nothing unwinds this."""
    loop.run_forever()
