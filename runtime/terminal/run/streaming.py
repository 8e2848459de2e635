"""Following what a run generates: to count it, and to show the text of its one call on stdout.

Theory of operation
-------------------
Pieces come as the model writes them, and each is about a token. The result is there at the end, and
may be a little less: a text at its limit is cut at its last whole sentence. A person sees every
piece at once. A pipe must get exactly the result's bytes, so there only whole sentences are passed
on: any later cut is behind them.

Rules
1. In a pipe, what was passed on is a beginning of the result, or stderr says that it is not.
2. Nothing more is passed on from a second attempt or a second call on: their pieces start anew.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from nlpu.runtime.handle import Run
from nlpu.runtime.terminal.output import say, write
from nlpu.runtime.terminal.stdout import results
from nlpu.sentences import last_end


class Streamer:
    """Counts pieces, and passes on what can be passed on already if it ``shows`` them."""

    def __init__(self, shows: bool, put: Callable[[str], None] = write) -> None:
        self.shows = shows
        self._put = put
        self.pieces = 0
        self.shown = ""
        self._text = ""
        self._all = results().isatty()
        self._open = shows  # somebody reads stdout
        self._thread: threading.Thread | None = None

    def start(self, run: Run) -> None:
        """Follow the run, on a thread, until it has ended."""
        self._thread = threading.Thread(target=self._follow, args=(run,), daemon=True)
        self._thread.start()

    def _follow(self, run: Run) -> None:
        for piece in run.stream():
            self.pieces += 1
            if run.counts.attempts <= 1:  # rule 2
                self.take(piece)

    def take(self, piece: str) -> None:
        """Pass on what can be passed on with this piece."""
        if self._open:
            self._text = (self._text + piece).lstrip()
            end = None if self._all else last_end(self._text, followed=True)
            self._show(self._text[:end])

    def _show(self, text: str) -> None:
        if len(text) > len(self.shown):
            try:
                self._put(text[len(self.shown) :])
            except OSError:
                self._open = False
            self.shown = text

    def _wait(self) -> None:
        if self._thread is not None:
            self._thread.join()

    def finish(self, result: str) -> None:
        """The rest of the result."""
        self._wait()
        if result.startswith(self.shown):
            self._put(result[len(self.shown) :] + "\n")
        elif self._all and self.shown.startswith(result):
            self._put("\n")
            say("(the last, unfinished sentence is not part of the result)")
        else:
            self._put("\n\n" + result + "\n")
            say("the answer was begun anew after a fault; the result is the text after the gap")

    def abandon(self) -> None:
        """The run ended without a result."""
        self._wait()
        if self.shown:
            self._put("\n")
