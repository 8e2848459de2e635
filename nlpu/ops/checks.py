"""What an op's settings and types must be; each mistake names the op.

Rules
1. A number is an int or a float, finite, and no bool: others would go to an engine as they are.
2. Who names a bound of tokens names one: 0 is only how ``Op`` says that nobody did.
3. An op reads one chat at most: a prompt has one sequence of turns.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from nlpu.calibration import Calibration
from nlpu.chat import Chat
from nlpu.checks import ANY_TEXT, COUNT, TEXT, WHOLE, Fit, check, is_number, maybe
from nlpu.errors import BadOp, BadOperand
from nlpu.lifting import check_text
from nlpu.printing import one_line, shown
from nlpu.reliability import ASKED
from nlpu.sampling import DEFAULTS, USUAL, Sampling, check_sampling
from nlpu.types.result import ResultType, result_type

_DEFAULT_TOKENS = {"text": 256, "bool": 8, "judgement": 8, "int": 32, "float": 32, "json": 512}
_BOUND = "a whole number more than 0 (leave it out for the default of the result's type)"


_SETTINGS: dict[str, Fit] = {
    "name": ANY_TEXT,
    "text": ANY_TEXT,
    "sampling": (lambda given: isinstance(given, Sampling), "a nlpu.sampling.Sampling"),
    "processor": maybe(TEXT),
    "system": (
        lambda text: text is None or isinstance(text, str),
        "a text, or None for the run's",
    ),
    "retries": WHOLE,
    "reliability": ASKED,
    "at_limit": (lambda a: a in ("error", "trim"), "'error' or 'trim'"),
}


def check_calibration(name: str, found: Any, *, judges: bool) -> None:
    """Raise BadOp for what is no calibration, and for one of an op that does not judge."""
    if found is None:
        return
    if not isinstance(found, Calibration) or not all(is_number(each) for each in found[:2]):
        raise BadOp(
            f"op {name}: calibration must be a Calibration with two numbers (the .calibration "
            f"of what calibrate gave), not {found!r:.80}"
        )
    if not judges:
        raise BadOp(f"op {name}: only ops that give a Judgement have a calibration")


def check_settings(of: Callable[[str], Any]) -> None:
    """Raise BadOp for a setting that means nothing; ``of`` gives an op's by its name."""
    check(one_line(f"op {of('name')}"), {name: of(name) for name in _SETTINGS}, _SETTINGS, BadOp)


def settings_of(name: str, given: Mapping[str, Any], before: Sampling = USUAL) -> dict[str, Any]:
    """Put settings together as fields of Op; those of Sampling are over those of ``before``.

    Raises BadOp for one that there is not or that means nothing, and for a bound of 0 (rule 2).
    """
    known = _SETTINGS.keys() - {"text", "sampling"} | {"examples", "calibration", *DEFAULTS}
    unknown = sorted(given.keys() - known)
    if unknown:
        raise BadOp(
            f"op {name}: unknown setting {unknown[0]!r}; settings are {', '.join(sorted(known))}"
        )
    if given.get("max_tokens") == 0:
        raise BadOp(f"op {name}: max_tokens must be {_BOUND}, not {given['max_tokens']!r}")
    drawn = {each: of for each, of in given.items() if each in DEFAULTS}
    whole = {each: getattr(before, each) for each in DEFAULTS} | drawn
    check_sampling(one_line(f"op {name}"), whole, BadOp)
    others = {each: of for each, of in given.items() if each not in DEFAULTS}
    return {**others, "sampling": replace(before, **drawn)} if drawn else others


def hints_of(function: Any, what: str) -> dict[str, Any]:
    """The annotations of a function that becomes ``what``. Raises BadOp."""
    if not inspect.isroutine(function):
        raise BadOp(f"{what} is made of a function, not of {shown(function)}")
    try:
        return typing.get_type_hints(function, localns=_around(function), include_extras=True)
    except Exception as error:  # what stands in quotes can raise anything
        raise BadOp(f"an annotation of {function.__name__} cannot be read: {error}") from None


