"""Gaps of labels that ordinary code meets by accident, and that can be seen: warned of.

Theory of operation
-------------------
Labels follow Values and scopes. Two ways around them need no intent. A function under ``lru_cache``
reads a Value once; whoever gets its result from the cache has read nothing. A list that was given
to a nested program before and filled since tells it what its giver has seen since. Neither can be
closed here; both are noticed where they pass by:

    reading   a scope is lowered, or waited: is a function on the stack one that a cache calls?
    giving    what can be changed among the arguments is noted, and looked at when it is used

Rules
1. Nothing is slower where nothing of the kind is there: code is looked at once, arguments only
   where they can be changed.
2. What was noticed is a ``LabelGap``, at the place where it is to be repaired; once there.
3. It is a warning: the program may know better. As an error it is its program's.
"""

from __future__ import annotations

import sys
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from functools import _lru_cache_wrapper, cached_property, lru_cache
from itertools import chain, islice
from types import CodeType, FrameType, FunctionType, MethodType
from typing import Any

from pydantic import BaseModel

from nlpu.errors import NotInRun, ProgramError
from nlpu.runtime.graph.frames import asking_place, is_own

_MOST_PARTS = 256  # of an argument that are compared
_MOST_CODES = 4_096
_OUTER = 8  # frames whose names are searched for a function
_CACHES = ("cache_info", "cache_clear", "cache")  # that a function of another library's cache has
_FIXED = (str, bytes, int, float, bool, complex, type(None))
_judged: dict[int, tuple[CodeType, bool]] = {}


class LabelGap(UserWarning):
    """A content went past the labels: what it says is on no label that it should be on."""


class Given:
    """Arguments that can be changed, as they were when a node was issued, and where that was."""

    __slots__ = ("arguments", "frame", "parts")

    def __init__(self, arguments: tuple[Any, ...]) -> None:
        self.arguments = arguments
        self.parts = parts_of(arguments)
        self.frame = asking_place()

    def changed(self) -> bool:
        """Whether they are no more what they were."""
        now = parts_of(self.arguments)
        return len(now) != len(self.parts) or not all(map(_same, now, self.parts))


def given(arguments: Iterable[Any]) -> Given | None:
    """What to look at when they are used; None where nothing of them can be changed."""
    mutable = tuple(filter(_is_mutable, arguments))
    return Given(mutable) if mutable else None


def check_given(name: str, given: Given | None, *, lowered: bool) -> None:
    """Warn if what ``name`` was given has changed, where labels could tell of that (rule 2).

    Raises ProgramError where warnings are errors.
    """
    if given is None or not lowered or not given.changed():
        return
    file, line, registry = given.frame
    message = (
        f"what {name} was given was changed after it was called: what it says since is on no "
        "label; give it a copy, or make it complete before"
    )
    try:
        warnings.warn_explicit(message, LabelGap, file, line, registry=registry)
    except LabelGap as error:
        raise ProgramError(str(error)) from None


def check_caches() -> None:
    """Warn of each function on the stack that reads for a cache (rule 2)."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        known = _judged.get(id(frame.f_code)) or _judge(frame)
        if known[1]:
            _warn_of_cache(frame)
        frame = frame.f_back


def _judge(frame: FrameType) -> tuple[CodeType, bool]:
    """Whether its code is a program's and is run for a cache; remembered."""
    if len(_judged) >= _MOST_CODES:
        _judged.clear()
    cached = not is_own(frame) and _is_cached(frame)
    found = _judged[id(frame.f_code)] = frame.f_code, cached  # the code lives as long as its id
    return found


def _warn_of_cache(frame: FrameType) -> None:
    code = frame.f_code
    message = (
        f"{code.co_name} reads Values and is cached: who gets its result from the cache is not "
        "lowered by what it read; leave the cache out, equal calls of a run are made once anyway"
    )
    registry = frame.f_globals.setdefault("__warningregistry__", {})
    warnings.warn_explicit(
        message, LabelGap, code.co_filename, code.co_firstlineno, registry=registry
    )


