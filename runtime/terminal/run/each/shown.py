"""How a batch goes, on stderr: how many have an outcome, when it will end, what it will cost."""

from __future__ import annotations

import sys
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from nlpu.printing import counted, figure
from nlpu.runtime.scheduler.budget import Amount
from nlpu.runtime.terminal.output import console, say
from nlpu.runtime.terminal.stopped import Watch

if TYPE_CHECKING:
    from nlpu.runtime.fleet.plan import Counts

_WINDOW_S = 30.0
_PLAIN_EVERY_S = 10.0
_DRAWN_EVERY_S = 0.2


class Shown:
    """While entered, shows how it goes: a line that is drawn anew, or one now and then."""

    def __init__(self, total: int | None) -> None:
        self._total = total
        self._seen: deque[tuple[float, int]] = deque()
        self._drawn = sys.stderr.isatty() and not console(to_stderr=True).is_dumb_terminal
        self._every_s = _DRAWN_EVERY_S if self._drawn else _PLAIN_EVERY_S
        self._next_s = time.monotonic() + self._every_s
        self._watch = Watch(self._aside)

    def __enter__(self) -> Self:
        self._watch.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._watch.__exit__()
        self._erase()

    def _aside(self, text: str) -> None:
        self._erase()
        say(text)

    def _erase(self) -> None:
        if self._drawn:
            with suppress(OSError):
                sys.stderr.write("\r\x1b[K")
                sys.stderr.flush()

    def update(self, counts: Counts) -> None:
        """Show it, if it is time to."""
        now = time.monotonic()
        self._seen.append((now, counts.ended - counts.known))
        while now - self._seen[0][0] > _WINDOW_S:
            self._seen.popleft()
        if now < self._next_s:
            return
        self._next_s = now + self._every_s
        line = self.line(counts)
        if not self._drawn:
            say(line)
            return
        width = console(to_stderr=True).width - 1
        sys.stderr.write(f"\r\x1b[K{line[:width]}")
        sys.stderr.flush()

    def line(self, counts: Counts) -> str:
        """How far it is, in one line."""
        (then, before), (now, ended) = self._seen[0], self._seen[-1]
        rate = (ended - before) / (now - then) if now - then > 0.2 else 0.0
        total = self._total
        of = (
            f"{counts.ended:,} inputs" if total is None else f"{counts.ended:,} of {total:,} inputs"
        )
        parts = [of, *([f"{counts.failed:,} failed"] if counts.failed else [])]
        parts.append(f"{counts.in_flight:,} under way, {figure(rate)}/s")
        if total is not None and rate and total > counts.ended:
            parts.append(f"about {_time((total - counts.ended) / rate)} left")
        parts.append(cost_of(counts.cost))
        if total and 0 < counts.ended < total:
            scale = total / counts.ended
            calls, nlops, tokens, money = (each * scale for each in counts.cost)
            whole = Amount(round(calls), nlops, round(tokens), money)
            parts.append(f"about {cost_of(whole)} in all")
        return "; ".join(parts)


def cost_of(cost: Amount) -> str:
    """What calls took, in words."""
    money = f", money {figure(cost.money)}" if cost.money else ""
    return f"{counted(round(cost.calls), 'call')}, {figure(cost.nlops)} nlops{money}"


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return (
        f"{minutes} min" if minutes > 9 else f"{minutes} min {rest} s" if minutes else f"{rest} s"
    )
