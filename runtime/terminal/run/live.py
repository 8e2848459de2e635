"""The live display of a run: a bar of calls and a line of rates, on stderr.

Theory of operation
-------------------
The main thread waits for the run and calls ``update`` with its counts a few times a second. On a
terminal that redraws two lines, which vanish at the end; elsewhere a plain line is written now and
then, so that a log of a long run shows life.

Rates are over the last seconds: a run's speed is that of now, not the mean since its start.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from nlpu.runtime.scheduler.budget import TOKENS_PER_NLOP
from nlpu.runtime.terminal.notice import notice
from nlpu.runtime.terminal.output import console, say
from nlpu.runtime.terminal.stdout import results
from nlpu.runtime.terminal.stopped import Watch

if TYPE_CHECKING:
    from nlpu.runtime.graph.usage import Counts

_WINDOW_S = 20.0
_FIRST_S, _MOST_S = 10.0, 60.0  # between plain lines: each wait is twice the one before


class Rates:
    """Generated tokens a second over the last seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def tokens_per_s(self, tokens: int) -> float:
        """Note the total of now and give the rate."""
        now = time.monotonic()
        self._seen.append((now, tokens))
        while now - self._seen[0][0] > _WINDOW_S:
            self._seen.popleft()
        then, before = self._seen[0]
        return (tokens - before) / (now - then) if now - then > 0.2 else 0.0


class Plain:
    """For stderr that is no terminal: a short line now and then."""

    def __init__(self) -> None:
        self._rates = Rates()
        self._every_s = _FIRST_S
        self._next_s = time.monotonic() + _FIRST_S
        self._watch = Watch()

    def __enter__(self) -> Self:
        self._watch.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._watch.__exit__()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Out of the way, while the person is asked something."""
        yield

    def note(self, text: str) -> None:
        """Say what is being done before the first call."""

    def update(self, counts: Counts, pieces: int) -> None:
        """A line, if it is time for one. ``pieces``: tokens of calls under way, if followed."""
        tokens = max(counts.completion_tokens, pieces)
        rate = self._rates.tokens_per_s(tokens)
        now = time.monotonic()
        if not counts.issued:  # a program that asks nobody has its own words
            self._next_s = now + self._every_s
        elif now >= self._next_s:
            self._every_s = min(2 * self._every_s, _MOST_S)
            self._next_s = now + self._every_s  # not a line for each that a suspended process owes
            say(f"{_done(counts)} of {counts.issued} calls, {_line(counts, tokens, rate)}")


class Silent(Plain):
    """Shows nothing but what it waits for: the terminal is to show the answer itself."""

    def note(self, text: str) -> None:
        notice(text)

    def update(self, counts: Counts, pieces: int) -> None:
        pass


class Bars(Plain):
    """For a terminal: a progress bar and a live line."""

    def __init__(self) -> None:
        super().__init__()
        from rich.live import Live
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.progress import TimeElapsedColumn as Elapsed

        out = console(to_stderr=True)
        self._bars = Progress(
            BarColumn(bar_width=40),
            MofNCompleteColumn(),
            TextColumn("calls"),
            Elapsed(),
            console=out,
        )
        self._task = self._bars.add_task("", total=None)
        self._live = Live(console=out, transient=True, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()  # it takes what others say to stderr above what it draws
        return super().__enter__()

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self._live.stop()

    @contextmanager
    def aside(self) -> Iterator[None]:
        self._live.stop()
        try:
            yield
        finally:
            self._live.start()

    def note(self, text: str) -> None:
        self._draw(text)

    def update(self, counts: Counts, pieces: int) -> None:
        tokens = max(counts.completion_tokens, pieces)
        rate = self._rates.tokens_per_s(tokens)
        if not counts.issued:  # as above
            self._live.update("", refresh=True)
            return
        self._bars.update(self._task, completed=_done(counts), total=counts.issued or None)
        self._draw(_line(counts, tokens, rate))

    def _draw(self, line: str) -> None:
        from rich.console import Group
        from rich.text import Text

        self._live.update(Group(self._bars, Text(line)), refresh=True)


def display(shows: bool) -> Plain:
    """The display that fits where stderr goes. ``shows``: the answer is shown on stdout."""
    if not sys.stderr.isatty() or console(to_stderr=True).is_dumb_terminal:
        return Plain()
    return Silent() if shows and results().isatty() else Bars()


def _done(counts: Counts) -> int:
    return min(counts.calls + counts.reused + counts.shared, counts.issued)


def _line(counts: Counts, tokens: int, tokens_per_s: float) -> str:
    nlops = tokens_per_s / TOKENS_PER_NLOP
    waiting = f", {counts.waiting} waiting" if counts.waiting else ""
    return (
        f"{tokens:,} tokens so far, {nlops:.2f} nlops/s, {tokens_per_s:.0f} tokens/s, "
        f"{counts.in_flight} call{'s' * (counts.in_flight != 1)} in flight{waiting}"
    )
