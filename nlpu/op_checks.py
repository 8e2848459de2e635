"""What an op's settings and types must be; each mistake names the op.

Rules
1. A number is an int or a float, finite, and no bool: others would go to an engine as they are.
2. Who names a bound of tokens names one: 0 is only how ``Op`` says that nobody did.
3. An op reads one chat at most: a prompt has one sequence of turns.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nlpu.calibration import Calibration
from nlpu.chat import Chat
from nlpu.checks import AMOUNT, ANY_TEXT, COUNT, RATE, TEXT, WHOLE, Fit, check, is_number, maybe
from nlpu.errors import BadOp, BadOperand
from nlpu.printing import one_line, shown
from nlpu.types import ResultType, result_type

if TYPE_CHECKING:
    from nlpu.ops import Op

_BOUND = "a whole number more than 0 (leave it out for the default of the result's type)"


_SETTINGS: dict[str, Fit] = {
    "name": ANY_TEXT,
    "text": ANY_TEXT,
    "max_tokens": (WHOLE[0], _BOUND),
    "temperature": AMOUNT,
    "top_p": (lambda p: is_number(p) and 0 < p <= 1, "a number more than 0 and at most 1"),
    "repetition_penalty": (RATE[0], "a number more than 0 (1: none)"),
    "processor": maybe(TEXT),
    "system": (
        lambda text: text is None or isinstance(text, str),
        "a text, or None for the run's",
    ),
    "retries": WHOLE,
    "at_limit": (lambda a: a in ("error", "trim"), "'error' or 'trim'"),
}


def check_calibration(op: Op[Any]) -> None:
    """Raise BadOp for what is no calibration, and for one of an op that does not judge."""
    found: Any = op.calibration
    if found is None:
        return
    if not isinstance(found, Calibration) or not all(is_number(each) for each in found[:2]):
        raise BadOp(
            f"op {op.name}: calibration must be a Calibration with two numbers (the .calibration "
            f"of what calibrate gave), not {found!r:.80}"
        )
    if not op.result.probabilities:
        raise BadOp(f"op {op.name}: only ops that give a Judgement have a calibration")


def check_settings(op: Op[Any]) -> None:
    """Raise BadOp for a setting that means nothing."""
    given = {name: getattr(op, name) for name in _SETTINGS}
    check(one_line(f"op {op.name}"), given, _SETTINGS, BadOp)
    for place in op.operands:
        if place.asks and (not place.asks.isprintable() or place.asks.count("{text}") != 1):
            raise BadOp(f"op {op.name}: {place.name} must ask in one line that has one {{text}}")
    check_calibration(op)


def check_given(name: object, settings: Mapping[str, Any]) -> None:
    """Raise BadOp for a setting that there is not, and for a bound of 0 (rule 2)."""
    known = _SETTINGS.keys() - {"text"} | {"examples", "calibration"}
    unknown = sorted(settings.keys() - known)
    if unknown:
        raise BadOp(
            f"op {name}: unknown setting {unknown[0]!r}; settings are {', '.join(sorted(known))}"
        )
    if settings.get("max_tokens") == 0:
        raise BadOp(f"op {name}: max_tokens must be {_BOUND}, not {settings['max_tokens']!r}")


def hints_of(function: Any, what: str) -> dict[str, Any]:
    """The annotations of a function that becomes ``what``. Raises BadOp."""
    if not inspect.isroutine(function):
        raise BadOp(f"{what} is made of a function, not of {shown(function)}")
    try:
        return typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as error:
        raise BadOp(f"an annotation of {function.__name__} cannot be read: {error}") from None


def check_parameter(called: str, parameter: inspect.Parameter) -> None:
    """Raise BadOp for a parameter that cannot be an operand: calls give all, each by its name."""
    name, kind = parameter.name, parameter.kind
    if kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        raise BadOp(f"operand {name!r} of {called} stands for several: take a list")
    if parameter.default is not parameter.empty:
        raise BadOp(f"operand {name!r} of {called} has a default, and calls give all operands")


def check_draws(name: str, samples: int | None, sample: int | None) -> None:
    """Raise BadOperand for draws that cannot be made, and for two ways of asking for them."""
    fits = {"samples": maybe(COUNT), "sample": maybe(WHOLE)}
    check(name, {"samples": samples, "sample": sample}, fits, BadOperand)
    if samples is not None and sample is not None:
        raise BadOperand(f"{name}: give samples= (how many draws) or sample= (which one), not both")


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
