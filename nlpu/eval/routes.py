"""Routes: which processors an answer may come from, and what each way there is worth.

Theory of operation
-------------------
A *route* is an op on one processor under a vote, or on two: the second is asked where the votes of
the first, the cheaper one, do not agree. What a route is worth is counted on the draws of
datasheets, case by case, so nobody is asked for it. ``routes_of`` gives those that are shown
(``bounds``) to be right as often as was asked for, from the cheapest to the dearest; which of them
a call takes may then follow from prices and queues (``nlpu.runtime.eval.delegation``).

Rules
1. A processor asked once, its votes, and each pair have ladders of their own, fixed beforehand and
   tested from the most cautious rung as in ``recipes``: an op that is right at temperature 0 may
   wander above it. The ladders share the level among them (Bonferroni): in 95 of 100 plannings
   *all* routes that are given are as reliable as was asked for, so any may be taken that is not
   chosen by the operands.
2. A pair is counted on the same cases: where two sheets have others it is left out, and said so.
   Two processors with equal sheets are no pair: the second would draw what the first did.
3. What ends without an answer is wrong. Who asks another route then can only add right answers.
4. Cheap is what costs little money; of what costs the same, what takes less time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

from nlpu.eval.bounds import LEVEL, OutOfReach, TooFewCases, cases_needed, shown
from nlpu.eval.datasheet import CaseDraws, OpSheet
from nlpu.eval.votes import Ahead, Rule, needs
from nlpu.frozen import Frozen
from nlpu.printing import counted, one_line

Rung = tuple[Rule | None, ...]  # a rule for each processor; None: the op as it is
ONCE: tuple[Rung, ...] = ((None,),)
VOTES: tuple[Rung, ...] = ((Ahead(4),), (Ahead(3),), (Ahead(2),))
PAIR: tuple[Rung, ...] = (
    (Ahead(4, most=4), None),
    (Ahead(3, most=3), None),
    (Ahead(2, most=2), None),
)


class Part(NamedTuple):
    """A processor as it is planned with. money: of a call. pace_s: of a call when it is busy."""

    name: str
    sheet: OpSheet
    money: float
    pace_s: float

    @property
    def cost(self) -> tuple[float, float]:
        """What a call costs (rule 4)."""
        return self.money, self.sheet.alone_s


Ladder = tuple[tuple[Part, ...], tuple[Rung, ...]]


class Step(Frozen):
    """A processor on a route: by how much an answer must lead there (0: the op as it is).

    most: draws at most (0: so many that hardly any question needs them). temperature: of them.
    reached: the share of cases that come so far. calls: of a case in the mean.
    """

    processor: str
    ahead: int = 0
    most: int = 0
    temperature: float = 0.7
    reached: float = 1.0
    calls: float = 1.0
    latency_s: float = 0.0
    pace_s: float = 0.0

    def __str__(self) -> str:
        limit = f" of {self.most}" if self.most else ""
        return f"{f'ahead by {self.ahead}{limit} on ' if self.ahead else ''}{self.processor}"


class Route(Frozen):
    """A way to an answer, and how it did on the cases. money, seconds: of a case in the mean."""

    steps: tuple[Step, ...]
    right: int
    cases: int
    shown: float
    money: float

    @property
    def seconds(self) -> float:
        """Give how long it takes at most where nobody waits."""
        return sum(step.calls * step.latency_s for step in self.steps)

    @property
    def cost(self) -> tuple[float, float]:
        """What it costs (rule 4)."""
        return self.money, self.seconds

    def expected_s(self, waiting: Mapping[str, float]) -> float:
        """Give how long it takes with so many calls before it at each processor."""
        queues = (s.reached * waiting.get(s.processor, 0) * s.pace_s for s in self.steps)
        return self.seconds + sum(queues)

    @property
    def name(self) -> str:
        """What it is called; no other route is."""
        return ", then ".join(map(str, self.steps))

    def __str__(self) -> str:
        calls = " + ".join(f"{step.calls:.2f}" for step in self.steps)
        return (
            f"{self.name}: {self.right} of {self.cases} right, shown to be {self.shown:.3f}, "
            f"{calls} calls, {1000 * self.money:.4g} for 1,000"
        )


class Routes(Frozen):
    """All that will do, from the cheapest. Prints as a table. left_out: what will not, and why."""

    reliability: float
    routes: tuple[Route, ...]
    left_out: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"   {route}" for route in self.routes]
        lines += [f"   left out: {each}" for each in self.left_out]
        return "\n".join((f"shown to be right in {self.reliability:g} of such cases:", *lines))

    def __repr__(self) -> str:
        return one_line(f"Routes({counted(len(self.routes), 'route')}, {self.routes[0].name})")


def routes_of(parts: Sequence[Part], reliability: float, level: float = LEVEL) -> Routes:
    """Give the routes that are shown to be so reliable. Raises TooFewCases, OutOfReach."""
    left_out, found, best = list[str](), list[Route](), 0.0
    ladders = list(_ladders(sorted(parts, key=lambda part: part.cost)))
    share = level / len(ladders)
    _check_cases(max(len(part.sheet.cases) for part in parts), reliability, share, len(ladders))
    for those, rungs in ladders:
        if rungs is VOTES and found and found[-1].name == those[0].name:
            continue  # once will do
        lacks, boldest = list[str](), None
        for route in _rungs(those, rungs, share, lacks):
            best = max(best, route.shown)
            if route.shown < reliability:
                lacks.insert(0, f"{route.name}: {route.shown:.3f} is shown")
                break
            boldest = route
        if boldest is not None:
            found.append(boldest)
        else:
            left_out.append("; ".join(lacks))
    if not found:
        raise OutOfReach(
            f"{reliability:g} is out of reach of these processors: {'; '.join(left_out)}. Ask for "
            "less, or take another model, other words or examples",
            best,
        )
    found.sort(key=lambda route: route.cost)
    return Routes(reliability=reliability, routes=tuple(found), left_out=tuple(left_out))


def _ladders(parts: Sequence[Part]) -> Iterator[Ladder]:
    """Each processor asked once, its votes, and each two, the cheaper one first."""
    yield from (((part,), rungs) for part in parts for rungs in (ONCE, VOTES))
    yield from ((pair, PAIR) for pair in combinations(parts, 2) if pair[0].sheet != pair[1].sheet)


def _rungs(
    parts: tuple[Part, ...], rungs: tuple[Rung, ...], level: float, lacks: list[str]
) -> Iterator[Route]:
    """Each rung for which there are cases and draws enough, tried (rule 2). lacks: for others."""
    first, *others = ({case.id: case.asked for case in part.sheet.cases} for part in parts)
    if not all(_are_same(first, each) for each in others):
        lacks.append(f"{', then '.join(part.name for part in parts)}: their cases are not the same")
        return
    for rung in rungs:
        short = [
            f"a vote that needs {needs(rule)} draws a case of {part.name} was not tried"
            for part, rule in zip(parts, rung, strict=True)
            if rule is not None and needs(rule) > part.sheet.least
        ]
        lacks += short
        if not short:
            yield tried(parts, rung, level)


def _are_same(one: dict[str, str], other: dict[str, str]) -> bool:
    """Whether two sheets have the same cases; what an older one does not tell is taken to be so."""
    return one.keys() == other.keys() and all(
        asked == other[name] or not (asked and other[name]) for name, asked in one.items()
    )


def tried(parts: tuple[Part, ...], rung: Rung, level: float = LEVEL) -> Route:
    """Try a rung on the cases that were drawn."""
    known: list[dict[str, CaseDraws]] = [{c.id: c for c in part.sheet.cases} for part in parts]
    calls, reached, right, count = [0] * len(parts), [0] * len(parts), 0, len(known[0])
    for name in known[0]:
        for place, rule in enumerate(rung):
            said, draws = known[place][name].vote(rule)
            calls[place] += draws
            reached[place] += 1
            if said is not None:
                right += said
                break
    steps = tuple(
        Step(
            processor=part.name,
            **_rule(rule),
            temperature=part.sheet.temperature,
            reached=came / count,
            calls=made / count,
            latency_s=part.sheet.alone_s,
            pace_s=part.pace_s,
        )
        for part, rule, made, came in zip(parts, rung, calls, reached, strict=True)
    )
    money = sum(step.calls * part.money for step, part in zip(steps, parts, strict=True))
    return Route(
        steps=steps, right=right, cases=count, shown=shown(right, count, level), money=money
    )


def _rule(rule: Rule | None) -> dict[str, int]:
    """A rule as a step has it."""
    if not isinstance(rule, Ahead):
        return {}
    return {"ahead": rule.k, "most": 0 if rule == Ahead(rule.k) else rule.most}


def _check_cases(count: int, reliability: float, level: float, ladders: int) -> None:
    least = cases_needed(reliability, level=level)
    if count < least:
        raise TooFewCases(
            f"{counted(count, 'case')} of a datasheet cannot show for {counted(ladders, 'way')} of "
            f"asking that {reliability:g} are right: at least {least} without an error are "
            "needed; make larger datasheets, name fewer processors, or ask for less",
            least,
        )
