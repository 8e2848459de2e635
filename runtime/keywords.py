"""Keywords of a computer and of a run: what they must be. Of a run's (budget, stream, gate and so
on) some may be parameters of its program, too.

Rules
1. A keyword that is both, of a parameter that was not given by position, is refused: one of the two
   would be dropped. By position a program's parameters may have any name.
2. Who starts programs of others (the terminal, a batch) gives all by position that can be, defaults
   whose parameters are named as settings, too: ``arranged``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from nlpu.checks import ANY_TEXT, FLAG, FUNCTION, PATH, WHOLE, Fit, check, maybe
from nlpu.errors import Usage
from nlpu.printing import shown
from nlpu.processor import Limits, Price
from nlpu.reliability import ASKED
from nlpu.runtime.journal.edits import Edits
from nlpu.runtime.journal.where import Database
from nlpu.runtime.scheduler.breakpoints import Gate
from nlpu.runtime.scheduler.budget import UNLIMITED, Budget


def check_settings(program: Callable[..., Any], args: Any, /, **settings: Any) -> None:
    """Raise Usage for what is no setting, or may have been meant for the program (rule 1).

    settings: all of them; None, False and ``UNLIMITED`` were not given.
    """
    _check_names(program, args, settings)
    everything = {"program": program, **settings}
    check("a run", everything, {name: _FITS[name] for name in everything})


def _check_names(program: Callable[..., Any], args: Any, settings: Mapping[str, Any]) -> None:
    given = [name for name, content in settings.items() if content and content is not UNLIMITED]
    try:
        signature = inspect.signature(program) if given else inspect.Signature()
        both = [name for name in given if name in signature.parameters]
        taken = signature.bind_partial(*args).arguments if both else {}
    except (TypeError, ValueError):
        return  # it will fail by itself, or has no signature
    for name in [name for name in both if name not in taken]:
        called = getattr(program, "__name__", "the program")
        raise Usage(
            f"{name}= is a setting of the run, and {called} has a parameter of that name: give "
            f"the parameter by position, or bind it: lambda: {called}({name}=...)"
        )


def _is_estimates(given: Any) -> bool:
    return isinstance(given, Mapping) and all(map(WHOLE[0], given.values()))


def _of(kind: Any, wanted: str) -> Fit:
    return lambda value: isinstance(value, kind), wanted


_FITS: dict[str, Fit] = {
    "program": FUNCTION,
    "budget": _of(Budget, "a nlpu.Budget(calls=..., nlops=...)"),
    "estimates": maybe((_is_estimates, "whole numbers of tokens, 0 or more, by names of ops")),
    "header": maybe(_of(Mapping, "a dict")),
    "edits": _of(Edits, "a nlpu.runtime.journal.edits.Edits"),
    "gate": maybe(_of(Gate, "a nlpu.runtime.scheduler.breakpoints.Gate")),
    "stream": FLAG,
    "changed": FLAG,
    "replay": FLAG,
    "reliability": ASKED,
}
SETTINGS = _FITS.keys() - {"program"}
_PARTS: dict[str, Fit] = {
    "api_key": maybe(ANY_TEXT),
    "run_dir": maybe(PATH),
    "store": maybe((lambda store: isinstance(store, Database) or PATH[0](store), PATH[1])),
    "durable": FLAG,
    "clock": maybe((lambda clock: hasattr(clock, "new_loop"), "a clock, as nlpu.FakeClock is one")),
    "seed": (lambda seed: type(seed) is int, "a whole number"),
    "person": maybe(
        (lambda one: hasattr(one, "approves"), "a person, as nlpu.testing.ScriptedPerson is one")
    ),
    "dry": FLAG,
}


def check_parts(engines: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Raise Usage for a part that a computer cannot have, and for one of no processor of its."""
    check("Computer", given, _PARTS)
    for name, engine in engines.items():
        is_engine = hasattr(engine, "capabilities") and not isinstance(engine, type)
        if not isinstance(name, str) or not is_engine:
            raise Usage(
                f"Computer: a processor is a name and an engine (local, scripted, a server's URL, "
                f"an Engine), not {shown(name)} and {shown(engine)}"
            )
    for part, kind in (("prices", Price), ("limits", Limits)):
        by_name = given[part]
        if isinstance(by_name, Limits) or (part == "prices" and by_name is None):
            continue
        known, wanted = (
            ", ".join(engines),
            f"{part} must be a dict of nlpu.{kind.__name__} by processor",
        )
        if not isinstance(by_name, Mapping):
            raise Usage(f"Computer: {wanted} ({known}), not {shown(by_name)}")
        for name, each in by_name.items():
            if name not in engines or not isinstance(each, kind):
                raise Usage(f"Computer: {wanted} ({known}), not {shown({name: each}, 100)}")


def arranged(program: Callable[..., Any], args: Any, kwargs: Any) -> tuple[Any, Any]:
    """Give the same arguments by position where they can be (rule 2). Raises Usage."""
    if not kwargs and _is_simple(program):  # a fleet begins many
        return tuple(args), {}
    with suppress(TypeError, ValueError):  # it will fail by itself, or has no signature
        signature = inspect.signature(program)
        bound = signature.bind(*args, **kwargs)
        if SETTINGS & signature.parameters.keys():
            bound.apply_defaults()
        args, kwargs = bound.args, bound.kwargs
    if taken := SETTINGS & kwargs.keys():
        raise Usage(
            f"{min(taken)!r} reaches {getattr(program, '__name__', 'the program')} by name alone, "
            "and is a setting of a run: name it otherwise, or let it be given by position"
        )
    return args, kwargs


def _is_simple(program: Callable[..., Any]) -> bool:
    """Whether it is a function that has no name of a setting, seen without its signature."""
    own = inspect.isfunction(program) and not hasattr(program, "__wrapped__")
    return own and SETTINGS.isdisjoint(program.__code__.co_varnames)
