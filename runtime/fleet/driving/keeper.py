"""As many workers as asked for, while there is work: who dies is followed by another.

Rules
1. Workers of a former driver that are still at work are counted.
2. They are begun again while the batch gets on; when they die and nothing comes of it, it ends.
3. Why a process ended is noted before its runs are given up for it.
4. An error that the next worker would meet, too, ends the batch, and is told as it is.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, Protocol

from nlpu.errors import HostError, Interrupted, NlpuError, ProgramError, failure_of

if TYPE_CHECKING:
    from nlpu.runtime.fleet.driving.desk import Desk

_DEATHS: Final = 4  # of each worker in a row, without any outcome


class Hands(Protocol):
    """What begins workers, and knows them."""

    def start(self, name: str, seal: str) -> None:
        """Begin one. ``seal``: of what it is to do."""

    def ended(self) -> dict[str, str]:
        """Give those that have ended since: how, where that was not in order."""

    @property
    def live(self) -> set[str]:
        """Those that have not."""

    def where(self, name: str) -> str:
        """Say where its log is."""

    def close(self, wait_s: float) -> None:
        """Wait for them to end; who does not is ended."""


class Keeper:
    """Keeps up so many workers. ``deaths``: since the last outcome."""

    def __init__(self, hands: Hands, workers: int, seal: str) -> None:
        self.hands, self.deaths = hands, 0
        self._workers, self._seal, self._named = workers, seal, 0

    def keep_up(self, desk: Desk) -> NlpuError | None:
        """Begin what is missing; gives why that is of no use (rules 2, 4)."""
        deadly = desk.deadly()  # first: by now their workers have ended, too
        ended = self.hands.ended()
        if any(ended.values()):
            desk.bury()
        rows = desk.hands()
        said = {each.name: each.said for each in rows}
        for name, how in ended.items():
            if how:
                desk.note_death(name, how)  # rule 3
                self.deaths += 1
                error = self._why(name, said.get(name, ""), how)
                if error is not None:
                    return error
        desk.give_up(deadly)
        mine = self.hands.live
        others = sum(each.alive and each.name not in mine for each in rows)  # rule 1
        self._named = max(self._named, len(rows))
        for _ in range(self._workers - others - len(mine)):
            self._named += 1
            self.hands.start(str(self._named), self._seal)
        return None

    def _why(self, name: str, said: str, how: str) -> NlpuError | None:
        error = failure_of(*json.loads(said)) if said else None
        if isinstance(error, ProgramError) and not isinstance(error, Interrupted):
            return error
        if self.deaths <= _DEATHS * self._workers:
            return None
        where = self.hands.where(name)
        return error or HostError(
            "workers die, one after the other, and nothing comes of it: the last ended with "
            f"{how}; see {where}"
        )
