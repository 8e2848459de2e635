"""What is said where none of several servers is there: of each, why."""

from __future__ import annotations

from collections.abc import Sequence

from nlpu.errors import HostError, failure_of


def none_of(found: Sequence[BaseException]) -> BaseException:
    """Make one error of all, of the first one's kind; trying again helps if it may help for one."""
    first, *others = found
    if not others:
        return first
    every = " ".join(dict.fromkeys(map(str, found)))
    whole = failure_of(type(first).__name__, f"None of {len(found)} is there. {every}", "host")
    if isinstance(whole, HostError):
        whole.transient = any(isinstance(each, HostError) and each.transient for each in found)
    return whole
