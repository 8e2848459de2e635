"""The computer: processors, a scheduler on a thread of its own, and runs.

Theory of operation
-------------------
A computer owns one loop thread. ``start`` hands a program to it and returns a ``Run`` at once;
``run`` waits for it. Many starts are a fleet on the same processors. With a run directory every run
is journaled there and can be resumed by name after the process has died.

Rules
1. One colour inside: everything asynchronous is on the loop thread; this file is the only door
   between threads.
2. Closing stops what still runs (resumable) and releases engines, thread and journal.
3. Names of runs are stable: the journal's file name, and a number if it holds several.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from nlpu.engines import Named, named_engine
from nlpu.errors import ProgramError, RunBusy, StorageFailed, Usage
from nlpu.processor import DEFAULT_LIMITS, FREE, Limits, Price, open_processor
from nlpu.wire import Engine
from runtime import lives
from runtime.budget import Budget
from runtime.clock import Clock, SystemClock
from runtime.drivers import dispatch as _drivers  # noqa: F401  (their kind of work)
from runtime.drivers.person import Person
from runtime.editing import Edits
from runtime.gate import Gate
from runtime.handle import Run
from runtime.header import header_of, new_stem
from runtime.history import past_of
from runtime.hosting import as_typed
from runtime.journal import Journal, NoJournal
from runtime.kernel import Kernel
from runtime.run import RunState

UNLIMITED = Budget()
_CLOSING_S = 5.0  # longest wait for tasks that programs left behind
Program = Callable[..., Any]


class Computer:
    """Processors + scheduler. Use as a context manager, or ``close`` it.

    engine:     "local" (the embedded model), "scripted", a server's URL, an Engine, or a mapping
                of names to these; the first is the default processor.
    model:      model name or directory, for a single named engine.
    run_dir:    where runs are journaled; None keeps nothing.
    durable:    sync every commit to the disk: survives power loss, slower.
    prices, limits: by processor name.
    seed:       for the jitter of retries only.
    person:     who approves of what drivers may do (``runtime.drivers.person``).
    """

    def __init__(
        self,
        engine: Named | Engine | Mapping[str, Named | Engine] = "local",
        *,
        model: str | None = None,
        api_key: str | None = None,
        run_dir: str | os.PathLike[str] | None = None,
        durable: bool = False,
        clock: Clock | None = None,
        prices: Mapping[str, Price] | None = None,
        limits: Mapping[str, Limits] | Limits = DEFAULT_LIMITS,
        seed: int = 0,
        person: Person | None = None,
    ) -> None:
        engines = engine if isinstance(engine, Mapping) else {"main": engine}
        if not engines:
            raise Usage("a computer needs at least one processor: give it an engine")
        self._engines: dict[str, Engine] = {
            name: named_engine(item, model, api_key) if isinstance(item, str) else item
            for name, item in engines.items()
        }
        self._prices = dict(prices or {})
        self._limits = limits
        self._run_dir = None if run_dir is None else Path(run_dir)
        self._durable = durable
        self._clock = clock or SystemClock()
        self._seed = seed
        self._person = person
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._kernel: Kernel | None = None
        self._stem = ""
        self._started = 0
        self._live: set[Run] = set()
        self._opening = threading.Lock()

    # -- running -----------------------------------------------------------------------------

    def run(self, program: Program, *args: Any, **kwargs: Any) -> Run:
        """Start a program and wait for it. Ctrl-C stops it, resumable."""
        return self._wait(self.start(program, *args, **kwargs))

    def start(
        self,
        program: Program,
        *args: Any,
        budget: Budget = UNLIMITED,
        estimates: Mapping[str, int] | None = None,
        header: Mapping[str, Any] | None = None,
        stream: bool = False,
        gate: Gate | None = None,
        **kwargs: Any,
    ) -> Run:
        """Start a program and return at once.

        budget:    most it may spend. estimates: expected completion tokens by op name.
        header:    what a terminal needs to start it again. gate: breakpoints (``runtime.gate``).
        Other keywords go to the program.
        """
        self._open()
        number, run = self._new_run()

        def begin() -> None:
            whole = self._header(program, args, kwargs, budget, header)
            whole["estimates"] = dict(estimates or {})
            state = lives.anew(self._opened, number, whole, budget)
            self._launch(run, state, program, args, kwargs, gate)

        self._enter(run, stream, begin)
        return run

    def rerun(
        self,
        name: str,
        program: Program,
        *args: Any,
        edits: Edits,
        budget: Budget = UNLIMITED,
        header: Mapping[str, Any] | None = None,
        stream: bool = False,
        gate: Gate | None = None,
        **kwargs: Any,
    ) -> Run:
        """A new run that differs from the journaled one called ``name`` in what ``edits`` say.

        What does not depend on the edits is taken from the old run. Raises as ``resume``, and
        Usage where an edit fits nothing in it.
        """
        origin = self._reopen(name)
        number, run = self._new_run()

        def begin() -> None:
            old = past_of(lives.rows_of(self._opened.journal, origin)).header
            whole = self._header(program, args, kwargs, budget, header)
            whole |= {"estimates": old["estimates"], "from": {"run": name}}
            state = lives.edited(self._opened, number, whole, budget, origin, edits)
            self._launch(run, state, program, args, kwargs, gate)

        self._enter(run, stream, begin)
        return run

    def resume(
        self,
        name: str,
        program: Program,
        *args: Any,
        budget: Budget | None = None,
        changed: bool = False,
        replay: bool = False,
        stream: bool = False,
        gate: Gate | None = None,
        **kwargs: Any,
    ) -> Run:
        """Go on with a journaled run: its program runs again and meets its results.

        changed: reuse what can be reused where program, op or model differ from the journal's.
        replay:  make no call at all.
        Raises RunBusy, JournalDamaged, StorageFailed.
        """
        number = self._reopen(name, replay=replay)
        run = Run(name, self._call)

        def begin() -> None:
            date_s = self._clock.date_s()
            state = lives.again(
                self._opened, number, program, date_s, budget, changed=changed, replay=replay
            )
            self._launch(run, state, program, args, kwargs, gate)

        self._enter(run, stream, begin)
        return run

    def _new_run(self) -> tuple[int, Run]:
        """The number and handle of a run that begins."""
        with self._opening:
            self._started += 1
            number = self._started
        name = self._stem if number == 1 else f"{self._stem}.{number}"
        return number, Run(name, self._call)

    def _reopen(self, name: str, *, replay: bool = False) -> int:
        """Open the journal that holds the run, for a replay read-only; gives the run's number."""
        stem, _, part = name.partition(".")
        if not stem.isalnum() or (part and not part.isdigit()):
            raise Usage(f"{name!r} is not the name of a run; see: nlpu runs")
        if any(run.name == name for run in list(self._live)):
            raise RunBusy(f"the run {name} is being executed by this computer; wait for it")
        was_open = self._kernel is not None
        self._open(stem, replay=replay)
        journal = self._opened.journal
        if was_open:
            journal.refresh()
        number = int(part) if part else 1
        if not lives.rows_of(journal, number):
            raise ProgramError(f"the journal {stem} has no run {name}")
        return number

    def _header(
        self, program: Program, args: tuple[Any, ...], kwargs: dict[str, Any], budget: Budget,
        more: Mapping[str, Any] | None,
    ) -> dict[str, Any]:  # fmt: skip
        identities = {name: each.identity for name, each in self._opened.processors.items()}
        facts = {"started_s": self._clock.date_s(), "processors": identities, **(more or {})}
        return header_of(self._opened.journal, program, args, kwargs, budget, facts)

    def _launch(
        self, run: Run, state: RunState, program: Program, args: tuple[Any, ...],
        kwargs: dict[str, Any], gate: Gate | None,
    ) -> None:  # fmt: skip
        kernel, host = self._opened, self._opened.host
        run._state = state
        state.date_s = self._clock.date_s
        if gate is not None:
            gate.attach(kernel)
            state.gate = gate
        if run._pieces is not None:
            pieces = run._pieces
            state.on_text = lambda node, piece: pieces.put(piece)
        kernel.runs[state.number] = state
        state.on_end.append(lambda: self._ended(run))
        seconds = state.purse.budget.seconds
        if seconds is not None:
            state.timers.append(kernel.loop.call_later(seconds, kernel.expire, state))

        called = getattr(program, "__name__", "program")

        def done(result: Any, error: BaseException | None) -> None:
            host.end(state, result, None if error is None else as_typed(called, error))

        def ended(outcome: Any, error: BaseException | None) -> None:
            host.finish_scope(state.root, outcome, error, done)

        def start() -> None:
            if state.status == "running":  # it may have been stopped before its first turn
                host.start(state.root, program, args, kwargs, ended)

        kernel.on_hub(start)

    def _ended(self, run: Run) -> None:
        """Write the run's last row, then let its waiters go: on the hub, after the commit."""
        state, kernel = run._state, self._opened
        assert state is not None
        try:
            lives.ended(state)
        except Exception as failure:  # its waiters must hear of it, whatever it is
            state.status, state.error = "failed", as_typed(run.name, failure)
        finally:
            kernel.soon()
            kernel.loop.call_soon(self._release, run)  # behind the turn that commits the row

    def _release(self, run: Run) -> None:
        self._live.discard(run)
        if run._pieces is not None:
            run._pieces.put(None)
        run._done.set_result(None)

    def _enter(self, run: Run, stream: bool, begin: Callable[[], None]) -> None:
        self._live.add(run)
        if stream:
            run._pieces = SimpleQueue()

        def step() -> None:
            try:
                begin()
            except BaseException as error:
                self._live.discard(run)
                run._done.set_exception(error)

        self._call(step)

    def _wait(self, run: Run) -> Run:
        try:
            return run.wait()
        except KeyboardInterrupt:
            run.stop()
            raise

    # -- opening and closing ---------------------------------------------------------------------

    def _call(self, step: Callable[[], None]) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(step)

    def _open(self, stem: str | None = None, *, replay: bool = False) -> None:
        with self._opening:
            if self._kernel is not None:
                if self._kernel.journal.read_only and not replay:
                    raise ProgramError("this computer was opened for a replay; use another to run")
                if stem is not None and stem != self._stem:
                    raise ProgramError(
                        f"this computer has the journal {self._stem} open; use another"
                    )
                return
            self._stem = stem or new_stem()
            journal = self._open_journal(existing=stem is not None, replay=replay)
            self._loop = self._clock.new_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="nlpu", daemon=True)
            self._thread.start()
            opening = asyncio.run_coroutine_threadsafe(self._boot(journal), self._loop)
            try:
                opening.result()
            except BaseException as error:
                opening.cancel()
                if isinstance(error, Exception):  # an interrupt does not wait for engines
                    closing = asyncio.run_coroutine_threadsafe(self._close_engines(), self._loop)
                    closing.result()
                journal.discard()
                self._stop_thread()
                raise

    def _open_journal(self, existing: bool, replay: bool) -> Journal | NoJournal:
        if self._run_dir is None:
            return NoJournal()
        path = self._run_dir / f"{self._stem}.db"
        if existing and not path.is_file():
            raise ProgramError(f"there is no run {self._stem} in {self._run_dir}; see: nlpu runs")
        if replay:
            return Journal(path, read_only=True)
        try:
            self._run_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageFailed(
                f"cannot make the run directory {self._run_dir}: {error.strerror}; "
                "choose another with --run-dir"
            ) from error
        journal = Journal(path, durable=self._durable)
        self._started = max((row[1] for row in journal.rows), default=0)
        return journal

    async def _boot(self, journal: Journal | NoJournal) -> None:
        loop = asyncio.get_running_loop()
        kernel = Kernel(loop, self._clock, self._seed)
        kernel.journal, kernel.person = journal, self._person
        for name, engine in self._engines.items():
            limits = (
                self._limits
                if isinstance(self._limits, Limits)
                else self._limits.get(name, DEFAULT_LIMITS)
            )
            price = self._prices.get(name, FREE)
            processor = await open_processor(name, engine, price, limits)
            kernel.processors[name] = processor
            kernel.calls.add(processor)
        kernel.default = next(iter(self._engines))
        self._kernel = kernel

    @property
    def _opened(self) -> Kernel:
        assert self._kernel is not None  # whoever asks has opened it
        return self._kernel

    @property
    def processors(self) -> dict[str, Any]:
        """The opened processors by name."""
        if self._kernel is None:
            self._open()
        return dict(self._opened.processors)

    def close(self) -> None:
        """Stop what still runs and release everything. Idempotent."""
        if self._kernel is None or self._loop is None:
            return
        for run in list(self._live):
            run.stop()
        asyncio.run_coroutine_threadsafe(self._shutdown(), self._loop).result()
        self._stop_thread()
        self._kernel.journal.close()
        self._kernel = None

    async def _shutdown(self) -> None:
        assert self._kernel is not None
        await self._kernel.outlast(_CLOSING_S)
        mine = asyncio.current_task()
        tasks = [task for task in asyncio.all_tasks() if task is not mine]
        for task in tasks:  # attempts were stopped with their runs; these are programs' own
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_CLOSING_S)
        await self._close_engines()
        await asyncio.get_running_loop().shutdown_default_executor()
        self._kernel.host.forget()

    async def _close_engines(self) -> None:
        for engine in self._engines.values():
            await engine.close()

    def _stop_thread(self) -> None:
        assert self._loop is not None and self._thread is not None
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Computer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