def _around(function: Any) -> dict[str, Any]:
    """The names where a function is being defined: those of functions around it are no globals."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    frame, names = inspect.currentframe(), dict[str, Any]()
    while frame is not None:
        if any(each is code for each in frame.f_code.co_consts):
            names, code = {**frame.f_locals, **names}, frame.f_code
        frame = frame.f_back
    return names


def check_parameter(called: str, parameter: inspect.Parameter) -> None:
    """Raise BadOp for a parameter that cannot be an operand: calls give all, each by its name."""
    name, kind = parameter.name, parameter.kind
    if kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        raise BadOp(f"operand {name!r} of {called} stands for several: take a list")
    if parameter.default is not parameter.empty:
        raise BadOp(f"operand {name!r} of {called} has a default, and calls give all operands")


_RESERVED = frozenset({"samples", "sample"})


def default_tokens(result: ResultType) -> int:
    """Give the most tokens of an answer whose op names none."""
    if result.kind == "choice":  # every token is at least one byte of the longest choice
        assert result.constraint is not None
        return min(256, max(8, len(result.constraint.spec.encode())))
    return _DEFAULT_TOKENS[result.kind]


def slug(text: str) -> str:
    """Give an instruction's name, for an op that has none."""
    words = "".join(c if c.isalnum() else " " for c in text.lower()).split()
    return "_".join(words[:4]) or "op"


def check_texts(name: str, text: str, system: str | None) -> None:
    """Raise BadOp for an instruction that is empty, and for a text that no text can be."""
    if not text.strip():
        raise BadOp(f"op {name} has an empty instruction")
    said = ((text, "instruction"), (name, "name"), (system or "", "system text"))
    for each, what in said:
        try:
            check_text(each, f"the {what} of op {name!a}")
        except BadOperand as error:
            raise BadOp(str(error)) from None


def check_places(name: str, places: Sequence[tuple[str, str]]) -> None:
    """Raise BadOp for operands that a call could not tell apart, or that ask in no sentence.

    places: their names, and the instruction of each own (``Operand.asks``).
    """
    names = {place for place, _ in places}
    if len(names) != len(places) or _RESERVED & names:
        raise BadOp(f"op {name}: operand names must differ, and not be 'sample' or 'samples'")
    for place, asks in places:
        if asks and (not asks.isprintable() or asks.count("{text}") != 1):
            raise BadOp(f"op {name}: {place} must ask in one line that has one {{text}}")


def check_draws(name: str, samples: int | None, sample: int | None, sure: object = None) -> None:
    """Raise BadOperand for draws that cannot be made, and for two ways of asking for them."""
    fits = {"samples": maybe(COUNT), "sample": maybe(WHOLE)}
    check(name, {"samples": samples, "sample": sample}, fits, BadOperand)
    if samples is not None and sample is not None:
        raise BadOperand(f"{name}: give samples= (how many draws) or sample= (which one), not both")
    if samples is not None and sure is not None:
        raise BadOperand(f"{name}: samples= are draws, and with reliability= it gives one answer")


def chat_place(name: str, places: Sequence[tuple[str, ResultType]]) -> int:
    """The place of the operand that is a chat, -1 if none is. Raises BadOp (rule 3)."""
    found = [number for number, (_, kind) in enumerate(places) if kind.annotation is Chat]
    if len(found) > 1:
        called = " and ".join(places[number][0] for number in found)
        raise BadOp(f"op {name}: {called} are chats, and it can read one: give others as texts")
    return found[0] if found else -1


def typed(annotation: Any, where: str) -> ResultType:
    """The type of an annotation. Raises BadOp that says ``where`` it stands."""
    try:
        return result_type(annotation)
    except BadOp as error:
        raise BadOp(f"{where}: {error}") from None  # it quotes what pydantic said
