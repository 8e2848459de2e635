"""An op of a file as the program that is one call of it."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable
from typing import Any

from nlpu.ops.op import Op


def asking(op: Op[Any], module: types.ModuleType, name: str) -> Callable[..., Any]:
    """Make the program that is one call of an op."""

    def program(*operands: Any, **named: Any) -> Any:
        return op(*operands, **named)

    kinds = {place.name: place.type.annotation for place in op.operands}
    places = [inspect.Parameter(each, inspect.Parameter.POSITIONAL_OR_KEYWORD) for each in kinds]
    program.__signature__ = inspect.Signature(places)  # type: ignore[attr-defined]
    program.__name__ = program.__qualname__ = name
    program.__module__, program.__doc__ = module.__name__, op.text
    program.__annotations__ = kinds
    file = str(module.__file__)  # whose changes are told, as those of any program's file are
    program.__code__ = program.__code__.replace(co_filename=file)
    return program
