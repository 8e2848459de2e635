"""Records that do not change once they are made, and how they print."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from nlpu.printing import one_line


class Frozen(BaseModel):
    """A record that does not change once it is made; it has a JSON form that reads back."""

    model_config = ConfigDict(frozen=True)


class Printed(Frozen):
    """A record that prints as a sentence; in a list, as its name around that sentence."""

    def __repr__(self) -> str:
        return one_line(f"{type(self).__name__}({self})")
