"""What an op's settings and types must be; each mistake names the op.

Rules
1. A number is an int or a float, finite, and no bool: others would go to an engine as they are.
2. Who names a bound of tokens names one: 0 is only how ``Op`` says that nobody did.
3. An op reads one chat at most: a prompt has one sequence of turns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf, isfinite
from typing import TYPE_CHECKING, Any

from nlpu.calibration import Calibration
from nlpu.chat import Chat
from nlpu.errors import BadOp
from nlpu.types import ResultType, result_type

if TYPE_CHECKING:
    from nlpu.op import Op

_BOUND = "a whole number more than 0 (leave it out for the default of the result's type)"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_SETTINGS: dict[str, tuple[Callable[[Any], bool], str]] = {  # what fits, and how that is said
    "max_tokens": (lambda n: type(n) is int and n >= 0, _BOUND),
    "temperature": (lambda t: _is_number(t) and 0 <= t < inf, "a number, 0 or more"),
    "top_p": (lambda p: _is_number(p) and 0 < p <= 1, "a number more than 0 and at most 1"),
    "repetition_penalty": (
        lambda r: _is_number(r) and 0 < r < inf, "a number more than 0 (1: none)",
    ),
    "system": (
        lambda text: text is None or isinstance(text, str), "a text, or None for the run's",
    ),
    "retries": (lambda n: type(n) is int and n >= 0, "a whole number, 0 or more"),
    "at_limit": (lambda a: a in ("error", "trim"), "'error' or 'trim'"),
}  # fmt: skip


def check_calibration(op: Op[Any]) -> None:
    """Raise BadOp for what is no calibration, and for one of an op that does not judge."""
    found: Any = op.calibration
    if found is None:
        return
    if not isinstance(found, Calibration) or not all(
        _is_number(each) and isfinite(each) for each in found[:2]
    ):
        raise BadOp(
            f"op {op.name}: calibration must be a Calibration with two numbers (the .calibration "
            f"of what calibrate gave), not {found!r:.80}"
        )
    if not op.result.probabilities:
        raise BadOp(f"op {op.name}: only ops that give a Judgement have a calibration")


def check_settings(op: Op[Any]) -> None:
    """Raise BadOp for a setting that means nothing."""
    check_calibration(op)
    for name, (fits, wanted) in _SETTINGS.items():
        value = getattr(op, name)
        if not fits(value):
            raise BadOp(f"op {op.name}: {name} must be {wanted}, not {value!r:.80}")


def check_given(name: str, settings: Mapping[str, Any]) -> None:
    """Raise BadOp for a bound of 0 that somebody wrote (rule 2)."""
    if settings.get("max_tokens") == 0:
        raise BadOp(f"op {name}: max_tokens must be {_BOUND}, not {settings['max_tokens']!r}")


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
