"""The person at the terminal: approves of drivers' calls, and says what became of lost ones.

Theory of operation
-------------------
Programs run on the computer's thread, the terminal belongs to the main thread. So a question is put
into a queue, and the main thread, which waits for the run anyway, asks it between two looks at the
counts and hands the answer back.

Rules
1. What decides is shown whole and nothing is obeyed (``runtime.drivers.approval``); what of the
   contents does not fit the screen is counted, and "w" shows it.
2. Only "y" or "yes" approves; everything else, and the end of input, does not. What was typed
   before the call was shown is not about it.
3. Without a terminal on both ends there is no person, and a run that needs one stops.
"""

from __future__ import annotations

import asyncio
import sys
import termios
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from queue import Empty, SimpleQueue
from shutil import get_terminal_size
from typing import Any, NamedTuple

from nlpu.errors import NeedsPerson
from nlpu.printing import shown
from nlpu.runtime.drivers.approval import ExactCall, quoted, screen, wish
from nlpu.runtime.drivers.person import Verdict
from nlpu.runtime.terminal.output import say

_VERDICTS: dict[str, Verdict] = {"d": "done", "a": "again", "s": "stop"}


class _Question(NamedTuple):
    put: Callable[[], Any]
    answer: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


class TerminalPerson:
    """Implements the Person protocol. ``attend`` is the main thread's part."""

    def __init__(self) -> None:
        self._questions: SimpleQueue[_Question] = SimpleQueue()

    async def approves(self, call: ExactCall) -> bool:
        return bool(await self._asked(lambda: _approves(call)))

    async def settles(self, call: ExactCall) -> Verdict:
        verdict: Verdict = await self._asked(lambda: _settles(call))
        return verdict

    async def answers(self, question: str) -> str:
        told = ["the program asks:", *quoted(question, get_terminal_size().columns), "> "]
        text = str(await self._asked(lambda: _read("\n".join(told))))
        if not text:  # the end of input: not even a line end was typed
            raise NeedsPerson(
                f"{shown(question, 200)} was not answered; resume the run to be asked"
            )
        return text

    async def _asked(self, put: Callable[[], Any]) -> Any:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        self._questions.put(_Question(put, answer, loop))
        return await answer

    def attend(self, aside: Callable[[], AbstractContextManager[None]]) -> None:
        """Ask what waits to be asked, with the display out of the way."""
        while True:
            try:
                question = self._questions.get_nowait()
            except Empty:
                return
            with aside():
                answer = question.put()
            question.loop.call_soon_threadsafe(_hand, question.answer, answer)


def person() -> TerminalPerson | None:
    """Whoever sits there (rule 3)."""
    return TerminalPerson() if sys.stdin.isatty() and sys.stderr.isatty() else None


def _hand(future: asyncio.Future[Any], answer: Any) -> None:
    if not future.done():  # the run may have been stopped meanwhile
        future.set_result(answer)


def _approves(call: ExactCall) -> bool:
    return _about(call, wish(call), "approve of exactly this call? [y/N] ") in ("y", "yes")


def _settles(call: ExactCall) -> Verdict:
    head = (
        f"{call.driver.name}, at {call.position}, was under way when the run ended before; "
        "nobody knows whether it was done: look, and say"
    )
    answer = _about(call, head, "[d]one already, do it [a]gain, or [s]top here? [s] ")
    return _VERDICTS.get(answer[:1], "stop")


def _about(call: ExactCall, head: str, question: str) -> str:
    """What is answered about a call that was seen as far as the person wants."""
    while True:
        columns, lines = get_terminal_size()
        say("\n" + "\n".join(screen(call, head, columns, lines, cut=" (w shows it all)")))
        answer = chosen(question)
        if answer != "w":
            return answer
        say("\n" + "\n".join(screen(call, head, columns)))


def chosen(prompt: str) -> str:
    """What is typed from now on (rule 2), in small letters."""
    with suppress(termios.error):  # the terminal is gone: the end of input
        termios.tcflush(sys.stdin, termios.TCIFLUSH)
    return _read(prompt).strip().lower()


def _read(prompt: str) -> str:
    sys.stderr.write(prompt)
    sys.stderr.flush()
    return sys.stdin.readline()  # "" at the end of input: no approval
