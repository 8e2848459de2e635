"""How fast a processor is at an op, and how often right: its cases at so many at once.

Theory of operation
-------------------
An op is asked its cases by so many sessions, each one call after the other, as it is (mostly at
temperature 0) or under a correction. For a datasheet that is done at 1, 8 and 32; alone it is asked
twice, so that it shows whether it repeats itself there, and in a crowd against the first time. What
is read in a second is measured with prompts of the profile ``judge``, whose own words come first,
and then last (``throughput_profiles``).

Rules
1. Few cases are asked again and again: what the engine keeps of prompts helps, and the share that
   it kept is told.
2. Each measurement is a run of its own: equal calls of one run would be one. Whether answers are
   right is found out afterwards, as that may take calls, too.
3. A processor whose window is too small for the profile has no reading rate.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from nlpu import Case, Computer, ModelError, Op, Usage, spawn
from nlpu.eval.cases import cases_of
from nlpu.eval.questions import Question, questions
from nlpu.eval.speed import Pace, Reading, Repeats
from nlpu.isa import TRUTH_TABLES
from nlpu.runtime.bench.report import percentile
from nlpu.runtime.bench.throughput_profiles import nonce, profile, sessions
from nlpu.runtime.eval.corrections.correction import Subject, Unsure, ask
from nlpu.runtime.eval.planning import is_right
from nlpu.runtime.graph.usage import Cost
from nlpu.runtime.handle import state_of
from nlpu.runtime.loader import module_of
from nlpu.runtime.terminal.eval.subjects import Named

LEVELS = (1, 8, 32)
CASES = 8  # asked alone, twice
READ, TIMES = 600, 3  # tokens of the window for a prompt; how often it is read
Way = Callable[[Op[Any]], Subject[Any]]


def as_it_is(op: Op[Any]) -> Subject[Any]:
    """Give the op."""
    return op


def cases_for(subject: Named, data: Path | None = None) -> tuple[Op[Any], tuple[Case, ...]]:
    """Give an op and its cases: of a file, beside it, or its truth table. Raises Usage."""
    op = subject.found
    if not isinstance(op, Op):
        raise Usage(f"{subject.spec} is no op; a datasheet is of ops: nlpu eval asks programs")
    if data is not None:
        found = cases_of(data)
    elif subject.file is not None:
        beside = getattr(module_of(subject.file)[0], "CASES", [])
        found = cases_of(beside) if beside else ()
    else:
        found = cases_of(TRUTH_TABLES[op]) if op in TRUTH_TABLES else ()
    mine = tuple(case for case in found if case.op in ("", op.name))
    if not mine:
        raise Usage(
            f"there are no cases of {op.name}, operands with the answer that is expected: name a "
            "file of some with --data FILE, or give its file CASES"
        )
    return replace(op, reliability=None), mine  # as it is: that would be planned from a datasheet


class Sample(NamedTuple):
    """One run: what was answered, None where nothing valid was, and what that took."""

    answers: list[Any]
    wall_s: float
    costs: list[Cost]

    def pace(self, at_once: int, in_flight: int) -> Pace:
        """Give its figures."""
        seconds = [cost.service_s for cost in self.costs]
        prompts = sum(cost.prompt_tokens for cost in self.costs)
        return Pace(
            at_once=at_once,
            in_flight=in_flight,
            calls=len(self.costs),
            calls_per_s=len(self.costs) / self.wall_s,
            tokens_per_s=sum(cost.completion_tokens for cost in self.costs) / self.wall_s,
            p50_s=percentile(seconds, 0.5),
            p95_s=percentile(seconds, 0.95),
            cached=sum(cost.cached_tokens for cost in self.costs) / max(1, prompts),
        )


def speed_of(computer: Computer, op: Op[Any], cases: Sequence[Case]) -> dict[str, Any]:
    """Measure an op on a computer's first processor, as the fields of its sheet."""
    few, most = questions(op, cases[:CASES]), slots(computer)
    alone = asked(computer, few, 1)
    more = {level: asked(computer, few, level) for level in LEVELS}
    again, crowd = (_same(alone, more[level], len(few)) for level in (LEVELS[0], LEVELS[-1]))
    paces = tuple(each.pace(level, min(level, most)) for level, each in more.items())
    repeats = Repeats(cases=len(few), alone=again, crowd=crowd, crowd_of=LEVELS[-1])
    return {"paces": paces, "repeats": repeats}


def slots(computer: Computer) -> int:
    """Give how many calls a computer's first processor takes at once."""
    return int(next(iter(computer.processors.values())).max_in_flight)


def _same(one: Sample, other: Sample, cases: int) -> int:
    pairs = zip(one.answers[:cases], other.answers[:cases], strict=True)
    return sum(first == second for first, second in pairs)


def asked(
    computer: Computer, given: Sequence[Question], at_once: int, way: Way = as_it_is
) -> Sample:
    """Ask each question once at least, by so many sessions."""
    work = list(enumerate(islice(cycle(given), max(at_once, len(given)))))

    def session(share: Sequence[tuple[int, Question]]) -> list[Any]:
        return [_answer(way, question, number) for number, question in share]

    def program() -> list[Any]:
        begun = [spawn(session, work[place::at_once]) for place in range(at_once)]
        shares = [each.value for each in begun]
        return [shares[number % at_once][number // at_once] for number in range(len(work))]

    return _run(computer, program)


def right_of(computer: Computer, given: Sequence[Question], sample: Sample) -> int:
    """Count how many of a sample's answers are right (rule 2)."""
    pairs = list(zip(cycle(given), sample.answers, strict=False))
    valid = [pair for pair in pairs if pair[1] is not None and not isinstance(pair[1], Unsure)]
    found: list[bool] = computer.run(lambda: [is_right(*pair) for pair in valid]).result
    return sum(found)


def _answer(way: Way, question: Question, number: int) -> Any:
    assert isinstance(question.asks, Op)
    subject = way(question.asks)
    try:
        if isinstance(subject, Op):  # with a number, also at temperature 0: each is a call
            return subject(*question.operands, sample=number).value
        return ask(subject, question.operands, number).value
    except ModelError:
        return None


def _run(computer: Computer, program: Callable[[], Any]) -> Sample:
    start = time.perf_counter()
    run = computer.run(program)
    wall_s = time.perf_counter() - start
    answers = run.result
    costs = [node.call_cost for node in state_of(run).root.subtree() if node.call_cost is not None]
    return Sample(answers, max(wall_s, 1e-9), costs)


def reading_of(computer: Computer) -> Reading | None:
    """Measure how fast a computer's first processor reads (rule 3)."""
    processor = next(iter(computer.processors.values()))
    try:
        chosen = profile("judge", processor, min(READ, processor.window))
        texts = [
            sessions(chosen, processor, f"{nonce()} {warm}", TIMES + 1, warm=warm)
            for warm in (False, True)
        ]
    except Usage:
        return None
    took = [[_read_s(computer, chosen.op, text) for (text,) in each] for each in texts]
    cold, warm = (median(each[1:]) for each in took)  # the first warms up
    rate = chosen.tokens_in / max(cold, 1e-9)
    return Reading(tokens=chosen.tokens_in, tokens_per_s=rate, shared_prefix=cold / max(warm, 1e-9))


def _read_s(computer: Computer, op: Op[Any], text: str) -> float:
    return _run(computer, lambda: [op(text).value]).costs[0].service_s
