"""Binding: what was given, by the names of the places it goes to.

Ops and drivers declare their places, and some come from other programs' schemas: their names need
not be Python's, so ``inspect.Signature`` cannot hold them. Programs are bound by that.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from nlpu.errors import BadOperand


def by_name(
    who: str,
    places: Mapping[str, str],
    args: tuple[Any, ...],
    named: Mapping[str, Any],
    optional: Container[str] = (),
    what: str = "operands",
) -> dict[str, Any]:
    """Bind positional and named arguments; ``places`` says how each name is shown.

    Raises BadOperand for one too many, one without a place, one that is missing.
    """
    wanted = f"{who} takes ({', '.join(places.values())})"
    if len(args) > len(places):
        raise BadOperand(f"{wanted}, got {len(args)} {what}")
    given = dict(zip(places, args, strict=False))
    for name, content in named.items():
        if name in given or name not in places:
            raise BadOperand(f"{wanted}; {name!r} does not fit there")
        given[name] = content
    missing = [name for name in places if name not in given and name not in optional]
    if missing:
        raise BadOperand(f"{wanted}; {missing[0]!r} is missing")
    return given
