"""What types are called: in prompts, keys and errors."""

from __future__ import annotations

from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin


def unannotated(annotation: Any) -> Any:
    """Give the type without what ``Annotated`` adds to it."""
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def called(annotation: Any) -> str:
    """Name a type so that the name is the same in every process: no modules, no addresses."""
    kind = unannotated(annotation)
    if kind in (None, NoneType):
        return "null"
    if kind is ...:
        return "..."
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " or ".join(map(repr, parts))
    names = [called(part) for part in parts]
    if origin is list:
        return f"list of {names[0]}"
    if origin is None or not names:
        return str(getattr(kind, "__name__", None) or type(kind).__name__)
    if origin in (Union, UnionType):
        return " or ".join(names)
    return f"{getattr(origin, '__name__', 'value')}[{', '.join(names)}]"
