"""What became of one input of a batch, and the line of results that it is.

Rules
1. A line depends on the input and on the answers alone, not on when it was made: a batch that was
   killed gives the same lines.
2. A program that reads what came of an input, in whatever form, has seen it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from nlpu.errors import ProgramError
from nlpu.label import UNTRUSTED, Label
from nlpu.printing import first_line, one_line
from nlpu.runtime.fleet.share import NOTHING
from nlpu.runtime.scheduler.budget import Amount
from nlpu.types.json_text import compact
from nlpu.value import in_sight, see

Ended = Literal["done", "failed", "needs_person"]


@dataclass(frozen=True, slots=True, repr=False)
class Item:
    """The outcome of one input.

    Attributes:
        index: Which input it is, from 0 on.
        id: What the input calls itself: its ``id``, or its file's name in a folder.
        status: ``done``, ``failed`` or ``needs_person``.
        run: The name of its run, to look at: ``nlpu show RUN``.
        cost: What its answered calls took, in all its lives.
        label: Who vouches for its result.
    """

    index: int
    id: str
    status: Ended
    _error: BaseException | None
    run: str
    cost: Amount = NOTHING
    label: Label = UNTRUSTED
    _text: str = ""
    _why: tuple[str, ...] = ()
    _content: Any = None

    def __repr__(self) -> str:
        named = f"input {self.index + 1}" + (f" ({one_line(self.id, 40)})" if self.id else "")
        if not in_sight(self.label):
            return f"{named}: {self.status}, not looked at ({one_line(str(self.label), 60)})"
        told = ": ".join(self._why) or first_line(self._content)
        return one_line(f"{named}: {self.status}, {told}")

    @property
    def result(self) -> Any:
        """The program's result; raises the error if it has none."""
        if self.error is not None:
            raise self.error
        return self._content

    @property
    def error(self) -> BaseException | None:
        """Why it has no result."""
        see(self.label)
        return self._error

    @property
    def why(self) -> tuple[str, ...]:
        """The kind and the message of its error; empty if it has a result."""
        see(self.label)
        return self._why

    @property
    def text(self) -> str:
        """Its result as JSON; "" if it has none."""
        see(self.label)
        return self._text

    def line(self) -> str:
        """Write it as one line of JSON (rule 1). Raises ProgramError for a result that has none."""
        if self.text.endswith(" "):
            raise ProgramError(f"the result of input {self.index + 1} has no JSON form")
        cost = {name: round(each, 9) for name, each in self.cost._asdict().items()}
        error = dict(zip(("type", "message"), self.why, strict=False)) or None
        text = self.text or "null"
        if "NaN" in text or "Infinity" in text:  # which JSON has not
            text = compact(json.loads(text, parse_constant=str))
        named = f'"id":{compact(self.id)},' if self.id else ""
        return (
            f'{{"index":{self.index},{named}"status":"{self.status}","result":{text}'
            f',"error":{compact(error)},"run":{compact(self.run)},"cost":{compact(cost)}}}'
        )
