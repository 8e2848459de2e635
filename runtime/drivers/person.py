"""The person who answers for what a program may do: approvals, unknown outcomes, questions.

Rules
1. An approval is of one exact call: position, driver and arguments. Another call needs another.
2. Without a person nothing is approved: the run stops, resumable, where one is needed.
3. A call is shown by ``approval``: ``print(call)`` on a line, ``approval.screen`` on a screen. Its
   ``text`` is for records.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from hashlib import blake2b
from types import MappingProxyType
from typing import Literal, NamedTuple, Protocol

from nlpu.checks import FUNCTION, check_fields
from nlpu.label import UNTRUSTED, Label
from nlpu.printing import counted, one_line
from nlpu.runtime.drivers.approval import brief
from nlpu.runtime.drivers.driver import Driver
from nlpu.runtime.drivers.policy import Objection

Verdict = Literal["done", "again", "stop"]


class ExactCall(NamedTuple):
    """A driver's call as a person sees it, and as it would be made. ``arguments`` is JSON."""

    position: str
    driver: Driver
    arguments: str
    objections: tuple[Objection, ...] = ()
    labels: Mapping[str, Label] = MappingProxyType({})  # of its arguments
    scope: Label = UNTRUSTED  # of the program, where it was issued

    @property
    def digest(self) -> str:
        """What an approval is bound to."""
        whole = b"\0".join([self.position.encode(), self.driver.digest, self.arguments.encode()])
        return blake2b(whole, digest_size=12).hexdigest()

    @property
    def text(self) -> str:
        """On one line, raw and whole."""
        return f"{self.driver.name}({self.arguments})"

    def __str__(self) -> str:
        return brief(self)

    def __repr__(self) -> str:
        why = "".join(f"; {each.why}" for each in self.objections)
        return one_line(f"ExactCall({self.position}: {one_line(str(self), 100)}{why})")


class Person(Protocol):
    """Someone who can be asked. Asked one thing at a time."""

    async def approves(self, call: ExactCall) -> bool:
        """Whether exactly this call may be made, in spite of its objections."""
        ...

    async def settles(self, call: ExactCall) -> Verdict:
        """What became of a call that was under way at a crash: "done", do it "again", or "stop"."""
        ...

    async def answers(self, question: str) -> str:
        """An answer to a program's question."""
        ...


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
