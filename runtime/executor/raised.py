"""What programs raise: as one of our errors, with advice where Python's own words give none."""

from __future__ import annotations

import re

from nlpu.errors import HostError, NlpuError, ProgramError, described
from nlpu.runtime.graph.node import Node
from nlpu.value import Value

_REFUSALS = (TypeError, AttributeError, ValueError)  # of Python and of libraries (pydantic)
_NAMED = re.compile(rf"\b({Node.__name__}|{Value.__name__})\b")


def as_typed(name: str, error: BaseException) -> BaseException:
    """What a program raised, as one of our errors."""
    if isinstance(error, NlpuError):
        return error
    failure = ProgramError(f"the program {name} raised {described(error)}{_advice(error)}")
    failure.__cause__ = error
    return failure


def internal(error: BaseException) -> HostError:
    """What the runtime itself raised."""
    failure = HostError(f"the runtime itself failed: {described(error)}; please report it")
    failure.__cause__ = error
    return failure


def _advice(error: BaseException) -> str:
    """What to do about a second loop, and about a Value where a content was wanted.

    asyncio and Python refuse both in their own words.
    """
    if isinstance(error, RuntimeError) and "event loop" in str(error):
        return (
            ". A program runs on the computer's own loop: make it `async def` and await there, or "
            "give the function to lift(function, blocking=True), which calls it on a thread"
        )
    named = _NAMED.search(str(error)) if isinstance(error, _REFUSALS) else None
    if named is None or "a Value " in str(error):  # those are our words
        return ""
    return (
        f". If that {named[0]} is what an op gave: its content may still be on its way; ask for "
        "the content with .value, or await it in an async program"
    )
