"""An MCP server as a child process: its pipes, what it writes beside messages, and its end.

Theory of operation
-------------------
The protocol allows one message a line on the output and nothing else; servers print greetings,
blank lines and tracebacks all the same. What is no message is kept as *words*, with what comes on
the error output: the last of them stand in the error of a call that fails because the server did.

    a line on the output        becomes
    a message, or its end       that message
    a reply that breaks a rule  an error of that call alone, which says where it breaks
    one that is not JSON        the same, if it is on one line and one call is waiting
    a reply to no request       words
    the beginning of one        held, with what follows, until that is one; see rule 5
    blank                       nothing
    anything else               words

Rules
1. A message or reply longer than ``most_bytes`` is never held in memory: the connection is cut. So
   is that of a child which sends more in all than ``most_bytes`` for each request made of it.
2. A child is started in a session of its own, sees nothing of our environment but what a program
   needs to run, and writes nothing to the terminal.
3. A child is ended by the id it was started with, and what it has started with it: its session,
   and by a mark in their environment those that left the session (where the system shows it). One
   that does not end by itself when its input closes is killed.
4. Neither output is ever left unread: a child would wait for that.
5. JSON over several lines is read all the same: a line that begins an object and does not end it is
   held, with those behind it, as long as they go on with it.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import signal
from codecs import BOM_UTF8
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage
from mcp_types import (
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCRequest,
    JSONRPCResponse,
    RequestId,
)
from mcp_types import jsonrpc_message_adapter as messages_of
from pydantic import ValidationError
from pydantic_core import from_json

from nlpu.errors import DriverFailed
from nlpu.printing import safe
from nlpu.runtime.drivers.mcp_repairs import bent
from nlpu.runtime.drivers.mcp_words import SHOWN, UNREADABLE, Words, breach

MARK: Final = "NLPU_MCP_SERVER"  # in the environment of what is started: whose it is
_LEAST_BYTES = 1000  # that a message counts for, however short: each is work
_GRACE_S = 1.0  # for a child to end by itself; and to be seen dead when it was killed
_READ_BYTES = 65_536
_UNREAD = re.compile("[\ud800-\udfff\ufffd]")  # half characters, and what stands for no UTF-8
_BROKEN = -32700  # JSON-RPC's code of what cannot be read


class _Pipes:
    """The directions of a child, and how much it may still send."""

    def __init__(self, process: asyncio.subprocess.Process, most_bytes: int, words: Words) -> None:
        assert process.stdin and process.stdout and process.stderr  # they are pipes
        self.stdin, self.stdout, self.stderr = process.stdin, process.stdout, process.stderr
        self.most_bytes = self.left_bytes = most_bytes
        self.words, self._heard = words, asyncio.Event()
        self._asked: dict[str, RequestId] = {}  # and not answered; some servers answer in texts

    async def receive(self, into: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
        async with into:
            while True:
                line = await self._line()
                self.left_bytes -= max(len(line), _LEAST_BYTES)
                if self.left_bytes < 0:
                    raise DriverFailed(f"the server sends and sends; it was stopped{self.words}")
                if message := self._read(line):
                    await into.send(SessionMessage(message))

    def _read(self, line: bytes) -> JSONRPCMessage | None:
        """See the table above, and rule 5."""
        held, self.words.held = self.words.held, b""
        if held and (message := _message(held + line)):
            return self._meant(message, held + line)
        message = _message(line)
        if message or not _goes_on(held + line):
            self.words.add(held)
            held = b""
        if message is None and _goes_on(held + line):
            self.words.held = held + line
            if len(held + line) > self.most_bytes:
                raise self._too_long()
        elif message is None and (message := _unread(line)) is None:
            self.words.add(line)
        return self._meant(message, line)

    def _meant(self, message: JSONRPCMessage | None, text: bytes) -> JSONRPCMessage | None:
        """The message; a reply that names no request is that of the only one there is, or words."""
        if not isinstance(message, JSONRPCResponse | JSONRPCError):
            return message
        if message.id is None and len(self._asked) == 1:
            (only,) = self._asked.values()
            message = message.model_copy(update={"id": only})
        if self._asked.pop(str(message.id), None) is None:
            self.words.add(text)
            return None
        return message

    def _too_long(self) -> DriverFailed:
        return DriverFailed(f"the server began a message of more than {self.most_bytes:,} bytes")

    async def _line(self) -> bytes:
        try:
            return await self.stdout.readuntil(b"\n")
        except asyncio.LimitOverrunError:
            raise self._too_long() from None
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            self.words.add(getattr(error, "partial", b""))
            with suppress(TimeoutError):  # what it said last may just be on its way
                await asyncio.wait_for(self._heard.wait(), _GRACE_S)
            raise DriverFailed(f"the server ended, or closed its output{self.words}") from None

    async def listen(self) -> None:
        """Read the error output, to its end."""
        while text := await self.stderr.read(_READ_BYTES):
            self.words.add(text)
        self._heard.set()

    async def send(self, messages: MemoryObjectReceiveStream[SessionMessage]) -> None:
        async with messages:
            async for each in messages:
                text = each.message.model_dump_json(by_alias=True, exclude_unset=True)
                if isinstance(each.message, JSONRPCRequest):
                    self._asked[str(each.message.id)] = each.message.id
                    self.left_bytes += self.most_bytes
                with suppress(ConnectionError):  # ``receive`` sees the end too, and says so
                    self.stdin.write(text.encode() + b"\n")
                    await self.stdin.drain()


def _goes_on(text: bytes) -> bool:
    """Whether this is an object's beginning, and not its end."""
    begun = text.decode("utf-8-sig", "replace").lstrip()
    try:
        from_json(begun)
    except ValueError as error:
        return begun.startswith("{") and "EOF while" in str(error)
    return False


