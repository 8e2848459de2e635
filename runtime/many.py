"""What a computer does with many runs: evaluations and batches. Computers inherit it.

Rules
1. It stands on what every caller of a computer has: to start a run, and to resume one.
2. What evaluations and batches need is imported when one is asked for.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from nlpu.runtime.handle import Run, state_of
from nlpu.runtime.loop_thread import Station
from nlpu.runtime.scheduler.budget import UNLIMITED, Budget

if TYPE_CHECKING:  # what evaluations and batches alone need
    from nlpu.eval.questions import Given, Subject
    from nlpu.eval.scores import Report
    from nlpu.runtime.fleet.batch import Batch
    from nlpu.runtime.fleet.plan import Entry, Plan

Program = Callable[..., Any]


class Many(ABC):
    """Evaluations and batches, of who can start and resume a run."""

    _station: Station
    _budget: Budget  # of runs that are given none

    def run(self, program: Program, /, *args: Any, **kwargs: Any) -> Run:
        """Start a program and wait for it; Ctrl-C stops it, resumable."""
        return self._wait(self.start(program, *args, **kwargs))

    @property
    @abstractmethod
    def processors(self) -> dict[str, Any]:
        """The opened processors by name."""

    @abstractmethod
    def start(self, program: Program, /, *args: Any, **kwargs: Any) -> Run:
        """Start a program and return at once."""

    @abstractmethod
    def resume(self, name: str, program: Program, /, *args: Any, **kwargs: Any) -> Run:
        """Go on with a journaled run."""

    def _wait(self, run: Run) -> Run:
        """Wait until a run has ended; Ctrl-C stops it, resumable."""
        try:
            return run.wait()
        except KeyboardInterrupt as pressed:
            run.stop()
            pressed.add_note(str(run))
            raise

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
        """Ask cases with known answers of an op or a program, and give the report. Raises Usage.

        ``against`` is asked the same; ``processors`` are those to ask an op on; ``resume`` names
        an evaluation to go on with. What ``cache``, a file of answers, has is not asked again.
        A budget that runs out leaves a report of what was asked by then, which says so.
        """
        from nlpu.eval.cases import is_file
        from nlpu.runtime.eval.answers import add_answers, answers_in, cache_of
        from nlpu.runtime.eval.evaluation import prepared

        asked, evaluation = prepared(subject, cases, metric, against, processors)
        known = None if cache is None else cache_of(cache, self._station.run_dir)
        if resume is None:
            cached = {} if known is None else {"eval": {"cache": str(known)}}
            header = {**cached, "reads": "a file of cases" if is_file(cases) else ""}
            run = self.run(evaluation.evaluate, asked, budget=budget, header=header)
        else:
            run = self._wait(self.resume(resume, evaluation.evaluate, asked, budget=budget))
        if known is not None:
            add_answers(known, answers_in(state_of(run).root.subtree()))
        return evaluation.outcome(run)

    def map(
        self,
        program: Program,
        inputs: Iterable[Any],
        *,
        name: str = "",
        at_once: int = 0,
        ordered: bool = True,
        budget: Budget = UNLIMITED,
        retry: bool = False,
        changed: bool = False,
    ) -> Batch:
        """Run a program for each input: iterate over it for what came of them. Raises Usage.

        An input is the argument; a tuple holds several, a dict those by name. Under a ``name`` it
        goes on where it was; ``retry`` tries failures again, ``changed`` goes on with another
        program or model. The budget is for all.
        """
        from nlpu.runtime.fleet.mapped import planned

        budget = self._budget if budget is UNLIMITED else budget
        return self.batch(
            program,
            *planned(program, inputs, (name, at_once, ordered, budget, retry, changed)),
        )

    def batch(self, program: Program, entries: Iterable[Entry | None], plan: Plan) -> Batch:
        """Plan a batch of inputs whose arguments are known (``map``); None: none has come yet."""
        from nlpu.runtime.fleet.batch import Batch

        return Batch(self, self._station, program, entries, plan)
