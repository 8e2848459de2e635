"""``nlpu runs prune``: journals that are old are removed, whole, each with all its runs.

Rules
1. What is owned is kept, and what is damaged or no journal at all: that is for a person to look at.
2. How old a journal is says its last change.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import Any, Final

from nlpu.errors import RunBusy, Usage
from nlpu.runtime.fleet.items import has_undone
from nlpu.runtime.journal.places import journals, remove, size_of
from nlpu.runtime.journal.where import Place, Where
from nlpu.runtime.terminal.show.archive import changed_s, owner
from nlpu.runtime.terminal.show.run_folder import last_of_each, skimmed

_SECONDS: Final = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_ODD: Final = ("damaged", "unreadable", "no journal")


@dataclass
class Pruned:
    """What became of the journals of a place. Sizes in bytes."""

    removed: list[str] = field(default_factory=list)
    freed: int = 0
    kept: dict[str, int] = field(default_factory=dict)  # why, and how many
    left: int = 0


def age_s(text: str) -> float:
    """Read an age: 30d, 12h, 90m. Raises Usage."""
    found = re.fullmatch(r"(\d{1,6})([dhms])", text)
    if found is None:
        raise Usage(f"--older takes an age such as 30d, 12h or 90m, not {text!r:.40}")
    return float(found[1]) * _SECONDS[found[2]]


def prune(place: Place, older_s: float, keep_failed: bool, dry: bool) -> Pruned:
    """Remove what changed last longer ago (or with ``dry`` say what that is). Raises Usage."""
    told, before_s = Pruned(), time.time() - older_s
    for where in journals(place):
        size, why = size_of(where), _kept(where, before_s, keep_failed)
        if not why and not dry:
            try:
                remove(where)
            except RunBusy:  # since it was looked at
                why = "running"
        if why:
            told.kept[why] = told.kept.get(why, 0) + 1
            told.left += size
        else:
            told.removed.append(where.stem)
            told.freed += size
    return told


def _kept(where: Where, before_s: float, keep_failed: bool) -> str:
    """Say why a journal is kept; "" for one that goes."""
    if owner(where):
        return "running"
    if changed_s(where) >= before_s:
        return "newer"
    statuses = {each.record.status for each in last_of_each(skimmed(where))}
    odd = statuses.intersection(_ODD)
    if odd:
        return odd.pop()
    return "not done" if keep_failed and (statuses - {"done"} or has_undone(where)) else ""


def told_of(pruned: Pruned, dry: bool) -> dict[str, Any]:
    """Give what is printed."""
    return {
        "would_remove" if dry else "removed": pruned.removed,
        "bytes": pruned.freed,
        "kept": pruned.kept,
        "bytes_kept": pruned.left,
    }
