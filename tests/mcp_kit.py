"""Manifests of the hostile MCP server, a server over HTTP, and what became of a call."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kit import echo

from nlpu.errors import DriverFailed

HERE = Path(__file__).parent
HONEST = [sys.executable, str(HERE / "mcp_server.py")]
HOSTILE = [sys.executable, str(HERE / "mcp_hostile.py")]
TEXT = {"type": "object", "properties": {"what": {"type": "string"}}, "required": ["what"]}


def declared(path: Path, **tools: Any) -> Path:
    """A manifest of tools that only look."""
    path.write_text(json.dumps({name: {"effect": "read", **tool} for name, tool in tools.items()}))
    return path


def look(output: Any = None, said: str = "Look a thing up.", **more: Any) -> dict[str, Any]:
    """The hostile server's only tool, as it was when it was pinned."""
    definition = {"description": said, "inputSchema": TEXT, "outputSchema": output}
    return {"roles": {"what": "selector"}, "definition": definition, **more}


def caught(tool: Any, *args: Any) -> str:
    """What became of a call, seen from a program that goes on after it."""
    right = echo("right")
    try:
        return f"gave {tool(*args).value}"
    except DriverFailed as error:
        return f"{right}: {error}"


@contextmanager
def over_http(command: list[str]) -> Iterator[str]:
    """A server's URL, as long as it runs."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/mcp"
        finally:
            process.kill()
