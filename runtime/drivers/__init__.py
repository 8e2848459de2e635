"""Drivers: the outside world, behind declared effects and labels. These are built in."""

from typing import TYPE_CHECKING

from nlpu.lazy import door

if TYPE_CHECKING:
    from nlpu.runtime.drivers.arithmetic import calculate
    from nlpu.runtime.drivers.ask_person import ask
    from nlpu.runtime.drivers.clocks import clock
    from nlpu.runtime.drivers.driver import fencing_token, idempotency_key
    from nlpu.runtime.drivers.folder import files
    from nlpu.runtime.drivers.mcp import McpServer, pin
    from nlpu.runtime.drivers.recall import search

_HOMES = {
    "McpServer": "nlpu.runtime.drivers.mcp",
    "ask": "nlpu.runtime.drivers.ask_person",
    "calculate": "nlpu.runtime.drivers.arithmetic",
    "clock": "nlpu.runtime.drivers.clocks",
    "fencing_token": "nlpu.runtime.drivers.driver",
    "files": "nlpu.runtime.drivers.folder",
    "idempotency_key": "nlpu.runtime.drivers.driver",
    "pin": "nlpu.runtime.drivers.mcp",
    "search": "nlpu.runtime.drivers.recall",
}

__all__ = [
    "McpServer",
    "ask",
    "calculate",
    "clock",
    "fencing_token",
    "files",
    "idempotency_key",
    "pin",
    "search",
]

__getattr__ = door(__name__, _HOMES)
