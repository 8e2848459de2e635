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

import asyncio
import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from operator import attrgetter
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from nlpu.errors import (
    BadOp,
    BudgetExceeded,
    ConstraintRejected,
    Malformed,
    ModelError,
    Stopped,
    failure_of,
)
from nlpu.frozen import Frozen, Printed
from nlpu.judgement import read
from nlpu.printing import counted, figure
from nlpu.processor import FREE, SYSTEM_MARK, Limits, Price
from nlpu.prompt.ids import Prompt
from nlpu.reliability import Reliability
from nlpu.runtime.computer import Computer
from nlpu.runtime.executor.clock import FakeClock
from nlpu.runtime.handle import state_of
from nlpu.runtime.observe.receipt import Receipt
from nlpu.runtime.observe.samples import Draw, Experience, Sample
from nlpu.runtime.scheduler.budget import UNLIMITED, Budget
from nlpu.testing.values import made_up
from nlpu.types.from_schema import schema_type
from nlpu.types.result import ResultType
from nlpu.wire import Capabilities, Message, Reply, Request, Usage

DRY_RUNS = 24
_MOST_CALLS = 20_000  # of one dry run: a program that loops on is cut there
_UNKNOWN_SHARE = (0.2, 1.0)  # of its limit that an op never called is taken to write
_T95 = (6.31, 2.92, 2.35, 2.13, 2.02, 1.94, 1.89, 1.86, 1.83)  # by degrees of freedom, from 1
_Z95 = 1.645
_TAIL = 0.05  # of the runs are below, and as many above
_THOUGHT = ("</think>",)  # what ends a request for thinking alone
_FENCED = re.compile(r"^(`{3,})\n.*?\n\1$", re.DOTALL | re.MULTILINE)
_LABEL = re.compile(r"\w[\w ]*:( |$)|The text above is the \w+\.$")
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


class DryEngine:
    """Implements the Engine protocol: answers as earlier calls of the same op were answered."""

    def __init__(self, known: Capabilities, experience: Experience) -> None:
        self._known = known
        self._experience = experience
        self._by_text = sorted(experience.samples, key=lambda op: -len(op.text))
        self._pace_s = experience.seconds_per_token() or 0.0
        self._decode = _decoder(known)
        self.unknown: set[str] = set()
        self.begin(0)

    def begin(self, seed: int) -> None:
        """Begin the next dry run: it draws from another earlier run."""
        self._chance = Random(seed)
        self._draw = Draw(self._experience, self._chance, seed)
        self._answers = 0

    async def capabilities(self) -> Capabilities:
        return self._known

    async def send(self, request: Request, on_text: Callable[[str], None] | None = None) -> Reply:
        sample = self._sample(request)
        thinks = request.sampling.stop == _THOUGHT
        share = _share(sample, thinks)
        if sample.service_s:
            await asyncio.sleep(sample.service_s * share)
        if sample.fault and not thinks:
            raise failure_of(sample.fault, sample.message, sample.side)
        tokens = sample.thinking_tokens if thinks else sample.completion_tokens
        tokens -= 0 if thinks else sample.thinking_tokens
        prompt = _length(request)
        return Reply(
            "thought " * tokens if thinks else sample.text,
            "stop",
            Usage(
                prompt, min(tokens, request.sampling.max_tokens), int(prompt * sample.cached_share)
            ),
        )

    def cancel(self, request_id: str) -> None:
        """Its task is cancelled, and that is all there is."""

    async def close(self) -> None:
        """Nothing is open."""

    def _sample(self, request: Request) -> Sample:
        text = self._decode(request)
        thinks = request.sampling.stop == _THOUGHT
        asked = _FENCED.sub("", self._decode(_constants(request)))
        free = request.constraint is None
        named = (op for op in self._by_text if op.text in asked)
        op = next((op for op in named if thinks or (op.result == "text") == free), None)
        sample = None if op is None else self._draw.sample(op)
        if sample is None or not (thinks or sample.fault or _fits(sample.text, request)):
            lines = (line for line in asked.splitlines() if line and not _LABEL.match(line))
            self.unknown.add(next(lines, "")[:60])
            sample = self._guess(request, text)
        if request.constraint is None and not sample.fault:
            self._answers += 1  # equal texts would make the calls that read them one call
            sample = sample._replace(text=f"{sample.text} {self._answers}")
        return sample

    def _guess(self, request: Request, text: str) -> Sample:
        """An answer to an op that was never called."""
        tokens = max(1, int(request.sampling.max_tokens * self._chance.uniform(*_UNKNOWN_SHARE)))
        said = "word " * tokens
        if request.constraint is not None:
            with suppress(ConstraintRejected):  # it is no result, as a model's might be
                said = made_up(request, f"{text}{self._chance.random()}")
            tokens = min(tokens, len(said))
        return Sample(said, tokens, 0, 0.0, tokens * self._pace_s)


def _constants(request: Request) -> Request:
    """The request without its operands, where its prompt is known in pieces."""
    if not isinstance(request.prompt, Prompt):
        return request
    return request._replace(prompt=Prompt(request.prompt.pieces[::2]))


def _fits(text: str, request: Request) -> bool:
    """Whether an earlier answer can be one to this request: the op's result may be another now."""
    asked = request.constraint
    try:
        if asked is None:
            return True
        if asked.kind == "regex":
            return re.fullmatch(asked.spec, text) is not None
        if asked.kind == "choice":
            if request.probabilities:
                read(text)
            return request.probabilities or text in json.loads(asked.spec)
        _typed(asked.spec).parse(text)
    except BadOp:  # a schema of a shape that is not read here
        return True
    except (ValueError, Malformed):
        return False
    return True


@lru_cache(maxsize=64)
def _typed(spec: str) -> ResultType:
    return schema_type("result", json.loads(spec))


def _share(sample: Sample, thinks: bool) -> float:
    """The part of a call's seconds that its thinking took, or all else."""
    thought = sample.thinking_tokens / max(1, sample.completion_tokens)
    return thought if thinks else 1.0 - thought


def _length(request: Request) -> int:
    """Prompt tokens, or a bound where the engine gets messages."""
    if all(isinstance(item, int) for item in request.prompt):
        return len(request.prompt)
    return sum(len(item.content.encode()) for item in request.prompt if isinstance(item, Message))


def _decoder(known: Capabilities) -> Callable[[Request], str]:
    """What reads a prompt's text again."""
    if known.tokenizer in (None, "chars"):
        return lambda request: "".join(
            item.content if isinstance(item, Message) else chr(item) if item < SYSTEM_MARK else "\n"
            for item in request.prompt
        )
    # Imported here: only a model's own files need the library, and they are not always there.
    from tokenizers import Tokenizer

    library = Tokenizer.from_file(str(Path(known.tokenizer or "") / "tokenizer.json"))
    return lambda request: str(
        library.decode([item for item in request.prompt if isinstance(item, int)])
    )


# -- the forecast ------------------------------------------------------------------------------


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
