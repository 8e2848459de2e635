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
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpu.engines import model_name, named_engine
from nlpu.errors import ProgramError, RunBusy, Usage
from nlpu.printing import counted, one_line
from nlpu.processor import DEFAULT_LIMITS, Limits, Price
from nlpu.prompt.convention import Convention
from nlpu.runtime import resume as lives
from nlpu.runtime import settings
from nlpu.runtime.drivers.person import Person
from nlpu.runtime.executor.clock import Clock, SystemClock
from nlpu.runtime.executor.forks import heed_forks
from nlpu.runtime.executor.raised import as_typed
from nlpu.runtime.handle import Run
from nlpu.runtime.journal.edits import Edits
from nlpu.runtime.journal.header import header_of
from nlpu.runtime.journal.moments import header_in
from nlpu.runtime.journal.rows import past_in
from nlpu.runtime.journal.store import RunLog
from nlpu.runtime.keywords import check_parts, check_settings
from nlpu.runtime.loop_thread import Station
from nlpu.runtime.naming import parts_of, ran_on
from nlpu.runtime.observe.pieces import Pieces, Stream
from nlpu.runtime.run import RunState
from nlpu.runtime.scheduler.breakpoints import Gate
from nlpu.runtime.scheduler.budget import UNLIMITED, Budget
from nlpu.runtime.voice import Voice
from nlpu.wire import Engine

if TYPE_CHECKING:  # what evaluations alone need
    from nlpu.eval.questions import Given, Subject
    from nlpu.eval.scores import Report

Program = Callable[..., Any]


