"""Lifting: Python functions on Values, and structures that hold Values as one Value.

Rules
1. Nothing is waited for: what is described here is carried out by the runtime.
2. A Value that hides where it could not be waited for is refused, and so is what has not run yet.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Set
from dataclasses import dataclass
from typing import Any, TypeVar

from nlpu.checks import FLAG, FUNCTION, check
from nlpu.errors import BadOperand
from nlpu.value import Value, current, own

T = TypeVar("T")
_PLAIN = (str, int, float, bool, bytes, type(None))


@dataclass(frozen=True, slots=True)
class Lift:
    """A Python function on contents; ``blocking`` ones run on a thread."""

    function: Callable[..., Any]
    name: str
    blocking: bool = False
    named: tuple[str, ...] = ()  # names of the trailing operands, passed as keywords


@dataclass(frozen=True, slots=True)
class Gather:
    """A structure (nested lists, tuples and dicts) whose leaves are the operands."""

    shape: Any


@dataclass(frozen=True, slots=True)
class Leaf:
    """Where a Gather puts its operand of that index."""

    index: int


def lift(function: Callable[..., T], *, blocking: bool = False) -> Callable[..., Value[T]]:
    """Let a plain Python function work on Values: it runs when its arguments are there.

    Its result must be text, a number, a list, a dict or a pydantic model: it is remembered by
    digest, and a resumed program whose function gives something else is told so. Raises
    BadOperand; what the function raises fails its Value.

    Args:
        function: The function; it gets contents, and its labels are joined.
        blocking: Run it on a thread, so that other calls and programs go on meanwhile.
    """
    given = {"function": function, "blocking": blocking}
    check("lift", given, {"function": FUNCTION, "blocking": FLAG}, BadOperand)
    name = getattr(function, "__name__", "function")

    def lifted(*args: Any, **named: Any) -> Value[T]:
        work = Lift(function, name, blocking, tuple(named))
        given = (*args, *named.values())
        return current().issue(work, tuple(map(_whole, given)))

    lifted.__name__ = lifted.__qualname__ = f"lift({name})"
    return lifted


def check_text(text: str, where: str) -> str:
    """The text, if it can be encoded. Raises BadOperand naming the place of a lone surrogate."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise BadOperand(
                f"{where} has a lone surrogate (U+{ord(text[error.start]):04X}) at character "
                f"{error.start}; decode the source with errors='replace'"
            ) from error
    return text


def contains_value(content: Any) -> bool:
    """Whether a nested structure of lists, tuples and dicts holds a Value.

    Raises BadOperand for one that hides in another object, where it could not be waited for, and
    for generators and coroutines: what they would give has not been asked for.
    """
    if isinstance(content, Value):
        return True
    if isinstance(content, _PLAIN):
        return False
    if isinstance(content, dict):
        return any(contains_value(item) for item in content.values())
    if isinstance(content, list | tuple):
        return any(contains_value(item) for item in content)
    if isinstance(content, Iterator | Coroutine | AsyncIterator):
        if isinstance(content, Coroutine):
            content.close()  # nobody will await it, and Python would say so of a line of ours
        raise BadOperand(
            f"what has not run yet was given: {type(content).__name__}. Give a list, or await the "
            "coroutine in an async program"
        )
    if any(isinstance(item, Value) for item in _parts(content)):
        raise BadOperand(
            f"a Value is inside a {type(content).__name__}: build that with lift() once its "
            "parts are there, or give a list, tuple or dict of Values"
        )
    return False


def _parts(content: Any) -> Iterator[Any]:
    """What an object of another class holds: its items and its attributes."""
    if isinstance(content, Set | deque):
        yield from content
    yield from getattr(content, "__dict__", {}).values()
    for kind in type(content).__mro__:
        slots = getattr(kind, "__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            yield getattr(content, name, None)


def gather(structure: Any) -> Value[Any]:
    """Make one Value of a list, tuple or dict that holds Values; wait for nothing."""
    leaves: list[Any] = []

    def shape(item: Any) -> Any:
        if isinstance(item, Value):
            leaves.append(item)
            return Leaf(len(leaves) - 1)
        if isinstance(item, dict):
            return {key: shape(sub) for key, sub in item.items()}
        if isinstance(item, list | tuple):
            return rebuilt(item, map(shape, item))
        return item

    outline = shape(structure)
    return current().issue(Gather(outline), tuple(leaves))


def rebuilt(like: Any, items: Iterable[Any]) -> Any:
    """A list or tuple of the same type; named tuples take their items one by one."""
    return like._make(items) if hasattr(like, "_make") else type(like)(items)


def _whole(item: Any) -> Any:
    """A structure that holds Values as one Value; anything else as it is."""
    if isinstance(item, Value) or not contains_value(item):
        return own(item) if isinstance(item, list | dict | set) else item  # it may change later
    return gather(item)
