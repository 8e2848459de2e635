"""The computer: processors, a scheduler on a thread of its own, and runs.

Theory of operation
-------------------
A computer owns one loop thread. ``start`` hands a program to it and returns a ``Run`` at once;
``run`` waits for it. Many starts are a fleet on the same processors. With a run directory every run
is journaled there and can be resumed by name after the process has died.

Rules
1. All that is asynchronous is on the loop thread; this file is the only door between threads.
2. Closing stops what still runs (resumable) and releases engines, thread and journal, for good.
3. Names of runs are stable: the journal's file name, and a number if it holds several.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nlpu.engines.models.known import model_name
from nlpu.engines.registry import engine_of
from nlpu.errors import ProgramError, RunBusy, Usage
from nlpu.printing import counted, one_line
from nlpu.processor import DEFAULT_LIMITS, Limits, Price
from nlpu.prompt.convention import Convention
from nlpu.reliability import Reliability, promised, sheet_paths
from nlpu.runtime import resume as lives
from nlpu.runtime import settings
from nlpu.runtime.drivers.person import Person
from nlpu.runtime.executor.clock import Clock, SystemClock
from nlpu.runtime.executor.forks import heed_forks
from nlpu.runtime.executor.raised import as_typed
from nlpu.runtime.handle import Run, begins, releases, state_of, stop_all
from nlpu.runtime.journal.edits import Edits
from nlpu.runtime.journal.header import header_of
from nlpu.runtime.journal.moments import header_in
from nlpu.runtime.journal.odd_rows import past_in
from nlpu.runtime.journal.places import place_of
from nlpu.runtime.journal.store import RunLog
from nlpu.runtime.journal.where import Database
from nlpu.runtime.keywords import check_parts, check_settings
from nlpu.runtime.loop_thread import Station
from nlpu.runtime.many import Many
from nlpu.runtime.naming import parts_of, run_name
from nlpu.runtime.run import RunState
from nlpu.runtime.scheduler.breakpoints import Gate
from nlpu.runtime.scheduler.budget import UNLIMITED, Budget, budget_of
from nlpu.runtime.voice import Voice
from nlpu.wire import Engine

Program = Callable[..., Any]


class Computer(Many):
    """Processors and their scheduler; use it with ``with`` or ``async with``, or ``close`` it.

    Args:
        engine: ``local`` (the embedded model), ``scripted``, a server's URL, an engine, or a dict
            of these by name, the first being the default. A list of URLs are servers of one model.
            None: as ``nlpu.toml`` says.
        model: Model name or directory, for a single named engine.
        run_dir: Where runs are journaled; None keeps nothing.
        store: The same; a folder, or a database (``postgresql://USER@HOST/NAME``), which any number
            of computers share. One of the two.
        durable: Sync every commit to the disk: survives power loss, slower.
        prices: By processor name.
        limits: By processor name, or one for all.
        seed: For the jitter of retries only.
        person: Who approves of what drivers may do; None: such a run stops with NeedsPerson.
        dry: Drivers with an effect are refused, whatever anybody says.
        system: System text of ops that have none. A run that goes on keeps it; another is Usage.
        convention: How prompts are laid out (None: as by default); kept in the same way.
        sheets: Datasheets (files, or folders of them), by which ``reliability`` is planned.
    """

    def __init__(
        self,
        engine: str | Engine | Mapping[str, str | Engine | list[str]] | None = None,
        *,
        model: str | os.PathLike[str] | None = None,
        api_key: str | None = None,
        run_dir: str | os.PathLike[str] | None = None,
        store: str | os.PathLike[str] | Database | None = None,
        durable: bool = False,
        clock: Clock | None = None,
        prices: Mapping[str, Price] | None = None,
        limits: Mapping[str, Limits] | Limits = DEFAULT_LIMITS,
        seed: int = 0,
        person: Person | None = None,
        dry: bool = False,
        system: str | None = None,
        convention: Convention | None = None,
        sheets: Sequence[str | os.PathLike[str]] | str | os.PathLike[str] | None = None,
    ) -> None:
        given, wanted = locals().copy(), model_name(model)
        self._budget = UNLIMITED
        if engine is None:
            now = settings.read({*settings.NAMES} - {"store", "run_dir", "sheets", "at_once"})
            engine, wanted = now.engine, wanted or now.model
            prices = {"main": Price(*now.price)} if prices is None and now.price else prices
            self._budget = budget_of(now)
            api_key = api_key or settings.api_key()
        engines = engine if isinstance(engine, Mapping) else {"main": engine}
        if not engines:
            raise Usage("a computer needs at least one processor: give it an engine")
        opened: dict[str, Engine] = {
            name: engine_of(item, wanted, api_key) for name, item in engines.items()
        }
        check_parts(opened, given)
        if run_dir is not None and store is not None:
            raise Usage("Computer: run_dir= and store= both say where runs are kept: give one")
        kept = run_dir if store is None else store
        self._voice, self._sheets = Voice(system, convention), sheet_paths(sheets)
        self._clock = clock or SystemClock()
        self._station = Station(
            opened,
            self._clock,
            run_dir=None if kept is None else place_of(kept),
            durable=durable,
            prices=dict(prices or {}),
            limits=limits,
            seed=seed,
            person=person,
            dry=dry,
        )
        self._live: set[Run] = set()
        self.begins: Callable[[Run], object] = id  # called before a run's program is
        self._asked = {"engine": engine, "model": wanted} if isinstance(engine, str) else {}
        self._named = {
            name: ", ".join(map(str, [item] if isinstance(item, str) else item))
            if isinstance(item, str | list)
            else type(item).__name__
            for name, item in engines.items()
        }

    def __repr__(self) -> str:
        station, models, parts = self._station, self._station.models, []
        for name, engine in self._named.items():
            model = models.get(name) or str(self._asked.get("model") or "")
            said = engine if model.lower() in ("", engine.lower()) else f"{engine}: {model}"
            parts.append(said if len(self._named) == 1 else f"{name}={said}")
        parts.append(counted(station.started, "run") if station.started else "no runs yet")
        parts += [f"{len(self._live)} going"] * bool(self._live) + ["closed"] * station.is_closed
        where = "not journaled" if station.run_dir is None else str(station.run_dir)
        return one_line(f"Computer({', '.join([*parts, where])})")

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
        reliability: Reliability | float | None = None,
        **kwargs: Any,
    ) -> Run:
        """Start a program and return at once; other keywords go to it. Raises Usage.

        ``estimates`` are expected completion tokens by op name, ``header`` is what a terminal
        needs to start it again, ``gate`` has breakpoints, and all its plain calls (``steps`` of
        them at most, else one) must be right with ``reliability``.
        """
        check_settings(
            program,
            args,
            budget=budget,
            estimates=estimates,
            header=header,
            stream=stream,
            gate=gate,
            reliability=reliability,
        )
        budget = self._budget if budget is UNLIMITED else budget
        budget.check_prices(self._station.prices)
        header = {**(header or {}), **promised(reliability, self._sheets)}
        self._station.open()
        number, run = self._new_run(stream)

        def begin() -> RunState:
            log = RunLog(self._station.kernel.journal, number)
            whole = self._header(log, program, args, kwargs=kwargs, budget=budget, more=header)
            whole["estimates"] = dict(estimates or {})
            return lives.anew(self._station.kernel.ports, log, whole, budget)

        return self._enter(run, begin, program=program, args=args, kwargs=kwargs, gate=gate)

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
        """Start a run that differs from the journaled one called ``name`` in what ``edits`` say.

        What does not depend on them is taken from it. Raises as ``resume``; Usage for a bad edit.
        """
        check_settings(
            program, args, edits=edits, budget=budget, header=header, stream=stream, gate=gate
        )
        budget = self._budget if budget is UNLIMITED else budget
        budget.check_prices(self._station.prices)
        origin = self._reopen(name)
        old = past_in(origin).header
        number, run = self._new_run(stream)

        def begin() -> RunState:
            log = RunLog(self._station.kernel.journal, number)
            whole = self._header(log, program, args, kwargs=kwargs, budget=budget, more=header)
            whole |= {"estimates": old["estimates"], "from": {"run": name}}
            whole |= {key: old.get(key, "") for key in self._voice.facts()}  # equal calls are equal
            whole |= {key: old[key] for key in ("reliability", "sheets") if key in old}
            return lives.edited(
                self._station.kernel.ports, log, whole, budget, origin=origin.run, edits=edits
            )

        return self._enter(run, begin, program=program, args=args, kwargs=kwargs, gate=gate)

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

        With ``changed`` reuse what can be where program, op or model differ from the journal's;
        with ``replay`` make no call. Raises RunBusy, JournalDamaged, StorageFailed; Usage for
        another system text or convention than the run was begun with.
        """
        check_settings(
            program,
            args,
            budget=UNLIMITED if budget is None else budget,
            changed=changed,
            replay=replay,
            stream=stream,
            gate=gate,
        )
        log = self._reopen(name, replay=replay)
        if not replay:
            (budget or Budget(**header_in(log.rows)["budget"])).check_prices(self._station.prices)
        run = Run(name, self._station.call, stream=stream)

        def begin() -> RunState:
            date_s = self._clock.date_s()
            return lives.again(
                self._station.kernel.ports,
                log,
                program,
                date_s,
                budget,
                changed=changed,
                replay=replay,
            )

        return self._enter(run, begin, program=program, args=args, kwargs=kwargs, gate=gate)

    def _new_run(self, stream: bool) -> tuple[int, Run]:
        """The number and handle of a run that begins."""
        number, stem = self._station.number(), self._station.stem
        return number, Run(run_name(stem, number), self._station.call, stream=stream)

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
        self,
        log: RunLog,
        program: Program,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        budget: Budget,
        more: Mapping[str, Any] | None,
    ) -> dict[str, Any]:
        facts = {"started_s": self._clock.date_s(), **self._voice.facts()}
        facts |= self._station.facts(self._asked) | dict(more or {})
        return header_of(log, program, args, kwargs=kwargs, budget=budget, facts=facts)

    def _launch(
        self,
        run: Run,
        state: RunState,
        program: Program,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        gate: Gate | None,
    ) -> None:
        kernel = self._station.kernel
        programs = kernel.programs
        listener = begins(run, state)
        state.date_s, state.sheets = self._clock.date_s, self._sheets or state.sheets
        heed_forks(programs)
        kernel.begin(state, gate, listener)
        state.on_end.append(lambda: self._ended(run))

        called = getattr(program, "__name__", "program")

        def done(result: Any, error: BaseException | None) -> None:
            programs.end(state, result, None if error is None else as_typed(called, error))

        def ended(outcome: Any, error: BaseException | None) -> None:
            programs.finish(state.root, outcome, error, done)

        def start() -> None:
            if state.status == "running":  # it may have been stopped before its first turn
                state.begun = True
                programs.start(state.root, program, args, kwargs, ended)

        self.begins(run)
        kernel.outside.on_hub(start)

    def _ended(self, run: Run) -> None:
        """Write the run's last row, then let its waiters go: on the hub, after the commit."""
        state, kernel = state_of(run), self._station.kernel

        def kept(error: BaseException | None) -> None:
            if error is not None and state.error is None:  # only an end that is kept is one
                state.status, state.error = "failed", as_typed(run.name, error)
            kernel.outside.loop.call_soon(self._release, run)

        try:
            lives.ended(state)
        except Exception as failure:  # its waiters must hear of it, whatever it is
            state.status, state.error = "failed", as_typed(run.name, failure)
        finally:
            kernel.commits.after(kept)
            kernel.outside.soon()  # the turn that commits the row

    def _release(self, run: Run, error: BaseException | None = None) -> None:
        """Let its waiters go. ``error``: why it could not begin."""
        self._live.discard(run)
        releases(run, error)

    def _enter(self, run: Run, begin: Callable[[], RunState], **how: Any) -> Run:
        """Have a run begin, and give it. how: see ``_launch``."""
        self._live.add(run)

        def step() -> None:
            try:
                self._launch(run, begin(), **how)
            except BaseException as error:
                self._release(run, error)

        self._station.call(step)
        return run

    @property
    def processors(self) -> dict[str, Any]:
        """The opened processors by name."""
        if not self._station.is_open:
            self._station.open()
        return dict(self._station.kernel.ports.processors.opened)

    def close(self) -> None:
        """Stop what still runs and release everything; a second time does nothing."""
        if self._station.is_open and not self._station.is_foreign:
            stop_all(list(self._live))
        self._station.close()

    def __enter__(self) -> Computer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Computer:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)  # the event loop goes on meanwhile
