"""A loopback server that says recorded bytes, and counts what it is asked."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

JSON = "application/json"
SSE = "text/event-stream"
USAGE = {"prompt_tokens": 10, "completion_tokens": 5}


class Recorded(NamedTuple):
    """One answer as it was recorded."""

    body: bytes
    status: int = 200
    kind: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


def said(value: Any, status: int = 200, **headers: str) -> Recorded:
    """A JSON answer; underscores in the names of headers are hyphens."""
    named = tuple((name.replace("_", "-"), text) for name, text in headers.items())
    return Recorded(json.dumps(value).encode(), status, headers=named)


def chat(text: Any, finish: Any = "stop", **more: Any) -> Recorded:
    """A whole completion; ``more`` are further fields of its message."""
    message = {"role": "assistant", "content": text, **more}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return said({"object": "chat.completion", "choices": [choice], "usage": USAGE})


def piece(text: Any = None, finish: Any = None, index: int = 0, **more: Any) -> bytes:
    """One event of a stream."""
    delta = {**({} if text is None else {"content": text}), **more}
    return event({"choices": [{"index": index, "delta": delta, "finish_reason": finish}]})


def event(value: Any) -> bytes:
    return b"data: %b\n\n" % json.dumps(value).encode()


def stream(*events: bytes, kind: str = SSE) -> Recorded:
    return Recorded(b"".join(events), kind=kind)


DONE = b"data: [DONE]\n\n"


class Served:
    """Where it is, and the bodies and paths of what it was asked."""

    def __init__(self, answers: Sequence[Recorded], models: Any, path: str) -> None:
        self.answers, self.models, self.path = list(answers), models, path
        self.asked: list[dict[str, Any]] = []
        self.url = ""


@contextmanager
def serving(*answers: Recorded, models: Any = None, path: str = "/v1") -> Iterator[Served]:
    """Serve the answers in turn, the last for ever, to POSTs below the path."""
    listed = {"data": [{"id": "m", "object": "model"}]} if models is None else models
    served = Served(answers, listed, path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(served))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_address[1]}{path.removesuffix('/v1')}"
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(served: Served) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            """Say nothing."""

        def say(self, answer: Recorded) -> None:
            self.send_response(answer.status)
            for name, text in (("Content-Type", answer.kind), *answer.headers):
                self.send_header(name, text)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def do_GET(self) -> None:
            listed = self.path == f"{served.path}/models"
            self.say(said(served.models) if listed else said({"detail": "Not Found"}, 404))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path != f"{served.path}/chat/completions":
                self.say(said({"detail": "Not Found"}, 404))
                return
            served.asked.append(json.loads(body))
            self.say(served.answers[min(len(served.asked), len(served.answers)) - 1])

    return Handler


@contextmanager
def endless(head: bytes, chunk: bytes) -> Iterator[tuple[str, list[int]]]:
    """A server whose answer to anything has no end: (url, [bytes it could write])."""
    written = [0]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        try:
            while chunk:
                writer.write(chunk)
                await writer.drain()
                written[0] += len(chunk)
            await reader.read()
        except OSError:
            pass
        finally:
            writer.close()

    async def listen(up: threading.Event, state: dict[str, Any]) -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        state |= {"port": server.sockets[0].getsockname()[1], "end": asyncio.Event()}
        state["loop"] = asyncio.get_running_loop()
        up.set()
        await state["end"].wait()
        server.close()

    up, state = threading.Event(), dict[str, Any]()
    thread = threading.Thread(target=lambda: asyncio.run(listen(up, state)))
    thread.start()
    up.wait()
    try:
        yield f"http://127.0.0.1:{state['port']}", written
    finally:
        state["loop"].call_soon_threadsafe(state["end"].set)
        thread.join()