def read_apart(name: str, *, going: bool) -> NotInRun:
    """The error of who reads a Value where no label would tell of that (``graph``'s rule 5)."""
    if not going:
        return NotInRun("this Value is still on its way and no run is current; use run.result")
    return NotInRun(
        f"{name} was read off its program's path (on a thread, in a forked process, in a context "
        "or a callback of its own, or after its end), where no label would tell of that: read it "
        "in the program and pass the content, or pass the Value to lift(function, blocking=True); "
        "outside of the run, use run.result"
    )


# -- caches ---------------------------------------------------------------------------------------


def _is_cached(frame: FrameType) -> bool:
    """Whether a function of this code is known, by any name in sight, to a cache."""
    code, outer = frame.f_code, frame.f_back
    spaces: list[Iterable[Any]] = [frame.f_globals.values()]
    while outer is not None and len(spaces) < _OUTER:
        spaces.append(outer.f_locals.values())
        outer = outer.f_back
    spaces += [vars(kind).values() for kind in _classes(frame)]
    return any(_caches(each, code) for each in chain.from_iterable(map(list, spaces)))


def _classes(frame: FrameType) -> Iterator[type]:
    """Those that may have the frame's function: of its first argument, or by its name."""
    code = frame.f_code
    first: Any = frame.f_locals.get(code.co_varnames[0]) if code.co_varnames else None
    yield from (first if issubclass(type(first), type) else type(first)).__mro__
    space: Any = frame.f_globals
    for name in code.co_qualname.split(".")[:-1]:
        space = space.get(name)
        if not issubclass(type(space), type):
            return
        yield space
        space = vars(space)


def _caches(thing: Any, code: CodeType) -> bool:
    """Whether it is a cache around a function of this code, however deep."""
    cached = False
    for _ in range(_OUTER):
        kind = type(thing)  # not isinstance, which asks proxies what they are
        if kind in (staticmethod, classmethod, MethodType):
            thing = thing.__func__
        elif kind is cached_property:
            thing, cached = thing.func, True
        elif kind is _lru_cache_wrapper:
            thing, cached = thing.__wrapped__, True
        elif kind is FunctionType:
            if thing.__code__ is code:
                return cached
            cached = cached or any(name in vars(thing) for name in _CACHES)
            thing = vars(thing).get("__wrapped__")
        else:
            return False
    return False


# -- arguments ------------------------------------------------------------------------------------


def _is_mutable(thing: Any) -> bool:
    kind: Any = type(thing)
    return _can_change(kind) or (kind is tuple and any(map(_is_mutable, thing)))


@lru_cache(maxsize=1_024)
def _can_change(kind: Any) -> bool:
    return issubclass(kind, (list, dict, set, bytearray, deque, BaseModel)) or is_dataclass(kind)


def parts_of(content: Any) -> list[Any]:
    """The first parts of data in a fixed order, each container before what is in it."""
    return list(islice(_parts(content, set()), _MOST_PARTS))


def _parts(thing: Any, above: set[int]) -> Iterator[Any]:
    inner = _inner(thing)
    if inner is None or id(thing) in above:
        yield thing
        return
    yield type(thing)
    for each in inner:
        yield from _parts(each, above | {id(thing)})
    yield None  # its end


def _inner(thing: Any) -> Iterable[Any] | None:
    """What is in a container; None for anything else."""
    if isinstance(thing, dict):
        return chain.from_iterable(list(thing.items()))
    if isinstance(thing, bytearray):
        return [bytes(thing)]
    if isinstance(thing, list | tuple | set | frozenset | deque):
        return list(thing)
    if isinstance(thing, BaseModel):
        return list(vars(thing).values())
    if is_dataclass(thing) and not isinstance(thing, type):
        return [getattr(thing, each.name, None) for each in fields(thing)]
    return None


def _same(now: Any, then: Any) -> bool:
    return now is then or (type(now) is type(then) and isinstance(now, _FIXED) and now == then)
