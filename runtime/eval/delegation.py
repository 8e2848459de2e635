"""Delegation: each call goes to the cheapest processor that its datasheet shows to be good enough.

    sure, routes = delegated(classify, 0.95, {"small": "small.json", "large": "large.json"})
    verdict = sure(text)

Theory of operation
-------------------
Which routes will do is read off the datasheets once (``nlpu.eval.routes``). A call takes the
cheapest of them that is expected to answer within ``within_s``, as the queues are when it begins;
where none is, the soonest. What the first route leaves open, because votes do not agree, a reply is
no valid result, or a host fails, the next one is asked, from the cheaper to the dearer.

Rules
1. The routes, with the digests of the sheets, and the route of each call are noted in the journal:
   a run that goes on keeps both, however long the queues are then. What it chose and finds gone it
   does not replace.
2. Routes are chosen by price and queue, never by operands: that is what was shown (routes, rule 1).
3. It is calls and nested programs: budgeted, journaled, labelled as such. What a file says is
   nobody's word, as in ``planning``.
4. Queues are those of the scheduler, and what delegated calls of this run are to be sent: a hundred
   that begin at once are not yet in any.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any, Generic, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

from nlpu.checks import DEADLINE, check
from nlpu.errors import BadOp, BadOperand, HostError, ModelError, NotInRun, Usage
from nlpu.eval.bounds import SHARE
from nlpu.eval.datasheet import Datasheet, sheet_in
from nlpu.eval.routes import Part, Route, Routes, Step, routes_of
from nlpu.label import UNTRUSTED
from nlpu.ops.op import Op
from nlpu.printing import one_line
from nlpu.runtime.eval.corrections.cascades import cascade
from nlpu.runtime.eval.corrections.correction import Corrected, Subject, Unsure, ask
from nlpu.runtime.eval.corrections.voting import ahead_by
from nlpu.runtime.eval.planning import asked_now
from nlpu.runtime.graph.node import Scope, current_scope
from nlpu.runtime.run import RunState
from nlpu.value import remembered, see

R = TypeVar("R")
Sheet = Datasheet | str | PathLike[str]
_COMING: WeakKeyDictionary[RunState, Counter[str]] = WeakKeyDictionary()  # rule 4


class Delegated(NamedTuple, Generic[R]):
    """An op as it is to be asked, and the routes that its calls may take."""

    op: Corrected[R]
    routes: Routes

    def __repr__(self) -> str:
        return one_line(f"Delegated({self.op.op.name}, {self.routes!r})")


@dataclass(frozen=True)
class Delegation:
    """Asks by the route that is cheapest in time, then by the others. Made by ``delegated``."""

    routes: tuple[Route, ...]
    within_s: float
    name: str = "delegated"

    def __repr__(self) -> str:
        return one_line(f"Delegation({', or '.join(route.name for route in self.routes)})")

    def correct(
        self, subjects: tuple[Subject[Any], ...], operands: tuple[Any, ...], sample: int
    ) -> Any:
        """Ask one route after the other until there is an answer; the last word is taken."""
        scope = current_scope()
        assert scope is not None  # it is a nested program
        name = remembered(lambda: self._taken(scope).name, "a route")
        taken = next((n for n, route in enumerate(self.routes) if route.name == name), None)
        if taken is None:
            raise Usage(f"the run took {name!r} for this call, which is none of its routes now")
        order = [taken, *(n for n in range(len(self.routes)) if n != taken)]
        for place in order:
            last = place == order[-1]
            try:
                with _coming(scope.run, self.routes[place]):
                    answer = ask(subjects[place], operands, sample).value
            except (ModelError, HostError):
                if last:
                    raise
                continue
            if last or not isinstance(answer, Unsure):
                return answer
        raise AssertionError  # the last one's word is taken

    def _taken(self, scope: Scope) -> Route:
        """The cheapest route that is soon enough, or else the soonest."""
        coming = _COMING.get(scope.run, Counter())
        names = {step.processor for route in self.routes for step in route.steps}
        waiting = {name: max(scope.ports.calls.before(name), coming[name]) for name in names}

        def after(route: Route) -> float:
            return route.expected_s(waiting)

        soon = [route for route in self.routes if after(route) <= self.within_s]
        if soon:
            return min(soon, key=lambda route: (route.money, after(route)))
        return min(self.routes, key=lambda route: (after(route), route.money))


@contextmanager
def _coming(run: RunState, route: Route) -> Iterator[None]:
    """Count the calls of a route among those that are to come, as long as it is asked."""
    coming = _COMING.setdefault(run, Counter())
    mine = Counter({step.processor: step.calls for step in route.steps})
    coming.update(mine)
    try:
        yield
    finally:
        coming.subtract(mine)


def delegated(
    op: Op[R], reliability: float, sheets: Mapping[str, Sheet], *, within_s: float = 60.0
) -> Delegated[R]:
    """Give the op as one whose calls go each to the cheapest processor that will do.

    sheets: a datasheet for each processor, by its name. within_s: how long an answer may take
    before a dearer, less busy processor is asked instead. Raises TooFewCases, OutOfReach;
    UnknownProcessor; Usage where a sheet is of another model, convention or text.
    """
    scope = current_scope()
    if scope is None:
        raise NotInRun("delegated is for programs: it asks what the run's processors cost")
    if not isinstance(op, Op):
        raise BadOp(f"delegated takes an op, not {op!r:.60}")
    op = replace(op, reliability=None)  # the routes are what makes it reliable
    kinds = (Datasheet, str, PathLike)
    given = sheets.values() if isinstance(sheets, Mapping) else ()
    if not given or not all(isinstance(each, kinds) for each in given):
        raise BadOperand("delegated takes a datasheet for each processor, by its name")
    numbers = {"reliability": reliability, "within_s": within_s}
    check("delegated", numbers, {"reliability": SHARE, "within_s": DEADLINE}, BadOperand)
    if not all(isinstance(each, Datasheet) for each in given):
        see(UNTRUSTED)  # rule 3

    def plan() -> dict[str, Any]:
        read = {n: s if isinstance(s, Datasheet) else sheet_in(s) for n, s in sheets.items()}
        parts = [_part(scope, op.using(processor=name), sheet) for name, sheet in read.items()]
        digests = {name: sheet.digest() for name, sheet in read.items()}
        return {"sheets": digests, "routes": routes_of(parts, reliability).model_dump(mode="json")}

    routes = Routes.model_validate(remembered(plan, "routes")["routes"])
    way = Delegation(routes.routes, within_s)
    return Delegated(Corrected(way, tuple(_subject(op, route) for route in way.routes)), routes)


def _part(scope: Scope, op: Op[Any], sheet: Datasheet) -> Part:
    """What a processor is planned with. Raises UnknownProcessor, Usage."""
    processor = scope.run.processor(op.processor)
    sheet.check_asked(**asked_now(op, scope))
    mine = sheet.of(op.name, op.digest.hex())
    money = processor.price.of(round(mine.tokens[0]), 0, round(mine.tokens[1]))
    return Part(str(op.processor), mine, money, mine.busy_s(processor.max_in_flight))


def _subject(op: Op[R], route: Route) -> Subject[R]:
    """The op as it is asked on a route."""
    first, *others = (_asked_at(op, step) for step in route.steps)
    return cascade(first, *others) if others else first


def _asked_at(op: Op[R], step: Step) -> Subject[R]:
    there = op.using(processor=step.processor)
    if not step.ahead:
        return there
    return ahead_by(step.ahead, most=step.most)(there.using(temperature=step.temperature))
