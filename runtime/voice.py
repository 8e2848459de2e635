"""A voice: the system text and the convention that a computer's user asked for, if any.

Both are frozen in the header of a run that begins. A run that goes on, or comes from another, keeps
those; who asks for others by name is told, and not passed over in silence.

Rules
1. None is nobody's word, and fits every run; ``system=""`` asks for no system text.
2. What cannot be sent is refused here, before a run begins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nlpu.errors import BadOperand, Usage
from nlpu.lifting import check_text
from nlpu.printing import one_line
from nlpu.prompt.convention import DEFAULT, Convention, checked, read


@dataclass(frozen=True, slots=True)
class Voice:
    """What was asked for. Raises Usage (rule 2)."""

    system: str | None = None
    convention: Convention | None = None

    def __post_init__(self) -> None:
        if self.convention is not None:
            checked(self.convention)
        if self.system is None:
            return
        if not isinstance(self.system, str):
            raise Usage(f"system must be a text, not {self.system!r:.40}")
        try:
            check_text(self.system, "the system text")
        except BadOperand as error:
            raise Usage(str(error)) from None

    def facts(self) -> dict[str, str]:
        """Give what the header of a run that begins says of it."""
        return {
            "system": self.system or "",
            "convention": checked(DEFAULT if self.convention is None else self.convention),
        }

    def check(self, run: str, header: Mapping[str, Any]) -> None:
        """Raise Usage where a run that goes on was begun with another."""
        begun = header.get("system", "")
        if self.system is not None and self.system != begun:
            raise _other(run, "system", _quoted(begun), _quoted(self.system))
        known = read(header.get("convention", ""))
        if self.convention is not None and self.convention != known:
            was, is_now = known.version, self.convention.version
            raise _other(run, "convention", f"convention {was!r}", f"{is_now!r}")


def _quoted(text: str) -> str:
    return f"the system text {one_line(text, 40)!r}" if text else "no system text"


def _other(run: str, setting: str, was: str, is_now: str) -> Usage:
    return Usage(
        f"the run {run} was begun with {was} and keeps it; it cannot go on with {is_now}: "
        f"leave {setting} (--{setting}) away, or begin a new run"
    )
