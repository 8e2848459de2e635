"""What a setting must be, and the one sentence that says so where it is not.

Rules
1. A setting is refused where it is given. An engine or a loop that gets it would fail in words of
   its own, or wait for ever (a NaN is neither before nor behind any other time).
2. A number is an int or a float, finite as a float, and no bool. Only a time may be without end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from math import inf
from os import PathLike
from sys import float_info
from typing import Any

from nlpu.errors import NlpuError, Usage
from nlpu.label import Label
from nlpu.printing import shown

Fit = tuple[Callable[[Any], bool], str]  # whether a value fits, and what does


def is_number(value: Any) -> bool:
    """Whether it is a number that can be computed with (rule 2)."""
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return plain and bool(abs(value) <= float_info.max)


def _is_time(value: Any) -> bool:
    return bool((is_number(value) and value >= 0) or value == inf)


COUNT: Fit = (lambda n: type(n) is int and n > 0, "a whole number more than 0")
WHOLE: Fit = (lambda n: type(n) is int and n >= 0, "a whole number, 0 or more")
AMOUNT: Fit = (lambda x: is_number(x) and x >= 0, "a number, 0 or more")
RATE: Fit = (lambda x: is_number(x) and x > 0, "a number more than 0")
SECONDS: Fit = (lambda s: is_number(s) or s == inf, "seconds")
TIME: Fit = (_is_time, "seconds, 0 or more (inf: for ever)")
DEADLINE: Fit = (lambda s: _is_time(s) and s > 0, "more than 0 seconds (inf: none)")
ANY_TEXT: Fit = (lambda text: isinstance(text, str), "a text")
TEXT: Fit = (lambda text: isinstance(text, str) and text != "", "a text that is not empty")


def _are_texts(names: Any) -> bool:
    return isinstance(names, list | tuple | Set) and all(isinstance(name, str) for name in names)


def _is_table(table: Any) -> bool:
    return isinstance(table, Mapping) and _are_texts([*table, *table.values()])


NAMES: Fit = (_are_texts, "a list or set of names")
TABLE: Fit = (_is_table, "a dict of texts by name")
FLAG: Fit = (lambda flag: type(flag) is bool, "True or False")
LABEL: Fit = (lambda label: isinstance(label, Label), "a nlpu.Label")
FUNCTION: Fit = (callable, "a function")
PATH: Fit = (
    lambda path: isinstance(path, PathLike) or (isinstance(path, str) and path != ""),
    "a path, as text or a Path",
)


def takes(take: Callable[[], object], *refusals: type[Exception]) -> bool:
    """Tell whether what reads something takes it: whether none of these is raised."""
    try:
        take()
    except refusals:
        return False
    return True


def maybe(fit: Fit) -> Fit:
    """Make the test that lets None through, too."""
    fits, wanted = fit
    return lambda value: value is None or fits(value), f"{wanted}, or None"


def check(
    what: str, given: Mapping[str, Any], fits: Mapping[str, Fit], error: type[NlpuError] = Usage
) -> None:
    """Raise ``error`` for the first of the settings that is not what it must be."""
    for name, (is_fit, wanted) in fits.items():
        if not is_fit(given[name]):
            said = "what it is" if name == "api_key" else shown(given[name], 80)  # it is a secret
            raise error(f"{what}: {name} must be {wanted}, not {said}")


def check_fields(record: Any, fits: Mapping[str, Fit]) -> None:
    """Raise Usage for a field of a record that is not what it must be."""
    given = {name: getattr(record, name) for name in fits}
    check(type(record).__name__, given, fits)
