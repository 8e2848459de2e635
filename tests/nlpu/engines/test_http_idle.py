"""A server of which something comes for ever, and nothing of an answer; and slow ones that answer.

Server and engine share a loop whose clock jumps: an hour of waiting takes milliseconds.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import chain, repeat
from math import inf

import pytest
from dialect_kit import DONE, event, piece
from http_kit import ask

from nlpu import FakeClock, Usage
from nlpu.engines.http.engine import HttpEngine
from nlpu.errors import TimedOut
from nlpu.wire import Reply

Writes = Iterator[tuple[bytes, float]]  # what is written, and how long after what was before it

JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
CHUNKED, CLOSED = b"Transfer-Encoding: chunked\r\n\r\n", b"Connection: close\r\n\r\n"
CHOICE = {"index": 0, "message": {"content": "It rained."}, "finish_reason": "stop"}
BODY = json.dumps({"choices": [CHOICE], "usage": {"prompt_tokens": 1, "completion_tokens": 3}})
MODELS = json.dumps({"data": [{"id": "m", "object": "model"}]}).encode()
COMMENT, WORDS = b": keep-alive\n\n", ("It", " ", "rained", ".")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def at_once(*data: bytes) -> Writes:
    return ((each, 0.0) for each in data)


def slowly(data: bytes, gap_s: float, chunked: bool = True) -> Writes:
    """Byte by byte."""
    single = (data[at : at + 1] for at in range(len(data)))
    return ((chunk(each) if chunked else each, gap_s) for each in single)


def whole() -> bytes:
    return b"%bContent-Length: %d\r\n\r\n%b" % (JSON, len(BODY), BODY.encode())


def words(gap_s: float, between: bytes = b"") -> Writes:
    """A stream whose tokens are that far from each other, with something between."""
    yield STREAM + CHUNKED, 0.0
    parts = [*map(piece, WORDS), piece(finish="stop"), event({"choices": [], "usage": {}}), DONE]
    for each in parts:
        if between:
            yield from repeat((chunk(between), gap_s / 5), 4)
            yield chunk(each), gap_s / 5
        else:
            yield chunk(each), gap_s
    yield chunk(b""), 0.0


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


@asynccontextmanager
async def serving(writes: Writes) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A server that answers POSTs so; its URL, and whether its client went away."""
    gone, talks = asyncio.Event(), list[asyncio.Task[None] | None]()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(asyncio.current_task())
        asked = await reader.readuntil(b"\r\n\r\n")
        if asked.startswith(b"GET"):
            writer.write(JSON + b"Content-Length: %d\r\n" % len(MODELS) + CLOSED + MODELS)
        else:
            left = asyncio.ensure_future(reader.read())  # the body, then nothing until it leaves
            for data, gap_s in writes:
                await asyncio.wait((left,), timeout=gap_s)
                if left.done():
                    gone.set()
                    break
                writer.write(data)
            left.cancel()
        await closed(writer)

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", gone
        await asyncio.gather(*filter(None, talks))


def asked(writes: Writes, *, stream: bool, **settings: float) -> tuple[Reply | TimedOut, float]:
    """What came of it, and how many seconds it took."""

    async def test() -> tuple[Reply | TimedOut, float]:
        async with serving(writes) as (url, gone):
            engine = HttpEngine(url, **settings)  # type: ignore[arg-type]
            await engine.capabilities()
            begun_s = asyncio.get_running_loop().time()
            try:
                outcome: Reply | TimedOut = await engine.send(
                    ask(), (lambda _: None) if stream else None
                )
            except TimedOut as error:
                outcome = error
                await gone.wait()  # it is told that nobody waits any more
            took_s = asyncio.get_running_loop().time() - begun_s
            await engine.close()
            return outcome, took_s

    with asyncio.Runner(loop_factory=FakeClock().new_loop) as runner:
        return runner.run(test())


