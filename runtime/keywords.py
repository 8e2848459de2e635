"""Keywords of a run that a program may have as parameters, too: budget, stream, gate and so on.

Rules
1. A keyword that is both, of a parameter that was not given by position, is refused: one of the two
   would be dropped. By position a program's parameters may have any name.
2. Who starts programs of others (the terminal) gives all by position that can be: ``arranged``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from nlpu.errors import Usage


def check_settings(program: Callable[..., Any], args: Any, settings: Mapping[str, Any]) -> None:
    """Raise Usage for a setting that was given and may have been meant for the program (rule 1).

    settings: what was given by name; None, False and an unlimited budget were not.
    """
    given = [name for name, content in settings.items() if content]
    try:
        names = inspect.signature(program).parameters if given else {}
        taken = inspect.signature(program).bind_partial(*args).arguments if given else {}
    except (TypeError, ValueError):
        return  # it will fail by itself, or has no signature
    for name in given:
        if name in names and name not in taken:
            called = getattr(program, "__name__", "the program")
            raise Usage(
                f"{name}= is a setting of the run, and {called} has a parameter of that name: give "
                f"the parameter by position, or bind it: lambda: {called}({name}=...)"
            )


def arranged(program: Callable[..., Any], args: Any, kwargs: Any) -> tuple[Any, Any]:
    """Give the same arguments by position where they can be, however they were given."""
    try:
        bound = inspect.signature(program).bind(*args, **kwargs)
    except (TypeError, ValueError):
        return args, kwargs  # it will fail by itself, or has no signature
    return bound.args, bound.kwargs
