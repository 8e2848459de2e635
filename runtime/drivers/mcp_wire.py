"""How messages reach an MCP server over HTTP and come back, on loopback.

Theory of operation
-------------------
The session and both protocols are the official SDK's. What stands here is what a server that means
harm could abuse in it: how much is read before anybody looks at it, and who is asked.
``loopback`` gives a transport as the SDK takes one, whose end is an error that says why; so does
``mcp_child.child`` for a server that is started here.

Rules
1. A message or reply longer than ``most_bytes`` is never held in memory: the connection is cut.
2. Nothing but loopback is asked: no proxy, no redirect to elsewhere, nothing compressed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from mcp.client.streamable_http import streamable_http_client

from nlpu.errors import DriverFailed

_CONNECT_S = 10.0


@asynccontextmanager
async def loopback(url: str, most_bytes: int) -> AsyncIterator[Any]:
    """A transport to a server that listens on this machine."""
    timeout = httpx2.Timeout(_CONNECT_S, read=None)  # calls have deadlines of their own
    async with (
        httpx2.AsyncClient(
            transport=_Capped(most_bytes),
            timeout=timeout,
            trust_env=False,
            headers={"accept-encoding": "identity"},
        ) as client,
        streamable_http_client(url, http_client=client, max_sse_event_size=most_bytes) as streams,
    ):
        yield streams


class _Capped(httpx2.AsyncHTTPTransport):
    """Rule 1 for HTTP, whatever a reply says of its own length."""

    def __init__(self, most_bytes: int) -> None:
        super().__init__(trust_env=False)
        self._most_bytes = most_bytes

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        if "content-encoding" in response.headers:  # a few bytes can become any number
            await response.aclose()
            raise DriverFailed("the server compressed its reply, which it was asked not to do")
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _CappedStream(response.stream, self._most_bytes)
        return response


class _CappedStream(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, most_bytes: int) -> None:
        self._stream, self._most_bytes = stream, most_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self._most_bytes
        async for part in self._stream:
            left -= len(part)
            if left < 0:
                raise DriverFailed(f"the server's reply is longer than {self._most_bytes:,} bytes")
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()
