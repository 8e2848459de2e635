"""What a correction may be given, and what the checks that it was given said.

Rules
1. What can be seen to be no check is refused where it is given (BadOp): an op that gives something
   else than is read of it, a function that must be awaited.
2. What only shows when it is called fails the Value: an answer passes because a check says so, and
   never because what it says is no word of a check.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from inspect import isawaitable, iscoroutinefunction
from typing import Any

from nlpu.checks import FUNCTION, Fit
from nlpu.checks import check as check_given
from nlpu.errors import BadOp, ProgramError
from nlpu.eval.likeness import element_of
from nlpu.judgement import Judgement
from nlpu.ops.op import Op
from nlpu.printing import shown
from nlpu.value import Value

_TRUTHS: tuple[type, ...] = (bool, Judgement)


def base_of(check: Any) -> Op[Any] | None:
    """Give the op that is asked by a check: itself, or what it corrects; None of a function."""
    if isinstance(check, Op):
        return check
    return check.op if hasattr(getattr(check, "by", None), "correct") else None


def check_function(what: str, name: str, given: Any) -> None:
    """Refuse what cannot be called, or must be awaited. Raises BadOp."""
    check_given(what, {name: given}, {name: FUNCTION}, BadOp)
    if iscoroutinefunction(given) or iscoroutinefunction(type(given).__call__):
        raise BadOp(f"{what}: {name} must not be async: nobody awaits what it gives")


def check_equal(what: str, equal: Any) -> None:
    """Refuse what cannot say whether two answers are equal. Raises BadOp."""
    fits: Fit = (
        lambda e: e is None or (isinstance(e, str) and e == "set") or callable(e),
        "a function, an op that judges, or 'set'",
    )
    check_given(what, {"equal": equal}, {"equal": fits}, BadOp)
    if callable(equal):
        check_function(what, "equal", equal)
    op = base_of(equal)
    if op is not None and (len(op.operands) != 2 or op.result.annotation not in _TRUTHS):
        raise BadOp(
            f"{what}: equal must be an op of two answers that says yes or no; {op.name} takes "
            f"{len(op.operands)} and gives {op.result.name}: let it give bool or Judgement"
        )


def check_set(what: str, op: Op[Any]) -> None:
    """Refuse an op whose answers have no order to leave out. Raises BadOp."""
    if element_of(op.result.annotation) is None:
        raise BadOp(
            f"{what}: equal='set' is for lists; {op.name} gives {op.result.name}: leave it out"
        )


def check_flags(what: str, flags: Any) -> None:
    """Refuse what are no red flags. Raises BadOp."""
    if not isinstance(flags, list | tuple):
        raise BadOp(f"{what}: flags must be a list of functions, not {shown(flags, 80)}")
    for flag in flags:
        check_function(what, "each flag", flag)
        op = base_of(flag)
        if op is not None:
            raise BadOp(f"{what}: a flag is a function, and {op.name} is an op: see verified")


def check_checking(check: Any) -> None:
    """Refuse what is no check. Raises BadOp."""
    check_function("verified", "check", check)
    op = base_of(check)
    if op is not None and op.result.annotation not in (*_TRUTHS, str):
        raise BadOp(
            f"verified: check must say whether an answer is right, or what is wrong; {op.name} "
            f"gives {op.result.name}: let it give bool, Judgement or str"
        )


def check_places(check: Any, op: Op[Any]) -> None:
    """Refuse an op that reads neither the answer alone nor all operands and it. Raises BadOp."""
    checking, all_of_it = base_of(check), len(op.operands) + 1
    if checking is not None and len(checking.operands) not in (1, all_of_it):
        raise BadOp(
            f"verified: {checking.name} takes {len(checking.operands)} operands; a check of "
            f"{op.name} takes the answer alone, or {all_of_it}: its operands and the answer"
        )


def told(said: Any) -> Any:
    """What a check said, be it a Value or not."""
    return said.value if isinstance(said, Value) else said


def truth(said: Any, who: str) -> bool:
    """Whether a check said yes. Raises ProgramError (rule 2)."""
    if isinstance(said, Judgement | bool):
        return bool(said)
    raise _no_word(said, who, "True or False")


def objection_of(said: Any, who: str) -> str:
    """What a check said is wrong; "" for nothing. Raises ProgramError (rule 2)."""
    if isinstance(said, str):
        return said
    if not isinstance(said, Judgement | bool):
        raise _no_word(said, who, "what is wrong ('' for nothing), or whether it is right")
    return "" if said else f"not so: {who}"


def flagged(flags: Iterable[Callable[[Any], Any]], answer: Any) -> str:
    """Give what the first flag says that an answer carries. Raises ProgramError (rule 2)."""
    for flag in flags:
        said = flag(answer)
        if said and not isinstance(said, str):
            raise _no_word(said, name_of(flag), "what is wrong, '' for nothing")
        if said:
            return str(said)
    return ""


def name_of(check: Any) -> str:
    """Give what a check is called."""
    return str(getattr(check, "__name__", type(check).__name__)).replace("_", " ")


def _no_word(said: Any, who: str, wanted: str) -> ProgramError:
    if isawaitable(said) and hasattr(said, "close"):
        said.close()
    return ProgramError(f"{who} must give {wanted}; it gave {shown(said, 80)}")
