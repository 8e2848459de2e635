"""What a server sends that the protocol does not know, bent so that the rest can be used.

Theory of operation
-------------------
The SDK refuses a whole list of tools for one that is not of the protocol's form, and a whole reply
for one block of a kind that it does not know. So such a tool becomes one whose schema holds what it
was under ``BENT``: the manifest pins it, and sets it aside by name. Such a block becomes a link
that names its kind, as what is no text is named anyhow. What is no reply and no question (how far
a call is, words for a log) is heard by nobody here; the SDK would log a traceback of an odd one.

Rules
1. A reply that the SDK takes is handed on as it is.
2. Of a block that is of a known kind, and broken, nothing is made: its call fails.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from mcp_types import JSONRPCNotification, JSONRPCResponse
from mcp_types.methods import SERVER_RESULTS, validate_server_result

from nlpu.checks import takes
from nlpu.runtime.drivers.mcp_manifest import BENT

_LISTING = "tools/list"
_KINDS = ("text", "image", "audio", "resource", "resource_link")
_USUAL = "2025-11-25"  # of the protocol, where a server has not said one


@asynccontextmanager
async def bending(transport: AbstractAsyncContextManager[Any]) -> AsyncIterator[Any]:
    """The transport, whose messages are handed on as the SDK takes them."""
    async with transport as (read, *rest):
        yield (_Bending(read), *rest)


class _Bending:
    """The reading end of a transport, as far as the SDK uses it."""

    def __init__(self, read: Any) -> None:
        self._read, self._version = read, _USUAL

    async def __aenter__(self) -> _Bending:
        await self._read.__aenter__()
        return self

    async def __aexit__(self, *why: Any) -> None:
        await self._read.__aexit__(*why)

    async def __aiter__(self) -> AsyncIterator[Any]:
        async for each in self._read:
            message = getattr(each, "message", None)
            if isinstance(message, JSONRPCResponse):
                self._bend(message.result)
            if not isinstance(message, JSONRPCNotification):
                yield each

    def __getattr__(self, name: str) -> Any:
        return getattr(self._read, name)

    def _bend(self, result: dict[str, Any]) -> None:
        self._version = result.get("protocolVersion", self._version)
        if isinstance(tools := result.get("tools"), list):
            if not self._fits(result):
                result["tools"] = [
                    tool if self._fits({**result, "tools": [tool]}) else bent(tool)
                    for tool in tools
                ]
        elif isinstance(blocks := result.get("content"), list):
            result["content"] = [_named(block) for block in blocks]
        elif "structuredContent" in result and blocks is None:  # it says all that there is
            result["content"] = []

    def _fits(self, page: dict[str, Any]) -> bool:
        version = self._version if (_LISTING, self._version) in SERVER_RESULTS else _USUAL
        return takes(lambda: validate_server_result(_LISTING, version, page), ValueError)


def bent(tool: Any) -> dict[str, Any]:
    """What a tool is handed on as that is not of the protocol's form."""
    name = tool.get("name") if isinstance(tool, dict) else ""
    plain = name.encode("utf-8", "replace").decode() if isinstance(name, str) else ""
    return {"name": plain, "inputSchema": {"type": "object", BENT: ascii(tool)}}


def _named(block: Any) -> Any:
    kind = block.get("type") if isinstance(block, dict) else None
    if not isinstance(kind, str) or kind in _KINDS:
        return block
    return {"type": "resource_link", "uri": "unknown:", "name": kind}
