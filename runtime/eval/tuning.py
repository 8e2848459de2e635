"""Tuning: better words and examples for an op, sought on some cases and shown on others.

    tuned = tune(colour, cases, nlops=50)        # a program, or part of one
    Path("colour.json").write_text(tuned.variant.written())

Theory of operation
-------------------
Cases are divided by a seed: *planning* cases are for seeking, *checking* cases for showing what was
found. A candidate is two texts, the instruction and the places of the planning cases that are its
examples. GEPA (Agrawal and others, "GEPA: reflective prompt evolution can outperform reinforcement
learning", 2025) mutates candidates that do best on some case, by turns: an op of ours words the
instruction anew, from answers that were wrong, and examples are drawn, wrong ones first. What did
best on all planning cases is asked the checking cases, beside the op as it was.

GEPA runs within the program: it asks by calls of the run, keeps nothing, and its dice are seeded.
So a run that goes on seeks the same way again, and meets its answers in the journal.

Rules
1. No checking case reaches the search: not its operands, not its answer, not its score.
2. A case is never shown to itself: asked about it, a candidate leaves it out of its examples.
3. Before anything is asked there is room for the most that it can generate, and what the checking
   cases can take is kept back: so ``nlops`` are never exceeded.
4. A candidate that is no better on planning cases than the op as it is does not replace it.
5. GEPA catches what goes wrong while it words anew; here nothing is lost so: it is raised behind.
6. Reliability that an op or the run asks for is left out: votes would hide what is sought.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from random import Random
from statistics import fmean
from typing import Any, TypeVar

from nlpu.checks import RATE, WHOLE, check
from nlpu.errors import BadOp, MissingPart, ModelError, NotInRun, Usage
from nlpu.eval.cases import Case, is_file
from nlpu.eval.questions import Given
from nlpu.eval.scores import Report, Row
from nlpu.eval.variant import Variant
from nlpu.extras import adding
from nlpu.frozen import Frozen
from nlpu.label import UNTRUSTED
from nlpu.ops.op import Op, nlop
from nlpu.printing import counted, figure
from nlpu.runtime.eval.evaluation import Contestant, Evaluation
from nlpu.runtime.eval.tuning_cases import divided, most_nlops
from nlpu.runtime.graph.node import Node, current_scope
from nlpu.runtime.graph.spawning import spawn
from nlpu.runtime.scheduler.budget import TOKENS_PER_NLOP
from nlpu.value import remembered, see

R = TypeVar("R")
_BATCH = 4  # planning cases that a candidate is first tried on
_MOST_WORDS = 1000  # characters of an instruction
_WORDS, _EXAMPLES = "words", "examples"


@nlop(max_tokens=100, temperature=0.7, at_limit="trim")
def better_words(instruction: str, wrong: str) -> str:
    """The instruction was followed by a small model, and some of its answers were wrong. Write a
    better instruction for the same task, in one to three short sentences. Say nothing else."""


class Tuned(Frozen):
    """What tuning found. planned: the share right of planning cases, before and after.

    tried: how many others than the op as it is. report: of the checking cases, and what differs;
    None where nothing was better on the planning cases. nlops: what all of it took.
    """

    variant: Variant
    planned: tuple[float, float]
    cases: int
    tried: int
    nlops: float
    report: Report | None = None

    def __str__(self) -> str:
        before, after = self.planned
        took = f"{counted(self.tried, 'candidate')} tried with {figure(self.nlops)} nlops"
        seen = f"of {counted(self.cases, 'planning case')}"
        if self.report is None:
            return f"{took}: none was better than {before:.1%} {seen}\n{self.variant}"
        return f"{took}: {before:.1%} {seen}, then {after:.1%}\n{self.variant}\n{self.report}"


def tune(
    op: Op[R],
    cases: Any,
    *,
    nlops: float,
    by: str | None = None,
    examples: int = 4,
    metric: Given = None,
    seed: int = 0,
) -> Tuned:
    """Seek better words and examples for an op on half of the cases, and show them on the others.

    nlops: the most that all of it may generate, in hundreds of tokens. by: the processor that
    words anew. examples: the most that are shown; 0: words alone. metric: of all cases.
    Raises Usage where cases or nlops are too few, MissingPart without gepa.
    """
    if not isinstance(op, Op):
        raise BadOp(f"an op is tuned, not {op!r:.60}")
    op = replace(op, reliability=None)  # each case is asked as it is, once
    given = {"nlops": nlops, "examples": examples, "seed": seed}
    check("tune", given, {"nlops": RATE, "examples": WHOLE, "seed": WHOLE})
    if find_spec("gepa") is None:
        raise MissingPart(f"tuning needs gepa: {adding('tune')}")
    if is_file(cases):
        see(UNTRUSTED)  # its texts are nobody's word
    planning, checking = divided(op, cases, metric, seed)
    most = most_nlops(op, metric, (*planning, *checking))
    kept = 2 * len(checking) * most
    if nlops < kept + len(planning) * most:
        raise Usage(
            f"{figure(nlops)} nlops are too few: {counted(len(planning), 'planning case')} asked "
            f"once and {len(checking)} checking cases asked in two ways may generate "
            f"{figure(kept + len(planning) * most)}; give more, or fewer cases"
        )
    search = Search(
        op, planning, nlops - kept, most, by=by, examples=examples, metric=metric, dice=Random(seed)
    )
    with _as_they_are():
        return _sought(search, checking, seed)


@contextmanager
def _as_they_are() -> Iterator[None]:
    """Leave calls as they are, however reliable those of the run must be (rule 6)."""
    scope = current_scope()
    if scope is None:
        raise NotInRun("tune is for programs: it asks the cases by calls of a run")
    asked, scope.asked = scope.asked, None
    try:
        yield
    finally:
        scope.asked = asked


def _sought(search: Search, checking: tuple[Case, ...], seed: int) -> Tuned:
    search.run(seed)
    op, best = search.op, search.best()
    before, after = (search.share(each) for each in (search.first, best))
    found = Tuned(
        variant=Variant.made(op, search.op_of(best)),
        planned=(before, after),
        cases=len(search.cases),
        tried=len(search.tried) - 1,
        nlops=round(search.spent, 2),
    )
    return found if best == search.first else _shown(found, op, checking, search.metric)


def _shown(found: Tuned, op: Op[Any], checking: tuple[Case, ...], metric: Given) -> Tuned:
    """What was found with its report on the checking cases; the file says that in a line."""
    tuned = found.variant.of_op(op)
    pair = (Contestant(tuned, name=f"{op.name}, tuned"), Contestant(op))
    report: Report = spawn(Evaluation(pair, metric).evaluate, checking).value
    told = (
        f"{found.planned[0]:.1%} of {found.cases} planning cases before, {found.planned[1]:.1%} "
        f"after; on {report.model}",
        str(report.differences[0]),
    )
    took = sum(each.nlops for each in (report, *report.others))
    return found.model_copy(
        update={
            "variant": Variant.made(op, tuned, told),
            "report": report,
            "nlops": round(found.nlops + took, 2),
        }
    )


class _Spent(Exception):
    """There is no room for another call."""


Candidate = dict[str, str]


@dataclass(eq=False)
class Search:
    """A search on planning cases, as GEPA is told of it: it asks, and proposes candidates.

    room: nlops that it may take. most: what a case may take (rule 3).
    """

    op: Op[Any]
    cases: tuple[Case, ...]
    room: float
    most: float
    by: str | None
    examples: int
    metric: Given
    dice: Random
    spent: float = 0.0
    tried: dict[str, Candidate] = field(default_factory=dict)
    propose_new_texts: None = None  # GEPA asks for it
    _rows: dict[tuple[bytes, str], Row] = field(default_factory=dict)
    _idle: int = 0
    _worded_anew: int = 0
    _failed: Exception | None = None

    def __post_init__(self) -> None:
        fit = self.metric is None or self.metric in ("exact", "set", "number", "judge")
        self._pool = [at for at, case in enumerate(self.cases) if fit and _shows(self.op, case)]
        self.first: Candidate = {_WORDS: self.op.text}
        if self.examples and self._pool:
            self.first[_EXAMPLES] = ""

    def run(self, seed: int) -> None:
        """Seek until there is no more room, or nothing new has come for long."""
        from gepa import optimize

        with suppress(_Spent):
            optimize(
                seed_candidate=dict(self.first),
                trainset=list(range(len(self.cases))),
                adapter=self,
                custom_candidate_proposer=self.propose,
                seed=seed,
                reflection_minibatch_size=min(_BATCH, len(self.cases)),
                logger=_Silent(),
                stop_callbacks=self.stops,
                raise_on_exception=True,
                track_best_outputs=False,
            )
        if self._failed is not None:
            raise self._failed

    def stops(self, state: object) -> bool:
        """Tell GEPA whether to end: something failed, or round after round nothing was asked."""
        self._idle += 1
        return self._failed is not None or self._idle > 2 * len(self.cases)

    # -- asking ------------------------------------------------------------------------------------

    def op_of(self, candidate: Candidate, without: int = -1) -> Op[Any]:
        """Give the op that a candidate is, without one of the cases (rule 2)."""
        places = [int(each) for each in candidate.get(_EXAMPLES, "").split()]
        changed = replace(self.op, text=candidate[_WORDS])
        if not places:
            return changed
        return changed.using(examples=[self.cases[at] for at in places if at != without])

    def evaluate(self, batch: list[int], candidate: Candidate, capture_traces: bool = False) -> Any:
        """Ask a candidate some cases, by their places. GEPA calls it."""
        from gepa import EvaluationBatch

        self.tried.setdefault(json.dumps(candidate, sort_keys=True), candidate)
        asked = [(self.op_of(candidate, at), self.cases[at]) for at in batch]
        missing = list(
            {
                (op.digest, case.id): (op, case)
                for op, case in asked
                if (op.digest, case.id) not in self._rows
            }.values()
        )
        while missing:
            fits = int((self.room - self.spent) / self.most + 1e-9)
            if fits < 1:
                raise _Spent
            self._ask(missing[:fits])
            missing = missing[fits:]
        rows = [self._rows[op.digest, case.id] for op, case in asked]
        return EvaluationBatch(
            outputs=[row.answer for row in rows],
            scores=[row.score for row in rows],
            trajectories=list(zip(batch, rows, strict=True)) if capture_traces else None,
        )

    def _ask(self, asked: Sequence[tuple[Op[Any], Case]]) -> None:
        groups = dict[bytes, tuple[Op[Any], list[Case]]]()
        for op, case in asked:
            groups.setdefault(op.digest, (op, []))[1].append(case)
        begun = [
            (op, spawn(Evaluation((Contestant(op),), self.metric).evaluate, tuple(cases)))
            for op, cases in groups.values()
        ]
        for op, value in begun:
            report: Report = value.value
            self._rows |= {(op.digest, row.id): row for row in report.rows}
            self.spent += report.nlops
        self._idle = 0

    def share(self, candidate: Candidate) -> float:
        """Give the mean score on all planning cases; -1 where it was not asked all of them."""
        rows = [
            self._rows.get((self.op_of(candidate, at).digest, case.id))
            for at, case in enumerate(self.cases)
        ]
        return fmean(row.score for row in rows if row is not None) if all(rows) else -1.0

    def best(self) -> Candidate:
        """Give the candidate that did best; the op as it is unless another did better (rule 4)."""
        return max((self.first, *self.tried.values()), key=self.share)

    # -- proposing ---------------------------------------------------------------------------------

    def make_reflective_dataset(
        self, candidate: Candidate, batch: Any, components: list[str]
    ) -> dict[str, list[dict[str, Any]]]:
        """Give what was wrong, for ``propose``. GEPA calls it."""
        wrong = [{"at": at, "row": row} for at, row in batch.trajectories if not row.right]
        return dict.fromkeys(components, wrong)

    def propose(
        self,
        candidate: Candidate,
        wrong: Mapping[str, Sequence[Mapping[str, Any]]],
        components: list[str],
    ) -> Candidate:
        """Give new texts for some of a candidate's; none where none can be had (rule 5)."""
        ways: dict[str, Callable[..., str]] = {_WORDS: self._worded, _EXAMPLES: self._drawn}
        try:
            found = {each: ways[each](candidate, wrong[each]) for each in components}
            self.op_of({**candidate, **found})  # must be one
        except (BadOp, ModelError, _Spent):
            return {}
        except Exception as error:
            self._failed = error
            return {}
        return {each: text for each, text in found.items() if text != candidate[each]}

    def _worded(self, candidate: Candidate, wrong: Sequence[Mapping[str, Any]]) -> str:
        if self.spent + better_words.max_tokens / TOKENS_PER_NLOP > self.room:
            raise _Spent
        told = "\n\n".join(_told(each["row"]) for each in wrong)
        ask = better_words if self.by is None else better_words.using(processor=self.by)
        self._worded_anew += 1
        value = ask(candidate[_WORDS], told, sample=self._worded_anew)
        try:
            text = value.value.strip()
        finally:
            cost = value.call_cost if isinstance(value, Node) else None
            took = remembered(lambda: cost.completion_tokens if cost else 0, "what it took")
            self.spent += took / TOKENS_PER_NLOP
        return text if len(text) <= _MOST_WORDS else candidate[_WORDS]

    def _drawn(self, candidate: Candidate, wrong: Sequence[Mapping[str, Any]]) -> str:
        """Places of cases to show: of wrong ones first, then others by chance, in any order."""
        count = self.dice.randint(1, min(self.examples, len(self._pool)))
        first = [each["at"] for each in wrong if each["at"] in self._pool][: (count + 1) // 2]
        rest = [at for at in self._pool if at not in first]
        places = [*first, *self.dice.sample(rest, min(count - len(first), len(rest)))]
        self.dice.shuffle(places)
        return " ".join(map(str, places))


class _Silent:
    """GEPA's log, which nobody reads: the journal has all that was asked."""

    def log(self, message: str) -> None:
        """Do nothing."""


def _shows(op: Op[Any], case: Case) -> bool:
    """Whether a case says an answer that can be shown."""
    with suppress(BadOp):
        return not case.choices and bool(op.using(examples=[case]).examples)
    return False


def _told(row: Row) -> str:
    asked = "\n".join(f"{name}: {text}" for name, text in row.asked.items())
    return f"{asked}\nanswer: {row.answer or row.error}\nright answer: {row.expected}"
