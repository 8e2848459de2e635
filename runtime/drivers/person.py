"""The person who answers for what a program may do: approvals, unknown outcomes, questions.

Rules
1. An approval is of one exact call: position, driver and arguments. Another call needs another.
2. Without a person nothing is approved: the run stops, resumable, where one is needed. So it does
   where the answer is another thing than is asked for: only True approves.
3. A call is shown by ``approval``: ``print(call)`` on a line, ``approval.screen`` on a screen. Its
   ``text`` is for records.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal, Protocol

from nlpu.checks import FUNCTION, check_fields
from nlpu.printing import counted
from nlpu.runtime.drivers.approval import ExactCall

Verdict = Literal["done", "again", "stop"]


class Person(Protocol):
    """Someone who can be asked. Asked one thing at a time."""

    async def approves(self, call: ExactCall) -> bool:
        """Whether exactly this call may be made, in spite of its objections."""

    async def settles(self, call: ExactCall) -> Verdict:
        """What became of a call that was under way at a crash: "done", do it "again", or "stop"."""

    async def answers(self, question: str) -> str:
        """An answer to a program's question."""


PERSON: ContextVar[Person | None] = ContextVar("nlpu_person", default=None)
"""Who may be asked by the driver that runs in this context."""


@dataclass
class ScriptedPerson:
    """A person for tests: decides by functions, and remembers what it was asked."""

    approve: Callable[[ExactCall], bool] = lambda call: False
    settle: Callable[[ExactCall], Verdict] = lambda call: "stop"
    answer: Callable[[str], str] = lambda question: ""
    asked: list[ExactCall | str] = field(default_factory=list)

    def __post_init__(self) -> None:
        check_fields(self, dict.fromkeys(("approve", "settle", "answer"), FUNCTION))

    def __repr__(self) -> str:
        return f"ScriptedPerson(asked {counted(len(self.asked), 'time')})"

    async def approves(self, call: ExactCall) -> bool:
        self.asked.append(call)
        return self.approve(call)

    async def settles(self, call: ExactCall) -> Verdict:
        self.asked.append(call)
        return self.settle(call)

    async def answers(self, question: str) -> str:
        self.asked.append(question)
        return self.answer(question)
