"""Checking a plan before it may run: what stands against it, all at once.

Theory of operation
-------------------
A plan has no loops, so what it can do is known before it does anything: which ops and drivers, how
deep, and, once its arguments are there, at most how many calls with how many tokens. Lists are
bounded by their types, and the parts of a text that is there are counted by cutting it.

Rules
1. Nothing is trusted because of where a plan comes from; bounds hold whatever it says.
2. Every objection names the line and the value, and says what would be right.
3. What is not known in advance (a record's fields) is checked when the call is made.
4. Totals are upper bounds: no run of a plan that checked takes more. (Depth: if the items of a
   reduction pair up, as results of one op do.)
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from itertools import islice
from math import ceil, inf, log2
from typing import Any

from nlpu.errors import BadProgram, NlpuError
from nlpu.ops.op import Op
from nlpu.runtime.drivers.driver import Driver
from nlpu.runtime.plans.bounds import Bounds, Given
from nlpu.runtime.plans.known import Known, Many, fits, of_literal, of_type, said
from nlpu.runtime.plans.plan import Outside, Param, Plan, Ref, Step, refs
from nlpu.runtime.scheduler.budget import TOKENS_PER_NLOP
from nlpu.text import split
from nlpu.value import CURRENT, Value, current, peek_content

_MOST_PARTS = 100_000
_MOST_OBJECTIONS = 20  # who wrote the text reads no more


def check(
    plan: Plan, given: Given, bounds: Bounds, arguments: Mapping[str, Any] | None = None
) -> None:
    """Raises BadProgram with its objections. Inside a run, ``arguments`` let it count."""
    checker = _Checker(plan, given, bounds, arguments)
    found = list(islice(checker.objections(), _MOST_OBJECTIONS))
    if found:
        raise BadProgram(*found)


class _Checker:
    """What is known of the values so far."""

    def __init__(
        self, plan: Plan, given: Given, bounds: Bounds, arguments: Mapping[str, Any] | None
    ) -> None:
        self.plan, self.given, self.bounds, self.arguments = plan, given, bounds, arguments
        self.values: dict[int, Known] = {}
        self.calls = self.nlops = 0.0
        self.counts = arguments is not None and CURRENT.get() is not None

    def objections(self) -> Iterator[str]:
        """All that stands against the plan."""
        plan, most = self.plan, self.bounds.steps
        if len(plan.steps) > most:
            yield f"it has {len(plan.steps)} steps; at most {most} are allowed"
            return
        names = [param.name or f"p{param.number}" for param in plan.params]
        if len(set(names)) < len(names):
            yield "two parameters have the same name"
        for name, thing in plan.uses.items():
            yield from self._outside(name, thing)
        for param in plan.params:
            yield from self._assigned(param.number, f"%{param.number}")
            self.values[param.number] = self._param(param)
        for step in plan.steps:
            yield from self._assigned(step.number, step.where)
            yield from self._step(step)
        missing = [number for number in refs(plan.result) if number not in self.values]
        yield from (f"return: %{number} is not there" for number in missing)
        yield from self._sizes("return", [plan.result])
        yield from self._totals()

    def _outside(self, name: str, thing: Any) -> Iterator[str]:
        if not isinstance(thing, Outside):
            return
        try:
            found = self.given.of(thing)
        except BadProgram as error:
            yield str(error)
            return
        if isinstance(found, Driver) and found.effect not in self.bounds.effects:
            allowed = ", ".join(sorted(self.bounds.effects)) or "none"
            yield f"the driver {name} has the effect {found.effect}; allowed here: {allowed}"

    def _assigned(self, number: int, where: str) -> Iterator[str]:
        if number in self.values:
            yield f"{where}: %{number} has a value already; each is assigned once"

    def _param(self, param: Param) -> Known:
        content = (self.arguments or {}).get(param.name or f"p{param.number}")
        if isinstance(content, Value):  # only looked at: it decides whether the plan runs at all
            content = peek_content(content)
        items = len(content) if isinstance(content, list) else inf
        text = content if isinstance(content, str) else None
        return Known(of_type(param.type).kind, items, text)

    # -- one step ----------------------------------------------------------------------------

    def _step(self, step: Step) -> Iterator[str]:
        missing = [number for number in step.reads() if number not in self.values]
        below = max((self.values[n].depth for n in step.reads() if n in self.values), default=0)
        found = Known()
        try:
            yield from self._sizes(step.where, (part for _, part in step.operands))
            if missing:
                yield from (f"{step.where}: %{number} is not there yet" for number in missing)
            else:
                found = yield from self._made(step)
        except NlpuError as error:  # an operand that its op or driver refuses
            yield f"{step.where}: {error}"
        self.values[step.number] = found._replace(depth=below + found.depth)

    def _made(self, step: Step) -> Generator[str, None, Known]:
        """What a step makes. Its ``depth`` is the step's own."""
        thing = self.plan.uses.get(step.name)
        if step.how in ("value", "first", "split"):
            return (yield from self._plain(step))
        if isinstance(thing, Op):
            return (yield from self._op(step, thing))
        if step.how != "call" or thing is None:
            yield f"{step.where}: {step.how} takes an op, and {step.name} is none"
        elif thing.kind == "driver" and thing.name in self.given.drivers:
            driver = self.given.of(thing)
            driver.bind(*_stands(step.operands))
            return Known(of_type(driver.result).kind, depth=1)  # nobody bounds its lists
        return Known(depth=1)

    def _plain(self, step: Step) -> Generator[str, None, Known]:
        if not step.operands or (step.how == "split" and len(step.operands) > 1):
            wanted = "a text and, if wanted, tokens from 8 up" if step.operands else "a value"
            yield f"{step.where}: {step.how} takes {wanted}"
            return Known()
        source = step.operands[0][1]
        found = self._known(source)._replace(depth=0)
        if step.how == "first":
            among = [self._known(part) for _, part in step.operands]
            items, size = max(each.items for each in among), max(each.size for each in among)
            return Known(found.kind, items, size=size)
        if step.how == "value":
            return found
        params = [Ref(param.number) for param in self.plan.params]
        if not fits("text", found.kind):
            yield f"{step.where}: split takes a text, not {said(found.kind)}"
        elif found.text is None and source not in params:
            yield f"{step.where}: only a parameter or a literal text can be split"
        elif found.text is not None and self.counts:
            return Known(Many("text"), len(split(found.text, step.count or None)))
        return Known(Many("text"))

    def _op(self, step: Step, op: Op[Any]) -> Generator[str, None, Known]:
        skip = int(step.how in ("map", "reduce"))
        if skip and (not step.operands or step.operands[0][0] or not op.operands):
            yield f"{step.where}: {step.how} takes a list first"
            return Known()
        items = self._known(step.operands[0][1]) if skip else Known(items=step.count or 1)
        if skip:
            yield from self._listed(step, op, items.kind)
        bound = op.bind(*_stands(step.operands[skip:]), skip=skip)
        for place, given in zip(op.operands[skip:], bound, strict=True):
            wanted, found = of_type(place.type).kind, self._known(given).kind
            if isinstance(given, _Stand) and not fits(wanted, found):
                what = f"operand {place.name!r} of {step.name}"
                yield f"{step.where}: {what} must be {said(wanted)}, not {said(found)}"
        if step.how == "draw" and step.count > 1 and op.temperature == 0:
            yield f"{step.where}: draws of {step.name} at temperature 0 are all the same"
        if self.counts:
            yield from self._room(step, op, bound)
        return self._counted(step, op, items.items)

    def _listed(self, step: Step, op: Op[Any], found: Any) -> Iterator[str]:
        place, result = of_type(op.operands[0].type).kind, of_type(op.result).kind
        wanted = result if step.how == "reduce" else place
        if found is not None and not isinstance(found, Many):
            yield f"{step.where}: {step.how} takes a list, not {said(found)}; split cuts a text"
        elif step.how == "reduce" and place not in (result, Many(result)):
            takes = f"{step.name} takes {said(place)} and gives {said(result)}"
            yield f"{step.where}: reduce needs an op that gives what it takes; {takes}"
        elif found is not None and not fits(wanted, found.item):
            what = f"{said(wanted)}, not {said(found.item)}"
            yield f"{step.where}: the items for {step.name} must be {what}"

    def _room(self, step: Step, op: Op[Any], bound: tuple[Any, ...]) -> Iterator[str]:
        """Whether the texts that are there fit the window."""
        processor = current().processor(op.processor)
        texts = [text for text in (self._known(each).text for each in bound) if text is not None]
        needed, room = sum(map(processor.count, texts)), processor.room(op)
        if needed > room:
            yield (
                f"{step.where}: {step.name} cannot read {needed} tokens, there is room for {room}; "
                "split the text, and map over its parts"
            )

    # -- totals ------------------------------------------------------------------------------

    def _counted(self, step: Step, op: Op[Any], items: float) -> Known:
        """Add the step's calls to the totals (rule 4)."""
        result, depth, calls = of_type(op.result), 1, items if step.how != "sample" else 1
        if step.how == "reduce":
            calls = max(0, items - 1)
            depth = ceil(log2(max(2, items))) if items < inf else 1
        thinking = current().processor(op.processor).thinking_tokens if self.counts else 0
        calls *= 1 if op.result.annotation is str else 1 + op.retries  # they may be asked again
        self.calls += calls
        self.nlops += calls and calls * (op.max_tokens + thinking) / TOKENS_PER_NLOP
        if step.how in ("map", "draw"):
            return Known(Many(result.kind), items, depth=depth)
        return result._replace(depth=depth)

    def _totals(self) -> Iterator[str]:
        depth = max((value.depth for value in self.values.values()), default=0)
        for what, found, most in (
            ("is {} calls deep", depth, self.bounds.depth),
            ("may make {} calls", self.calls, self.bounds.calls),
            ("may take {} nlops", self.nlops, self.bounds.nlops),
        ):
            if most is not None and found > most:
                shown = "any number of" if found == inf else f"{found:g}"
                yield f"it {what.format(shown)}; at most {most:g} are allowed"

    def _known(self, expression: Any) -> Known:
        if isinstance(expression, _Stand):
            expression = expression.expression
        if isinstance(expression, Ref):
            return self.values.get(expression.number, Known())
        parts = expression.values() if isinstance(expression, dict) else expression
        holds = parts if isinstance(expression, list | dict) else ()
        return of_literal(expression, [self._known(part) for part in holds])

    def _sizes(self, where: str, expressions: Iterable[Any]) -> Iterator[str]:
        """Lists of lists of lists double with every line (rule 1)."""
        if sum(self._known(part).size for part in expressions) > _MOST_PARTS:
            yield f"{where}: its lists hold more than {_MOST_PARTS:,} parts in all"


class _Stand(Value[Any]):
    """Stands for a value that is not there yet, where operands are bound."""

    def __init__(self, expression: Any) -> None:
        super().__init__()
        self.expression = expression


def _stands(operands: tuple[tuple[str, Any], ...]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Operands as they are bound: in order, and by name."""
    made = [
        (name, _Stand(part) if next(refs(part), None) is not None else part)
        for name, part in operands
    ]
    return tuple(part for name, part in made if not name), {n: part for n, part in made if n}
