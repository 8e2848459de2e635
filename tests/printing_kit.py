"""What is printed, held to the rules; and what is hard to print."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from nlpu import Value
from nlpu.printing import MOST
from nlpu.runtime import drivers
from nlpu.runtime.drivers.driver import driver

SECRET = "sk-very-secret"
LONG = "a long text " * 1000


class Broken:
    def __repr__(self) -> str:
        raise ValueError("no text")


@driver(effect="external", roles={"body": "content"})
def send(to: str, body: str) -> bool:
    """Send a letter."""
    return True


def told(thing: Any) -> str:
    """What ``repr`` says, held to the rules; so is ``print``, but for a Value: that forces."""
    text = repr(thing)
    assert len(text) <= MOST, text
    assert "\n" not in text
    for each in (text, *(() if isinstance(thing, Value) else (str(thing),))):
        assert " object at 0x" not in each
        assert SECRET not in each
    return text


def server(tmp_path: Path) -> drivers.McpServer:
    tool = {"description": "Look.", "inputSchema": {"type": "object"}}
    manifest = tmp_path / "mill.json"
    manifest.write_text(json.dumps({"look": {"effect": "read", "definition": tool}}))
    return drivers.McpServer(["python", f"--key={SECRET}"], manifest, env={"KEY": SECRET})