NOTHING = {  # a byte, or a few, each 50 seconds
    "a status line without an end": (False, slowly(b"HTTP/1.1 200 " + b"O" * 8000, 50, False)),
    "a header without an end": (
        False,
        chain(at_once(JSON), slowly(b"X: " + b"y" * 999, 50, False)),
    ),
    "headers without an end": (True, chain(at_once(STREAM), repeat((b"X: y\r\n", 50.0)))),
    "announcements": (True, repeat((b"HTTP/1.1 103 Early Hints\r\n\r\n", 50.0))),
    "blanks before JSON": (False, chain(at_once(JSON + CHUNKED), repeat((chunk(b" \n"), 50.0)))),
    "blanks, no length": (False, chain(at_once(JSON + CLOSED), repeat((b"\n", 50.0)))),
    "blanks after JSON": (
        False,
        chain(at_once(JSON + CHUNKED, chunk(BODY.encode())), repeat((chunk(b" "), 50.0))),
    ),
    "a chunk's size without an end": (
        False,
        chain(at_once(JSON + CHUNKED, b"5;x="), repeat((b"y", 50.0))),
    ),
    "comments": (True, chain(at_once(STREAM + CHUNKED), repeat((chunk(COMMENT), 50.0)))),
    "a comment": (True, chain(at_once(STREAM + CHUNKED), slowly(b":" + b"." * 999, 50))),
    "fields that are no data": (
        True,
        chain(at_once(STREAM + CHUNKED), slowly(b"event: ping\nid: 1\nretry: 9\n\n" * 9, 50)),
    ),
    "comments after a token": (
        True,
        chain(at_once(STREAM + CHUNKED, chunk(piece("It"))), repeat((chunk(COMMENT), 50.0))),
    ),
}


@pytest.mark.parametrize("name", NOTHING)
def test_what_carries_nothing_ends_as_the_hosts_fault(name: str) -> None:
    stream, writes = NOTHING[name]
    error, took_s = asked(writes, stream=stream)
    assert isinstance(error, TimedOut) and error.transient
    assert "has sent nothing of an answer for 600 s, only what keeps a connection open" in str(
        error
    )
    assert 600 < took_s <= 800


SLOW = {
    "tokens": (True, words(500)),
    "tokens with nothing between them": (True, words(5000)),
    "tokens with comments between them": (True, words(500, COMMENT)),
    "a token byte by byte": (
        True,
        chain(
            at_once(STREAM + CHUNKED),
            slowly(b"".join([*map(piece, WORDS), piece(finish="stop"), DONE]), 50),
            at_once(chunk(b"")),
        ),
    ),
    "JSON byte by byte": (
        False,
        chain(at_once(JSON + CHUNKED), slowly(BODY.encode(), 50), at_once(chunk(b""))),
    ),
    "JSON after some blanks": (
        False,
        chain(
            at_once(JSON + CHUNKED),
            repeat((chunk(b"\n"), 50.0), 11),
            at_once(chunk(BODY.encode()), chunk(b"")),
        ),
    ),
    "a server that thinks": (False, iter([(whole(), 5000.0)])),
    "a server that thinks after its head": (
        False,
        iter([(JSON + CHUNKED, 0.0), (chunk(BODY.encode()) + chunk(b""), 5000.0)]),
    ),
}


@pytest.mark.parametrize("name", SLOW)
def test_a_slow_answer_is_one(name: str) -> None:
    stream, writes = SLOW[name]
    reply, took_s = asked(writes, stream=stream)
    assert isinstance(reply, Reply) and reply.text == "It rained."
    assert took_s > 500


@pytest.mark.parametrize(("idle_s", "ends"), [(60.0, True), (3000.0, False), (inf, False)])
def test_how_long_it_may_be_so_is_a_setting(idle_s: float, ends: bool) -> None:
    kept = repeat((chunk(COMMENT), 20.0), 100)
    writes = chain(at_once(STREAM + CHUNKED), kept, list(words(1.0))[1:])
    outcome, took_s = asked(writes, stream=True, idle_s=idle_s)
    assert isinstance(outcome, TimedOut) is ends
    assert took_s < 120 if ends else took_s > 2000
    with pytest.raises(Usage, match="idle_s must be more than 0 seconds"):
        HttpEngine("http://127.0.0.1:9", idle_s=0)


def test_a_connection_is_watched_anew_for_each_answer() -> None:
    """That a head came slowly is over with it."""

    async def test() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            talks.append(asyncio.current_task())
            while head := await reader.read(1) and await reader.readuntil(b"\r\n\r\n"):
                if head.startswith(b"ET"):
                    writer.write(JSON + b"Content-Length: %d\r\n\r\n" % len(MODELS) + MODELS)
                else:
                    size = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                    await reader.readexactly(size)
                    writer.write(whole()[:9])
                    await asyncio.sleep(2)
                    writer.write(whole()[9:])
            await closed(writer)

        talks: list[asyncio.Task[None] | None] = []
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            engine = HttpEngine(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", idle_s=3)
            await engine.capabilities()
            for _ in range(4):
                assert (await engine.send(ask())).text == "It rained."
            await engine.close()
            await asyncio.gather(*filter(None, talks))
        assert len(talks) == 1

    with asyncio.Runner(loop_factory=FakeClock().new_loop) as runner:
        runner.run(test())
