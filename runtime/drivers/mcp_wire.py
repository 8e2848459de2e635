"""How messages reach an MCP server and come back: a child process's pipes, or HTTP on loopback.

Theory of operation
-------------------
The session and both protocols are the official SDK's. What stands here is what a server that means
harm could abuse in it: how much is read before anybody looks at it, and what becomes of a process.
Both functions give a transport as the SDK takes one, whose end is an error that says why.

Rules
1. A message or reply longer than ``most_bytes`` is never held in memory: the connection is cut. So
   is that of a child which sends more in all than ``most_bytes`` for each request made of it.
2. A child is started in a session of its own, sees nothing of our environment but what a program
   needs to run, and writes nothing to the terminal.
3. A child is ended by the id it was started with, and what it has started with it. One that does
   not end by itself when its input closes is killed.
4. Over HTTP nothing but loopback is asked: no proxy, no redirect to elsewhere, nothing compressed.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import httpx2
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client.stdio import get_default_environment
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCRequest, jsonrpc_message_adapter

from nlpu.errors import DriverFailed

_CONNECT_S = 10.0
_LEAST_BYTES = 1000  # that a message counts for, however short: each is work
_GRACE_S = 1.0  # for a child to end by itself; and to be seen dead when it was killed


class _Pipes:
    """The two directions of a child, and how much it may still send."""

    def __init__(self, process: asyncio.subprocess.Process, most_bytes: int) -> None:
        assert process.stdin is not None and process.stdout is not None  # they are pipes
        self.stdin, self.stdout, self.most_bytes = process.stdin, process.stdout, most_bytes
        self.left_bytes = most_bytes

    async def receive(self, into: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
        async with into:
            while True:
                line = await self._line()
                self.left_bytes -= max(len(line), _LEAST_BYTES)
                if self.left_bytes < 0:
                    raise DriverFailed("the server sends and sends; it was stopped")
                try:
                    message = jsonrpc_message_adapter.validate_json(line, by_name=False)
                except ValueError:
                    raise DriverFailed("the server wrote what is no message") from None
                await into.send(SessionMessage(message))

    async def _line(self) -> bytes:
        try:
            return await self.stdout.readuntil(b"\n")
        except asyncio.LimitOverrunError:
            raise DriverFailed(
                f"the server began a message of more than {self.most_bytes:,} bytes"
            ) from None
        except (asyncio.IncompleteReadError, ConnectionError):
            raise DriverFailed("the server ended, or closed its output") from None

    async def send(self, messages: MemoryObjectReceiveStream[SessionMessage]) -> None:
        async with messages:
            async for each in messages:
                text = each.message.model_dump_json(by_alias=True, exclude_unset=True)
                if isinstance(each.message, JSONRPCRequest):
                    self.left_bytes += self.most_bytes
                with suppress(ConnectionError):  # ``receive`` sees the end too, and says so
                    self.stdin.write(text.encode() + b"\n")
                    await self.stdin.drain()


@asynccontextmanager
async def child(
    command: Sequence[str], env: Mapping[str, str], most_bytes: int
) -> AsyncIterator[Any]:
    """A transport to a server that is started here. Raises DriverFailed."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL, env=get_default_environment() | dict(env),
            start_new_session=True, limit=most_bytes,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        raise DriverFailed(f"the server {command[0]} cannot be started: {error}") from error
    grace_s = 0.0
    try:
        pipes = _Pipes(process, most_bytes)
        incoming, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        write, outgoing = anyio.create_memory_object_stream[SessionMessage](0)
        async with read, write, anyio.create_task_group() as tasks:
            tasks.start_soon(pipes.receive, incoming)
            tasks.start_soon(pipes.send, outgoing)
            yield read, write
            grace_s = _GRACE_S
            tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await _end(process, grace_s)


async def _end(process: asyncio.subprocess.Process, grace_s: float) -> None:
    """Rule 3."""
    assert process.stdin is not None
    process.stdin.close()
    if grace_s:
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), grace_s)
    with suppress(ProcessLookupError, PermissionError):  # nobody is left
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), _GRACE_S)
    # A process that left the session may hold the pipes; asyncio closes them with its transport
    # alone, which has no public name.
    process._transport.close()  # type: ignore[attr-defined]


@asynccontextmanager
async def loopback(url: str, most_bytes: int) -> AsyncIterator[Any]:
    """A transport to a server that listens on this machine."""
    timeout = httpx2.Timeout(_CONNECT_S, read=None)  # calls have deadlines of their own
    async with (
        httpx2.AsyncClient(
            transport=_Capped(most_bytes), timeout=timeout, trust_env=False,
            headers={"accept-encoding": "identity"},
        ) as client,
        streamable_http_client(
            url, http_client=client, max_sse_event_size=most_bytes
        ) as streams,
    ):  # fmt: skip
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
