"""Drivers: the outside world, behind declared effects and labels. These are built in."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtime.drivers.arithmetic import calculate
    from runtime.drivers.common import ask, clock, search
    from runtime.drivers.driver import idempotency_key
    from runtime.drivers.folder import files
    from runtime.drivers.mcp import McpServer, pin

_HOMES = {
    "McpServer": "mcp",
    "ask": "common",
    "calculate": "arithmetic",
    "clock": "common",
    "files": "folder",
    "idempotency_key": "driver",
    "pin": "mcp",
    "search": "common",
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


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