def _message(line: bytes) -> JSONRPCMessage | None:
    """Read a line; None is no message. See the table above."""
    try:
        return messages_of.validate_json(line.removeprefix(BOM_UTF8), by_name=False)
    except ValidationError as error:
        broke = error
    with suppress(UnicodeDecodeError, ValueError, RecursionError):
        replied = json.loads(line.decode("utf-8", "replace"))
        if isinstance(replied, dict) and (listed := _listed(replied.get("result"))):
            return JSONRPCResponse(jsonrpc="2.0", id=replied.get("id", 0), result=listed)
        if isinstance(replied, list) and len(replied) == 1:
            return _message(json.dumps(replied[0]).encode())
        if isinstance(replied, dict) and _is_reply(replied):
            why = f"{UNREADABLE}: {_why(line, broke, replied)}"
            broken = ErrorData(code=_BROKEN, message=why)
            asked = replied.get("id")
            asked = asked if type(asked) in (int, str) else None
            return JSONRPCError(jsonrpc="2.0", id=asked, error=broken)
    return None


def _unread(line: bytes) -> JSONRPCError | None:
    """An error that says why a line is not JSON, if it was meant as a reply."""
    meant = line.lstrip().startswith(b"{") and b'"jsonrpc"' in line and b'"id"' in line
    if not meant or not (b'"result"' in line or b'"error"' in line):
        return None
    try:
        from_json(line)
    except ValueError as error:
        wrote = safe(line.decode("utf-8", "replace"))[:SHOWN]
        why = f"{UNREADABLE}: it is not JSON: {error}; it wrote {wrote}"
        return JSONRPCError(jsonrpc="2.0", id=None, error=ErrorData(code=_BROKEN, message=why))
    return None


def _is_reply(said: dict[str, Any]) -> bool:
    return "method" not in said and bool(
        said.keys() & {"result", "error"} or said.keys() >= {"jsonrpc", "id"}
    )


def _listed(result: Any) -> dict[str, Any] | None:
    """A list of tools, where what cannot be read is in its tools alone: these are bent."""
    if not isinstance(result, dict) or not isinstance(result.get("tools"), list):
        return None
    bad = [tool for tool in result["tools"] if _UNREAD.search(json.dumps(tool, ensure_ascii=False))]
    tools = [bent(tool) if tool in bad else tool for tool in result["tools"]]
    return {**result, "tools": tools} if bad else None


def _why(line: bytes, broke: ValidationError, replied: dict[str, Any]) -> str:
    """What is wrong with a reply that is JSON all the same."""
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"it is not UTF-8 (byte {line[error.start]:#x} at {error.start})"
    if (first := broke.errors(include_url=False)[0])["type"] == "json_invalid":
        half = re.search("[\ud800-\udfff]", json.dumps(replied, ensure_ascii=False))
        told = f"half a character, U+{ord(half[0]):04X}, is in it" if half else first["msg"]
        return f"it is not JSON: {told}"
    return breach(broke, "JSONRPCError" if "error" in replied else "JSONRPCResponse")


@asynccontextmanager
async def child(
    command: Sequence[str], env: Mapping[str, str], most_bytes: int, words: Words
) -> AsyncIterator[Any]:
    """Give a transport to a server that is started here. Raises DriverFailed."""
    mark = secrets.token_hex(16)
    marked = {**get_default_environment(), **env, MARK: mark}
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=marked,
            start_new_session=True,
            limit=most_bytes,
        )
    except (OSError, ValueError) as error:
        raise DriverFailed(f"the server {command[0]} cannot be started: {error}") from error
    grace_s = 0.0
    try:
        pipes = _Pipes(process, most_bytes, words)
        incoming, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        write, outgoing = anyio.create_memory_object_stream[SessionMessage](0)
        async with read, write, anyio.create_task_group() as tasks:
            tasks.start_soon(pipes.receive, incoming)
            tasks.start_soon(pipes.send, outgoing)
            tasks.start_soon(pipes.listen)
            yield read, write
            grace_s = _GRACE_S
            tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await _end(process, grace_s, mark)


async def _end(process: asyncio.subprocess.Process, grace_s: float, mark: str) -> None:
    """Rule 3."""
    assert process.stdin is not None
    process.stdin.close()
    if grace_s:
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), grace_s)
    with suppress(ProcessLookupError, PermissionError):  # nobody is left
        os.killpg(process.pid, signal.SIGKILL)
    for pid in _marked(mark):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    with suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), _GRACE_S)
    # A process that left the session may hold the pipes; asyncio closes them with its transport
    # alone, which has no public name.
    process._transport.close()  # type: ignore[attr-defined]


def _marked(mark: str) -> list[int]:
    """The processes that were started with this mark; none where there is no /proc."""
    found, said = [], f"{MARK}={mark}".encode()
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # of another user, or gone
            if said in (place / "environ").read_bytes().split(b"\0"):
                found.append(int(place.name))
    return found