class Computer:
    """Processors + scheduler. Use with ``with`` or ``async with``, or ``close`` it.

    engine:     "local" (the embedded model), "scripted", a server's URL, an Engine, or a mapping
                of names to these; the first is the default processor. None: engine, model and
                key as ``runtime.settings`` has them, as in the terminal.
    model:      model name or directory, for a single named engine.
    run_dir:    where runs are journaled; None keeps nothing.
    durable:    sync every commit to the disk: survives power loss, slower.
    prices, limits: by processor name.
    seed:       for the jitter of retries only.
    person:     who approves of what drivers may do (``runtime.drivers.person``).
    dry:        drivers with an effect are refused, whatever anybody says.
    system:     system text of all ops that say nothing of one (None, "": none).
    convention: how prompts are laid out (``nlpu.prompt.convention``; None: as by default).
                A run that goes on keeps both; to ask for another then is Usage.
    """

    def __init__(
        self,
        engine: str | Engine | Mapping[str, str | Engine] | None = None,
        *,
        model: str | os.PathLike[str] | None = None,
        api_key: str | None = None,
        run_dir: str | os.PathLike[str] | None = None,
        durable: bool = False,
        clock: Clock | None = None,
        prices: Mapping[str, Price] | None = None,
        limits: Mapping[str, Limits] | Limits = DEFAULT_LIMITS,
        seed: int = 0,
        person: Person | None = None,
        dry: bool = False,
        system: str | None = None,
        convention: Convention | None = None,
    ) -> None:
        given, wanted = locals().copy(), model_name(model)
        if engine is None:
            now = settings.read(("engine", "model"))
            engine, wanted = now.engine, wanted or now.model
            api_key = api_key or settings.api_key()
        engines = engine if isinstance(engine, Mapping) else {"main": engine}
        if not engines:
            raise Usage("a computer needs at least one processor: give it an engine")
        opened: dict[str, Engine] = {
            name: named_engine(item, wanted, api_key) if isinstance(item, str) else item
            for name, item in engines.items()
        }
        check_parts(opened, given)
        self._voice = Voice(system, convention)
        self._clock = clock or SystemClock()
        self._station = Station(
            opened, self._clock, None if run_dir is None else Path(run_dir), durable,
            dict(prices or {}), limits, seed, person, dry,
        )  # fmt: skip
        self._live: set[Run] = set()
        self.begins: Callable[[Run], object] = id  # called before a run's program is
        self._asked = {"engine": engine, "model": wanted} if isinstance(engine, str) else {}
        self._named = {
            name: item if isinstance(item, str) else type(item).__name__
            for name, item in engines.items()
        }

    def __repr__(self) -> str:
        station, models, parts = self._station, self._station.models, []
        for name, engine in self._named.items():
            model = models.get(name, "")
            said = engine if model.lower() in ("", engine.lower()) else f"{engine}: {model}"
            parts.append(said if len(self._named) == 1 else f"{name}={said}")
        parts.append(counted(station.started, "run") if station.started else "no runs yet")
        parts += [f"{len(self._live)} going"] * bool(self._live) + ["closed"] * station.is_closed
        where = "not journaled" if station.run_dir is None else str(station.run_dir)
        return one_line(f"Computer({', '.join([*parts, where])})")

    def run(self, program: Program, /, *args: Any, **kwargs: Any) -> Run:
        """Start a program and wait for it. Ctrl-C stops it, resumable."""
        return self._wait(self.start(program, *args, **kwargs))

    def evaluate(
        self,
        subject: Subject,
        cases: Any,
        *,
        metric: Given = None,
        against: Subject | Sequence[Subject] = (),
        processors: Sequence[str] = ("",),
        budget: Budget = UNLIMITED,
        resume: str | None = None,
        cache: str | os.PathLike[str] | None = None,
    ) -> Report:
        """Ask cases with known answers of an op or a program, and give the report.

        cases, metric: see ``nlpu.eval``. against: what is asked the same.
        processors: names of those to ask an op on. resume: the run of an evaluation to go on with.
        cache: a file of answers (``eval.answers``): what is there is not asked again, new ones
        are added. A budget that runs out leaves a report of what was asked by then, which says so.
        """
        from nlpu.runtime.eval.answers import add_answers, answers_in, cache_of
        from nlpu.runtime.eval.evaluation import prepared

        asked, evaluation = prepared(subject, cases, metric, against, processors)
        known = None if cache is None else cache_of(cache, self._station.run_dir)
        if resume is None:
            header = {} if known is None else {"eval": {"cache": str(known)}}
            run = self.run(evaluation.evaluate, asked, budget=budget, header=header)
        else:
            run = self._wait(self.resume(resume, evaluation.evaluate, asked, budget=budget))
        if known is not None:
            add_answers(known, answers_in(run._begun.root.subtree()))
        return evaluation.outcome(run)

    def start(
        self,
        program: Program,
        /,
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
        header:    what a terminal needs to start it again. gate: breakpoints (``breakpoints``).
        Other keywords go to the program. Raises Usage.
        """
        check_settings(program, args, {"budget": budget, "estimates": estimates,
                       "header": header, "stream": stream, "gate": gate})  # fmt: skip
        self._station.open()
        number, run = self._new_run()

        def begin() -> None:
            log = RunLog(self._station.kernel.journal, number)
            whole = self._header(log, program, args, kwargs, budget, header)
            whole["estimates"] = dict(estimates or {})
            state = lives.anew(self._station.kernel, log, whole, budget)
            self._launch(run, state, program, args, kwargs, gate)

        self._enter(run, stream, begin)
        return run

    def rerun(
        self,
        name: str,
        program: Program,
        /,
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
        check_settings(program, args, {"edits": edits, "budget": budget,
                       "header": header, "stream": stream, "gate": gate})  # fmt: skip
        origin = self._reopen(name)
        old = past_in(origin).header
        number, run = self._new_run()

        def begin() -> None:
            log = RunLog(self._station.kernel.journal, number)
            whole = self._header(log, program, args, kwargs, budget, header)
            whole |= {"estimates": old["estimates"], "from": {"run": name}}
            whole |= {key: old.get(key, "") for key in self._voice.facts()}  # equal calls are equal
            state = lives.edited(self._station.kernel, log, whole, budget, origin.run, edits)
            self._launch(run, state, program, args, kwargs, gate)

        self._enter(run, stream, begin)
        return run

    def resume(
        self,
        name: str,
        program: Program,
        /,
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
        Raises RunBusy, JournalDamaged, StorageFailed; Usage where this computer was given another
        system text or convention than the run was begun with.
        """
        check_settings(program, args, {"budget": UNLIMITED if budget is None else budget,
                       "changed": changed, "replay": replay, "stream": stream,
                       "gate": gate})  # fmt: skip
        log = self._reopen(name, replay=replay)
        run = Run(name, self._station.call)

        def begin() -> None:
            date_s = self._clock.date_s()
            state = lives.again(
                self._station.kernel, log, program, date_s, budget,
                changed=changed, replay=replay,
            )  # fmt: skip
            self._launch(run, state, program, args, kwargs, gate)

        self._enter(run, stream, begin)
        return run

    def _new_run(self) -> tuple[int, Run]:
        """The number and handle of a run that begins."""
        number, stem = self._station.number(), self._station.stem
        return number, Run(stem if number == 1 else f"{stem}.{number}", self._station.call)

    def _reopen(self, name: str, *, replay: bool = False) -> RunLog:
        """Open the journal that holds the run, for a replay read-only; gives what it has of it."""
        stem, number = parts_of(name)
        if any(run.name == name for run in list(self._live)):
            raise RunBusy(f"the run {name} is being executed by this computer; wait for it")
        self._station.open(stem, replay=replay, run=number)
        log = lives.log_of(self._station.kernel.journal, number)
        if not log.rows:
            raise ProgramError(f"the journal {stem} has no run {name}")
        self._voice.check(name, header_in(log.rows))
        return log

    def _header(
        self, log: RunLog, program: Program, args: tuple[Any, ...], kwargs: dict[str, Any],
        budget: Budget, more: Mapping[str, Any] | None,
    ) -> dict[str, Any]:  # fmt: skip
        facts = {"started_s": self._clock.date_s(), **self._voice.facts()}
        facts |= ran_on(self._station, self._asked) | dict(more or {})
        return header_of(log, program, args, kwargs, budget, facts)

    def _launch(
        self, run: Run, state: RunState, program: Program, args: tuple[Any, ...],
        kwargs: dict[str, Any], gate: Gate | None,
    ) -> None:  # fmt: skip
        kernel, host = self._station.kernel, self._station.kernel.host
        run._state = state
        state.date_s = self._clock.date_s
        if gate is not None:
            gate.attach(kernel)
            state.gate = gate
        if run._pieces is not None:
            pieces = Pieces(run._pieces.put)
            state.on_text = pieces.take
            state.on_end.append(pieces.end)
        heed_forks(kernel)
        kernel.runs[state.number] = state
        state.on_end.append(lambda: self._ended(run))
        if (seconds := state.purse.budget.seconds) is not None:
            state.timers.append(kernel.loop.call_later(seconds, kernel.expire, state))

        called = getattr(program, "__name__", "program")

        def done(result: Any, error: BaseException | None) -> None:
            host.end(state, result, None if error is None else as_typed(called, error))

        def ended(outcome: Any, error: BaseException | None) -> None:
            host.finish_scope(state.root, outcome, error, done)

        def start() -> None:
            if state.status == "running":  # it may have been stopped before its first turn
                state.begun = True
                host.start(state.root, program, args, kwargs, ended)

        self.begins(run)
        kernel.on_hub(start)

    def _ended(self, run: Run) -> None:
        """Write the run's last row, then let its waiters go: on the hub, after the commit."""
        state, kernel = run._state, self._station.kernel
        assert state is not None
        try:
            lives.ended(state)
        except Exception as failure:  # its waiters must hear of it, whatever it is
            state.status, state.error = "failed", as_typed(run.name, failure)
        finally:
            kernel.commits.after(lambda: kernel.loop.call_soon(self._release, run))
            kernel.soon()  # the turn that commits the row

    def _release(self, run: Run, error: BaseException | None = None) -> None:
        """Let its waiters go. ``error``: why it could not begin."""
        self._live.discard(run)
        if run._pieces is not None:
            run._pieces.put(None)
        if error is None:
            run._done.set_result(None)
        else:
            run._done.set_exception(error)

    def _enter(self, run: Run, stream: bool, begin: Callable[[], None]) -> None:
        self._live.add(run)
        if stream:
            run._pieces = Stream()

        def step() -> None:
            try:
                begin()
            except BaseException as error:
                self._release(run, error)

        self._station.call(step)

    def _wait(self, run: Run) -> Run:
        try:
            return run.wait()
        except KeyboardInterrupt:
            run.stop()
            raise

    @property
    def processors(self) -> dict[str, Any]:
        """The opened processors by name."""
        if not self._station.is_open:
            self._station.open()
        return dict(self._station.kernel.processors)

    def close(self) -> None:
        """Stop what still runs and release everything. Idempotent."""
        if self._station.is_open and not self._station.is_foreign:
            for run in list(self._live):
                run.stop()
            self._station.close()

    def __enter__(self) -> Computer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Computer:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)  # the event loop goes on meanwhile
