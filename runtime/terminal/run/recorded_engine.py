"""The engine of a replay: it knows what the run's engine could do, and makes no call.

What a processor can do decides how texts are cut and which keys calls have, so a run's header keeps
it. With that, a finished run is replayed without its server and without loading its model.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from nlpu.errors import Diverged
from nlpu.sampling import DEFAULTS
from nlpu.wire import Capabilities, Reply, Request


def remembered(known: dict[str, Any]) -> Capabilities:
    """Capabilities from a run's header."""
    kept = {
        "constraints": frozenset(known["constraints"]),
        "weaker": tuple(known.get("weaker", ())),
        "sampling": frozenset(known.get("sampling", DEFAULTS)),
    }
    return Capabilities(**{**known, **kept})


def engines_of(header: dict[str, Any]) -> Any:
    """The engine, or engines by name, that a header's record is enough for; None if it is not."""
    cans = header.get("cans") or header.get("eval", {}).get("cans", {})
    if not all(map(Recorded.serves, cans.values() or [header.get("can")])):
        return None
    return {name: Recorded(can) for name, can in cans.items()} or Recorded(header["can"])


class Recorded:
    """Implements the Engine protocol for replays."""

    def __init__(self, known: dict[str, Any]) -> None:
        self._capabilities = remembered(known)

    @staticmethod
    def serves(known: Any) -> bool:
        """Whether a header's record is enough: the tokenizer it names must still be there."""
        if not isinstance(known, dict) or "constraints" not in known:
            return False
        place = known.get("tokenizer")
        return place in (None, "chars") or (Path(place) / "tokenizer.json").is_file()

    async def capabilities(self) -> Capabilities:
        return self._capabilities

    async def send(self, request: Request, on_text: Callable[[str], None] | None = None) -> Reply:
        raise Diverged("a replay makes no call, and the journal has no result for this one")

    def cancel(self, request_id: str) -> None:
        """Nothing is under way."""

    async def close(self) -> None:
        """Nothing is open."""
