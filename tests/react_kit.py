"""Tools of an agent, what a scripted model says to it, and the trace that comes of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from kit import execute

from nlpu.programs.react import Trace, act
from nlpu.runtime.drivers.driver import Driver, driver
from nlpu.testing.scripted import Scripted


def ask(tool: str, **arguments: Any) -> dict[str, Any]:
    return {"tool": tool, "arguments": arguments}


def step(*actions: dict[str, Any], thought: str = "I look.") -> str:
    return json.dumps({"thought": thought, "next": list(actions)})


def answer(text: str) -> str:
    return json.dumps({"thought": "That is enough.", "next": {"answer": text}})


class Tools:
    """A few drivers, and what they were asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

        @driver(effect="read", roles={"what": "content", "most": "selector"})
        def look(what: str, most: int = 3) -> str:
            """Look something up."""
            self.asked.append((what, most))
            return f"{what} are old"

        @driver(effect="pure")
        def add(left: int, right: int) -> int:
            """Add two numbers."""
            if left > 1000:
                raise ValueError("that is too much")
            self.asked.append((left, right))
            return left + right

        @driver(effect="external", roles={"body": "content"})
        def send(to: str, body: str) -> bool:
            """Send a letter."""
            self.asked.append((to, body))
            return True

        self.look: Driver = look
        self.add: Driver = add
        self.send: Driver = send

    @property
    def all(self) -> list[Driver]:
        return [self.look, self.add, self.send]


@pytest.fixture
def tools() -> Tools:
    return Tools()


def traced(script: Any, *args: Any, **options: Any) -> Trace:
    run = execute(act, *args, engine=Scripted(script), **options)
    assert run.error is None, run.error
    assert isinstance(run.result, Trace)
    return run.result
