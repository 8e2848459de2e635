"""A REPL in a process of its own, on a model that does not end or tries to drive the terminal.

python repl_worker.py RUN_DIR [RUN]
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from nlpu.runtime import Budget
from nlpu.runtime.terminal.repl.command import converse
from nlpu.runtime.terminal.repl.console import Console, Settings
from nlpu.testing.scripted import Scripted, see
from nlpu.wire import Reply, Request

ATTACK = "\x1b[2J\x1b[31mred \x1b]8;;http://x\x1b\\link\x1b]52;c;aGk=\x07 \x9b1A back\u202eward"


class Rude(Scripted):
    """Hangs in an answer, or never ends one, where it is told to; else it attacks."""

    async def send(self, request: Request, on_text: Callable[[str], None] | None = None) -> Reply:
        line = see(request).chat[-1].text
        if "Hang" in line and on_text is not None:
            on_text("It begins so ")
            await asyncio.sleep(1e6)
        while "Drip" in line and on_text is not None:
            on_text("drop ")
            await asyncio.sleep(0.02)
        return await super().send(request, on_text)


if __name__ == "__main__":
    place, *resumed = sys.argv[1:]
    settings = Settings(Rude(ATTACK), None, Path(place), Budget(), is_terminal=True)
    console = Console(settings)
    console.begin(*resumed)
    converse(console)
    console.close()
