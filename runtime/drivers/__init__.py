"""Drivers: the outside world, behind declared effects and labels. These are built in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlpu.lazy import door

if TYPE_CHECKING:
    from runtime.drivers.arithmetic import calculate
    from runtime.drivers.asking import ask
    from runtime.drivers.clocks import clock
    from runtime.drivers.driver import idempotency_key
    from runtime.drivers.folder import files
    from runtime.drivers.mcp import McpServer, pin
    from runtime.drivers.recall import search

_HOMES = {
    "McpServer": "runtime.drivers.mcp",
    "ask": "runtime.drivers.asking",
    "calculate": "runtime.drivers.arithmetic",
    "clock": "runtime.drivers.clocks",
    "files": "runtime.drivers.folder",
    "idempotency_key": "runtime.drivers.driver",
    "pin": "runtime.drivers.mcp",
    "search": "runtime.drivers.recall",
}

__all__ = [
    "McpServer",
    "ask",
    "calculate",
    "clock",
    "files",
    "idempotency_key",
    "pin",
    "search",
]

__getattr__ = door(__name__, _HOMES)
