"""Ops: natural-language instructions as values, and what a program can do with them.

Theory of operation
-------------------
An ``Op`` says what is asked (its text), of what (named, typed operands) and in what form the answer
comes (its result type). It is frozen, compares by value and has a digest, so it can be stored,
versioned, tested and looked up. Calling it does not compute anything: it describes the work
(``Call``, ``Map``, ``Reduce``, ``Draws``, ``Check``, ``Lift``, ``Gather``) and hands it to the
current issuer, which returns a Value at once.

Rules
1. Everything that changes what a model is asked is in the digest; nothing else is.
2. Operands that are at hand are checked when the op is called, Values when they arrive.
3. The work records are plain descriptions; only the runtime knows how to carry them out.
4. ``reduce`` needs an op whose result can be its own first operand (T -> T, or list[T] -> T).
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

from nlpu.binding import by_name
from nlpu.calibration import Calibration
from nlpu.chat import Chat
from nlpu.checks import WHOLE, check
from nlpu.errors import BadOp, BadOperand
from nlpu.lifting import Gather, Lift, check_text, contains_value, gather
from nlpu.ops.checks import (
    chat_place,
    check_calibration,
    check_draws,
    check_parameter,
    check_places,
    check_settings,
    check_texts,
    default_tokens,
    hints_of,
    settings_of,
    slug,
    typed,
)
from nlpu.ops.examples import examples_of
from nlpu.printing import one_line
from nlpu.reliability import Reliability, Reliably, asked_for
from nlpu.sampling import USUAL, Sampling
from nlpu.types.result import ResultType, result_type
from nlpu.value import Value, current

if TYPE_CHECKING:  # cases are of ops
    from nlpu.eval.scores import Report

R = TypeVar("R")
AtLimit = Literal["error", "trim"]


@dataclass(frozen=True, slots=True)
class Operand:
    """A named place in an op, its type, and an instruction around it (``Convention.sentences``)."""

    name: str
    type: ResultType
    asks: str = ""

    def __repr__(self) -> str:
        return one_line(f"Operand({self.name}: {self.type.name})")

    def keep(self, content: Any, where: str) -> Any:
        """The content as its type keeps it; a chat must be one to answer. Raises BadOperand."""
        made = self.type.keep(content, where)
        return made.asked(where) if isinstance(made, Chat) else made


@dataclass(frozen=True, slots=True)
class Op(Generic[R]):
    """A typed instruction in plain language; to call it issues a call. Raises BadOp.

    Attributes:
        sampling: How its tokens are chosen; ``nlop``, ``op`` and ``using`` take its fields.
            At temperature 0 the same question has the same answer, and is asked only once.
        at_limit: A free text that is cut: ``error`` raises Truncated, ``trim`` keeps sentences.
        processor: Name of the processor to run on (None: the computer's default).
        system: Who the model is to be (None: what the run says; "": nobody, whatever that says).
        examples: Calls with their right results, each (operand, ..., result), in every prompt.
        retries: How often a typed reply that does not fit is asked again with what was wrong.
        calibration: How judgements are read (None: as the model gives them).
        reliability: How often its answers must be right (None: as they come); see ``Reliability``.
        chat: The place of the operand that is a Chat; -1 where none is.
    """

    name: str
    text: str
    operands: tuple[Operand, ...]
    result: ResultType
    sampling: Sampling = USUAL
    at_limit: AtLimit = "error"
    processor: str | None = None
    system: str | None = None
    examples: Any = ()
    retries: int = 1
    calibration: Calibration | None = None
    reliability: Reliability | float | None = None
    chat: int = field(init=False, compare=False, repr=False)
    digest: bytes = field(init=False, compare=False, repr=False)
    plain: Call | Reliably = field(init=False, compare=False, repr=False)  # what a call of it is

    def __post_init__(self) -> None:
        _check_op(self)
        places = [(place.name, place.type) for place in self.operands]
        object.__setattr__(self, "chat", chat_place(self.name, places))
        if not self.max_tokens:
            most = replace(self.sampling, max_tokens=default_tokens(self.result))
            object.__setattr__(self, "sampling", most)
        shown = examples_of(self.name, places, self.result, self.examples)
        object.__setattr__(self, "examples", shown)
        object.__setattr__(self, "digest", _digest(self))
        sure = asked_for(self.reliability)
        object.__setattr__(self, "reliability", sure)
        plain = Call(self) if sure is None else Reliably(self, None, sure)
        object.__setattr__(self, "plain", plain)

    def __repr__(self) -> str:
        names = ", ".join(place.name for place in self.operands)
        return one_line(f"Op {self.name}({names}) -> {self.result.name}: {self.text}", 160)

    @property
    def max_tokens(self) -> int:
        """Most tokens that an answer may have."""
        return self.sampling.max_tokens

    @property
    def temperature(self) -> float:
        """Of its sampling: 0 takes the likeliest token; above, each call is a draw of its own."""
        return self.sampling.temperature

    def __call__(
        self, *args: Any, samples: int | None = None, sample: int | None = None, **named: Any
    ) -> Value[R]:
        """Issue one call and return its Value. Raises BadOperand, NotInRun.

        Args:
            *args: Operands by position.
            samples: Draw that many independent results; the Value then holds a list of them.
            sample: The number of one draw; equal numbers are the same draw.
            **named: Operands by name; ``reliability``, where none is called so, as by ``using``.
        """
        if named and (sure := self._sure(named)) is not self:
            return sure(*args, samples=samples, sample=sample, **named)
        operands = (
            args if not named and self._plain_operands(args) else operands_of(self, args, named)
        )
        if samples is not None or sample is not None:
            check_draws(self.name, samples, sample, self.reliability)
        if samples is not None:
            return current().issue(Draws(self, samples), operands)
        call = self.plain if sample is None else replace(self.plain, sample=sample)
        return current().issue(call, operands)

    def map(self, items: Any, *args: Any, **named: Any) -> Value[list[R]]:
        """Issue one call for each item, as soon as it is there; results are in item order."""
        sure, rest = self._sure(named), self.bind(args, named, skip=1)
        return current().issue(Map(sure), (_listed(self.name, _first(self), items), *rest))

    def reduce(self, items: Any, *args: Any, **named: Any) -> Value[R]:
        """Fold the items to one, in a tree of calls that each fit the window."""
        first = _first(self).type
        if first != self.result and first != result_type(
            types.GenericAlias(list, (self.result.annotation,))
        ):
            raise BadOp(
                f"{self.name}.reduce needs an op whose first operand has the type of its result "
                f"or is a list of it; it takes {first.name} and gives {self.result.name}"
            )
        sure, rest = self._sure(named), self.bind(args, named, skip=1)
        place = Operand(self.operands[0].name, self.result)
        return current().issue(Reduce(sure), (_listed(self.name, place, items), *rest))

    def check(self, cases: Any, metric: Any = None) -> Value[Report]:
        """Issue one call for each case; the Value has a report of what they were worth."""
        from nlpu.eval.cases import is_file, read_cases

        return current().issue(Check(self, read_cases(cases), metric, is_file(cases)), ())

    def using(self, **changes: Any) -> Op[R]:
        """Give the op with other settings: fields but text, operands, result; any of Sampling."""
        return replace(self, **settings_of(self.name, changes, self.sampling))

    def _sure(self, named: dict[str, Any]) -> Op[R]:
        """The op as reliable as a call's names say, where no operand is called so."""
        if "reliability" not in named or "reliability" in [each.name for each in self.operands]:
            return self
        return self.using(reliability=named.pop("reliability"))

    def _plain_operands(self, args: tuple[Any, ...]) -> bool:
        """Whether every operand is a Value or an ASCII text where text is wanted: most calls."""
        if len(args) != len(self.operands):
            return False
        for place, arg in zip(self.operands, args, strict=True):
            if not isinstance(arg, Value) and not (
                type(arg) is str and place.type.annotation is str and arg.isascii()
            ):
                return False
        return True

    def bind(self, args: tuple[Any, ...], named: dict[str, Any], skip: int = 0) -> tuple[Any, ...]:
        """Give the operands in order, checked; what a call does first. Raises BadOperand."""
        places = self.operands[skip:]
        if named or len(args) != len(places):
            args = (*_named(self.name, places, args, named).values(),)
        return tuple(
            arg if isinstance(arg, Value) else _checked(self.name, place, arg)
            for place, arg in zip(places, args, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an op; ``sample`` is an explicit number of the draw."""

    op: Op[Any]
    sample: int | None = None


@dataclass(frozen=True, slots=True)
class Draws:
    """``count`` independent draws of one call."""

    op: Op[Any]
    count: int


@dataclass(frozen=True, slots=True)
class Map:
    """One call for each item of the first operand."""

    op: Op[Any]


@dataclass(frozen=True, slots=True)
class Reduce:
    """A tree of calls over the first operand."""

    op: Op[Any]


@dataclass(frozen=True, slots=True)
class Check:
    """One call for each case (``read``: of a file), scored by ``metric``, else by its own."""

    op: Op[Any]
    cases: tuple[Any, ...]
    metric: Any = None
    read: bool = False


Work = Call | Draws | Map | Reduce | Check | Lift | Gather


# -- definition -----------------------------------------------------------------------------


@overload
def nlop(function: Callable[..., R]) -> Op[R]: ...
@overload
def nlop(**settings: Any) -> Callable[[Callable[..., R]], Op[R]]: ...


def nlop(function: Callable[..., R] | None = None, **settings: Any) -> Any:
    """Make an op of a function whose docstring is the instruction and whose body is empty.

    Parameters become operands, the return annotation the result type; settings are those of Op.
    Raises BadOp where the docstring or an annotation is missing.
    """
    if function is None:
        return lambda f: nlop(f, **settings)
    hints = hints_of(function, "an op")
    text, settings = inspect.getdoc(function), {"name": function.__name__, **settings}
    called = settings["name"]
    settings = settings_of(called, settings)
    if not text:
        raise BadOp(f"{called} needs a docstring: it is the instruction")
    if "return" not in hints:
        raise BadOp(f"{called} needs a return annotation: it is the result type")
    operands = []
    for name, parameter in inspect.signature(function).parameters.items():
        check_parameter(called, parameter)
        if name not in hints:
            raise BadOp(f"operand {name!r} of {called} needs a type annotation")
        operands.append(Operand(name, typed(hints[name], f"operand {name!r} of op {called}")))
    result = typed(hints["return"], f"the result of op {called}")
    return Op(text=text, operands=tuple(operands), result=result, **settings)


@overload
def op(text: str) -> Op[str]: ...
@overload
def op(text: str, out: type[R], **settings: Any) -> Op[R]: ...
@overload
def op(text: str, out: Any, **settings: Any) -> Op[Any]: ...


def op(text: str, out: Any = str, *, name: str = "", operands: int = 1, **settings: Any) -> Op[Any]:
    """Make an op in a line, of texts: ``op("Translate to French")(text)``. Raises BadOp.

    Its operands are called ``text``, or ``text_1``, ``text_2``, ...
    """
    check("op", {"operands": operands}, {"operands": WHOLE}, BadOp)
    names = ["text"] if operands == 1 else [f"text_{n + 1}" for n in range(operands)]
    places = tuple(Operand(place, result_type(str)) for place in names)
    called = name or slug(str(text))
    settings = settings_of(called, settings)
    result = typed(out, f"the result of op {called}")
    return Op(called, text, places, result, **settings)


# -- helpers --------------------------------------------------------------------------------


def operands_of(op: Op[Any], args: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
    """Give a call's operands; a memory among them is asked for what stands there."""
    if any(hasattr(arg, "fill_operand") for arg in (*args, *named.values())):
        return op.bind((), _filled(op, args, named))
    return op.bind(args, named)


def _check_op(op: Op[Any]) -> None:
    check_settings(partial(getattr, op))
    check_calibration(op.name, op.calibration, judges=op.result.probabilities)
    check_texts(op.name, op.text, op.system)
    check_places(op.name, [(place.name, place.asks) for place in op.operands])
    if op.result.kind != "text" and (op.at_limit == "trim" or op.sampling.stop):
        how = "trimmed at its limit" if op.at_limit == "trim" else "ended by a stop"
        raise BadOp(f"op {op.name}: only free text can be {how}")


def _digest(op: Op[Any]) -> bytes:
    parts = [op.name, op.text, repr(op.result), str(op.max_tokens), op.at_limit]
    parts += [f"{place.name}:{place.type!r}{place.asks}" for place in op.operands]
    parts += op.sampling.parts()
    if op.system or op.examples or op.retries != 1:  # ops that use none keep their digests
        parts += [op.system or "", repr(op.examples), str(op.retries)]
    parts += [f"about {op.result.about}"] if op.result.about else []
    parts += [f"of {place.name}: {place.type.about}" for place in op.operands if place.type.about]
    if op.calibration is not None:
        parts.append(f"calibration {tuple(op.calibration)!r}")
    return blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _first(op: Op[Any]) -> Operand:
    """The operand that is mapped or reduced over. Raises BadOp."""
    if not op.operands:
        raise BadOp(f"{op.name} has no operands: there is nothing to map or to reduce over")
    return op.operands[0]


def _named(
    name: str, places: tuple[Operand, ...], args: tuple[Any, ...], named: dict[str, Any]
) -> dict[str, Any]:
    """What each place is given, in order."""
    shown = {place.name: f"{place.name}: {place.type.name}" for place in places}
    given = by_name(name, shown, args, named)
    return {place: given[place] for place in shown}


def _filled(op: Op[Any], args: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
    """The operands by name, with one that stands for a memory filled from it."""
    operands = _named(op.name, op.operands, args, named)
    sources = [name for name, operand in operands.items() if hasattr(operand, "fill_operand")]
    if len(sources) > 1:
        raise BadOperand(f"{op.name} can have one operand from memory, not {', '.join(sources)}")
    (name,) = sources
    others = {key: operand for key, operand in operands.items() if key != name}
    return others | {name: operands[name].fill_operand(op, name, others)}


def _checked(name: str, place: Operand, arg: Any) -> Any:
    where = f"operand {place.name!r} of {name}"
    try:
        if isinstance(arg, list | tuple | dict) and contains_value(arg):
            return gather(arg)
        content = place.keep(arg, where)
    except RecursionError:
        raise BadOperand(f"{where} contains itself, or is nested too deeply") from None
    return check_text(content, where) if isinstance(content, str) else content


def _listed(name: str, place: Operand, items: Any) -> Any:
    if isinstance(items, Value):
        return items
    if isinstance(items, str | set | frozenset | dict) or not isinstance(items, Iterable):
        raise BadOperand(
            "map and reduce take a list (or a Value of one): use split() on a text, sorted() on a "
            "set, whose order differs from process to process, list() on a dict's keys or values"
        )
    return [item if isinstance(item, Value) else _checked(name, place, item) for item in items]
