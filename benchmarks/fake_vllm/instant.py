"""A server that answers at once and costs next to nothing: the other end of CPU benchmarks.

Theory of operation
-------------------
A bare asyncio protocol. It finds the end of each request by Content-Length, does not look at the
body except for ``"stream":true``, and writes prepared bytes. Its CPU is then so small that what a
benchmark on two cores measures is the client.

Rules
1. The answers are fixed: one text, ten prompt tokens, one completion token for each piece.
2. ``count`` is the number of generations asked for.
3. With ``calls_per_s`` answers come no faster than that, one after the other, as from a GPU that is
   full. Time in which nobody asked is lost.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from nlpu.testing.answers import pieces


class InstantServer:
    """``async with InstantServer() as server: server.url``."""

    def __init__(
        self,
        text: str = "Yes.",
        model: str = "fault-1",
        window: int = 4096,
        port: int = 0,
        calls_per_s: float = 0.0,
    ) -> None:
        self.count = 0
        self._apart_s = 1 / calls_per_s if calls_per_s else 0.0
        self._last_s = 0.0
        self._port = port
        self._listener: asyncio.Server | None = None
        card = {"id": model, "owned_by": "vllm", "root": model, "max_model_len": window}
        self.models = _response({"object": "list", "data": [card]})
        self.version = _response({"version": "0.32.0"})
        self.missing = _response({"detail": "Not Found"}, "404 Not Found")
        self.text = _response(_envelope(model, {"text": text}, text))
        chat = {"message": {"role": "assistant", "content": text}}
        self.chat = _response(_envelope(model, chat, text))
        self.text_stream = _stream(model, {"text": text}, text)
        self.chat_stream = _stream(model, {"delta": {"content": text}}, text)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> InstantServer:
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(
            lambda: _Connection(self), "127.0.0.1", self._port, backlog=1024
        )
        self._port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._listener is not None:
            self._listener.close()

    def give(self, transport: Any, answer: bytes, head: bytes) -> None:
        """Write an answer, now or at its time (rule 3)."""
        if not self._apart_s or head.startswith(b"GET"):
            transport.write(answer)
            return
        loop = asyncio.get_running_loop()
        self._last_s = max(self._last_s, loop.time()) + self._apart_s
        loop.call_at(self._last_s, transport.write, answer)

    def answer(self, head: bytes, body: bytes) -> bytes:
        if head.startswith(b"POST /v1/completions"):
            self.count += 1
            return self.text_stream if b'"stream":true' in body else self.text
        if head.startswith(b"POST /v1/chat/completions"):
            self.count += 1
            return self.chat_stream if b'"stream":true' in body else self.chat
        if head.startswith(b"GET /v1/models"):
            return self.models
        return self.version if head.startswith(b"GET /version") else self.missing


class _Connection(asyncio.Protocol):
    def __init__(self, server: InstantServer) -> None:
        self._server = server
        self._data = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        while (split := self._data.find(b"\r\n\r\n")) >= 0:
            head = self._data[:split]
            end = split + 4 + _length(head)
            if len(self._data) < end:
                return
            body, self._data = self._data[split + 4 : end], self._data[end:]
            self._server.give(self._transport, self._server.answer(head, body), head)


def _length(head: bytes) -> int:
    at = head.find(b"Content-Length: ")
    return int(head[at + 16 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


def _usage(text: str) -> dict[str, Any]:
    said = len(pieces(text))
    details = {"cached_tokens": 0}
    return {"prompt_tokens": 10, "completion_tokens": said, "prompt_tokens_details": details}


def _envelope(model: str, said: dict[str, Any], text: str) -> dict[str, Any]:
    choice = {"index": 0, **said, "finish_reason": "stop"}
    return {"id": "cmpl-0", "model": model, "choices": [choice], "usage": _usage(text)}


def _response(value: Any, status: str = "200 OK", kind: str = "application/json") -> bytes:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _stream(model: str, said: dict[str, Any], text: str) -> bytes:
    whole = _envelope(model, said, text)
    last = {**whole, "choices": []}
    events = b"".join(b"data: %b\n\n" % json.dumps(e).encode() for e in (whole, last))
    return _response(events + b"data: [DONE]\n\n", kind="text/event-stream")
