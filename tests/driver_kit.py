"""A world that drivers read and change."""

from __future__ import annotations

import pytest

from nlpu.runtime.drivers.driver import Driver, driver, fencing_token, idempotency_key


class World:
    """What the drivers of these tests read and change."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []
        self.keys: list[str] = []
        self.fences: list[int] = []
        self.looks = 0
        world = self

        @driver(effect="read", roles={"what": "selector"})
        def look(what: str) -> str:
            """Look something up."""
            world.looks += 1
            return f"about {what}"

        @driver(effect="external", roles={"body": "content"})
        def send(to: str, body: str) -> bool:
            """Send a letter."""
            world.sent.append((to, body))
            world.keys.append(idempotency_key())
            world.fences.append(fencing_token())
            return True

        @driver(effect="pure")
        def add(left: int, right: int) -> int:
            """Add two numbers."""
            return left + right

        self.look: Driver = look
        self.send: Driver = send
        self.add: Driver = add


@pytest.fixture
def world() -> World:
    return World()
