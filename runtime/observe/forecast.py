"""Forecasts: what a run would take, from dry runs whose results have forecast lengths.

Theory of operation
-------------------
A dry run is a real run of the program on a processor that answers each call with an earlier answer
of the same op, after the seconds that one took, on a clock that jumps. So loops, branches, trees
and the in-flight limit are those of the program and not of a model of it. Several dry runs, each
drawn from another earlier run, give a distribution; the forecast is its median and the range that
holds the next of n + 1 like runs with 90 %: from rank 0.05 (n + 1) to rank 0.95 (n + 1) of n, which
are the least and the most where n is 19 (order statistics). Behind fewer than ten earlier runs it
is widened by Student's t over the normal quantile, with n - 1 degrees of freedom.

Rules
1. A forecast makes no call, writes no journal and touches no server.
2. The same journals and program give the same forecast.
3. It says what it rests on: earlier runs, calls, and the ops that it knew nothing of; and where it
   is not what a run would do: drivers with an effect are refused, and what loops on is cut.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from statistics import median
from typing import Any

from nlpu.errors import BudgetExceeded, ModelError, Stopped
from nlpu.frozen import Frozen, Printed
from nlpu.printing import counted, figure
from nlpu.processor import FREE, Limits, Price
from nlpu.reliability import Reliability
from nlpu.runtime.computer import Computer
from nlpu.runtime.executor.clock import FakeClock
from nlpu.runtime.handle import state_of
from nlpu.runtime.observe.dry_engine import DryEngine
from nlpu.runtime.observe.receipt import Receipt
from nlpu.runtime.observe.samples import Experience
from nlpu.runtime.scheduler.budget import UNLIMITED, Budget
from nlpu.wire import Capabilities

DRY_RUNS = 24
_MOST_CALLS = 20_000  # of one dry run: a program that loops on is cut there
_T95 = (6.31, 2.92, 2.35, 2.13, 2.02, 1.94, 1.89, 1.86, 1.83)  # by degrees of freedom, from 1
_Z95 = 1.645
_TAIL = 0.05  # of the runs are below, and as many above
_PATIENT = Limits(timeout_s=1e9)  # what an earlier call took is no reason to give up on it


class Interval(Frozen):
    """The expected figure, and the range that holds 90 % of runs."""

    expected: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{figure(self.expected)} ({figure(self.least)} to {figure(self.most)})"


class Forecast(Printed):
    """What a run would take. What is made of seconds is None where no earlier call was timed.

    bound_s: no schedule takes less, by the receipt's formula with p as many calls as may be under
    way at once.
    refused_drivers: what a dry run would have changed: drivers, or ``memory``.
    cut_at_calls: where the last dry run was cut, though no budget says so.
    """

    calls: Interval
    nlops: Interval
    prompt_tokens: Interval
    completion_tokens: Interval
    seconds: Interval | None
    money: Interval
    dry_runs: int
    earlier_runs: int
    earlier_calls: int
    unknown_ops: tuple[str, ...]
    refused_drivers: tuple[str, ...] = ()
    cut_at_calls: int | None = None
    parallelism: Interval | None = None
    bound_s: Interval | None = None

    def __str__(self) -> str:
        seconds = "" if self.seconds is None else f", seconds {self.seconds}"
        rests = counted(self.earlier_runs, "earlier run")
        return f"calls {self.calls}, nlops {self.nlops}{seconds}; from {rests}"


def forecast(
    program: Callable[..., Any],
    args: Sequence[Any],
    named: Mapping[str, Any],
    *,
    known: Capabilities,
    experience: Experience,
    price: Price = FREE,
    budget: Budget = UNLIMITED,
    dry_runs: int = DRY_RUNS,
    most_calls: int = _MOST_CALLS,
    sheets: Any = None,
    reliability: Reliability | None = None,
) -> Forecast:
    """Forecast what the program would take there. Raises what every dry run of it raises."""
    receipts, refused = list[Receipt](), set[str]()
    failure: BaseException | None = None
    cut_at_calls = None
    most = min(most_calls, budget.calls or most_calls)
    engine = DryEngine(known, experience)
    with Computer(
        engine,
        clock=FakeClock(),
        prices={"main": price},
        limits=_PATIENT,
        dry=True,
        sheets=sheets,
    ) as computer:
        for seed in range(dry_runs):
            engine.begin(seed)
            run = computer.run(
                program,
                *args,
                budget=Budget(calls=most, nlops=budget.nlops),
                reliability=reliability,
                **named,
            )
            failure, not_made = run.error, state_of(run).replay.refused
            refused |= not_made
            if failure is None or not_made or isinstance(failure, ModelError | Stopped):
                receipts.append(run.receipt)  # real runs end so, too, or go on from there
            if (
                isinstance(failure, BudgetExceeded)
                and most != budget.calls
                and run.receipt.attempts >= most
            ):
                cut_at_calls = most
                break  # the others would take as long
    if not receipts:
        assert failure is not None  # there was at least one dry run
        raise failure
    return _forecast(
        receipts,
        experience,
        known.max_in_flight,
        unknown_ops=tuple(sorted(engine.unknown)),
        refused_drivers=tuple(sorted(refused)),
        cut_at_calls=cut_at_calls,
    )


def _forecast(
    receipts: list[Receipt], experience: Experience, at_once: int, **notes: Any
) -> Forecast:
    def over(figure: Callable[[Receipt], float]) -> Interval:
        return interval([float(figure(receipt)) for receipt in receipts], experience.runs)

    return Forecast(
        calls=over(attrgetter("calls")),
        nlops=over(attrgetter("nlops")),
        prompt_tokens=over(attrgetter("prompt_tokens")),
        completion_tokens=over(attrgetter("completion_tokens")),
        money=over(attrgetter("money")),
        seconds=over(attrgetter("seconds")) if experience.calls else None,
        parallelism=over(attrgetter("parallelism")) if experience.calls else None,
        bound_s=(
            over(lambda took: max(took.span_s, took.work_s / at_once)) if experience.calls else None
        ),
        dry_runs=len(receipts),
        earlier_runs=experience.runs,
        earlier_calls=experience.calls,
        **notes,
    )


def interval(figures: Sequence[float], earlier_runs: int) -> Interval:
    """The median, and the range that holds 90 %, widened for few earlier runs."""
    middle, ranked = median(figures), sorted(figures)
    runs = max(2, min(len(ranked), earlier_runs))
    share = max(0.0, (_TAIL * (runs + 1) - 1) / (runs - 1))  # of the way from least to most
    widened = _widening(earlier_runs)
    least = max(0.0, middle - (middle - _at(ranked, share)) * widened)
    most = middle + (_at(ranked, 1 - share) - middle) * widened
    return Interval(expected=middle, least=least, most=most)


def _at(ranked: Sequence[float], share: float) -> float:
    """The figure so far along, between two of them in proportion."""
    place = share * (len(ranked) - 1)
    below = int(place)
    above = min(below + 1, len(ranked) - 1)
    return ranked[below] + (ranked[above] - ranked[below]) * (place - below)


def _widening(earlier_runs: int) -> float:
    """Student's t over the normal quantile; with one earlier run as with two."""
    degrees = max(1, earlier_runs - 1)
    return _T95[degrees - 1] / _Z95 if degrees <= len(_T95) else 1.0
