"""Ways of calling: whatever a weak model makes of it, and programs as if they were ops."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from nlpu import Chat, ModelError, Op, Value, spawn

R = TypeVar("R")
P = ParamSpec("P")


def careful(op: Op[str], *operands: Any) -> Value[str]:
    """The op's answer; a second draw if there was no valid one; else the start of its last operand.

    Of a chat that is what was said last. It is a nested program, so only what reads this text waits
    for it.
    """
    return spawn(_careful, op, *operands)


def _careful(op: Op[str], *operands: Any) -> str:
    last = operands[-1]
    words = (last.turns[-1].text if isinstance(last, Chat) else str(last)).split()
    return attempted(op, *operands) or " ".join(words[:40]) or "(nothing)"


def attempted(op: Op[R], *operands: Any) -> R | None:
    """The op's answer; a second draw if there was no valid one; None if that was not valid too."""
    for attempt in (op, op.using(temperature=0.7)):
        try:
            return attempt(*operands).value
        except ModelError:
            continue
    return None


def nested(program: Callable[P, R]) -> Callable[P, Value[R]]:
    """The program as a nested one: calling it gives its Value at once, like calling an op."""

    @wraps(program)
    def begun(*args: P.args, **named: P.kwargs) -> Value[R]:
        return spawn(program, *args, **named)

    return begun
