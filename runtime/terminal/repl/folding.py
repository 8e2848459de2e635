"""Results on a terminal, with lines broken between words. A word is shown once it is whole."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable

from rich.cells import cell_len

from nlpu.runtime.terminal.output import safe, write
from nlpu.runtime.terminal.stdout import results

_BEHIND_BLANKS = re.compile(r"(?<=\s)")


def writer() -> Callable[[str], None]:
    """What writes results: folded on a terminal; a pipe gets a result's own bytes."""
    return Folding() if results().isatty() else write


class Folding:
    """Takes a text in pieces, of which the last ends with a blank or a line end."""

    def __init__(self) -> None:
        self._column = 0
        self._word = ""

    def __call__(self, piece: str) -> None:
        *words, self._word = _BEHIND_BLANKS.split(self._word + piece)
        for word in words:
            self._put(word)

    def _put(self, word: str) -> None:
        width = shutil.get_terminal_size().columns  # it may have changed since
        bare = word.rstrip()
        if self._column and bare and self._column + cell_len(safe(bare)) > width:
            write("\n")
            self._column = 0
        self._column += cell_len(safe(bare))
        if word.endswith("\n"):
            self._column = 0
        elif self._column < width:
            self._column += 1
        else:  # a blank there would be at the start of the next line
            word = bare
        write(word)
