"""Sixty odd forms of HTTP, as rows of raw bytes: what a server answers, and what becomes of it."""

from __future__ import annotations

import asyncio
import gzip

import pytest
from http_kit import ask, run

from nlpu.engines.http.engine import HttpEngine
from nlpu.errors import NlpuError
from nlpu.printing import safe

OK = b"HTTP/1.1 200 OK\r\n"
BODY = (
    b'{"choices":[{"message":{"role":"assistant","content":"Hello."},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":10,"completion_tokens":2}}'
)
MODELS = b'{"data":[{"id":"m","max_model_len":4096}]}'
CLOSE = b"Connection: close"
JSON = b"Content-Type: application/json\r\n"
SSE = b"Content-Type: text/event-stream\r\n"
EVENTS = (
    b'data: {"choices":[{"index":0,"delta":{"content":"Hello."},"finish_reason":"stop"}]}\n\n'
    b"data: [DONE]\n\n"
)


def sized(body: bytes = BODY, *headers: bytes, status: bytes = OK, kind: bytes = JSON) -> bytes:
    """A whole answer."""
    head = b"".join((status, kind, *(line + b"\r\n" for line in headers)))
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def bare(*headers: bytes, body: bytes = BODY, status: bytes = OK) -> bytes:
    """An answer whose headers are these alone."""
    return b"".join((status, *(line + b"\r\n" for line in headers), b"\r\n", body))


def chunked(*parts: bytes, end: bytes = b"0\r\n\r\n", kind: bytes = JSON) -> bytes:
    """An answer in chunks."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + end
    return OK + kind + b"Transfer-Encoding: chunked\r\n\r\n" + body


def coded(status: int, *headers: bytes, body: bytes = b'{"error":{"message":"no"}}') -> bytes:
    """An answer of another status."""
    return sized(body, *headers, status=b"HTTP/1.1 %d Odd\r\n" % status)


NO_HTTP, FAULT, LOST = "NotAModelServer", "ServerFault", "ConnectionLost"
REFUSED = "RequestRefused"
# name: what is written, and what becomes of it: a text, or an error's name
ROWS: dict[str, tuple[bytes, str]] = {
    "whole": (sized(), "Hello."),
    # status lines
    "HTTP/1.0 without a length": (bare(body=BODY, status=b"HTTP/1.0 200 OK\r\n"), "Hello."),
    "no reason": (sized(status=b"HTTP/1.1 200\r\n"), "Hello."),
    "HTTP/0.9": (BODY, NO_HTTP),
    "HTTP/2.0": (sized(status=b"HTTP/2.0 200 OK\r\n"), "Hello."),
    "HTTP/9.9": (sized(status=b"HTTP/9.9 200 OK\r\n"), NO_HTTP),
    "another protocol": (sized(status=b"ICY 200 OK\r\n"), NO_HTTP),
    "small letters": (sized(status=b"http/1.1 200 ok\r\n"), NO_HTTP),
    "status 99": (coded(99), NO_HTTP),
    "status 1000": (coded(1000), NO_HTTP),
    "status in words": (sized(status=b"HTTP/1.1 fine OK\r\n"), NO_HTTP),
    "nothing at all": (b"", LOST),
    "half a status line": (b"HTTP/1.1 2", LOST),
    "half of the headers": (OK + JSON, LOST),
    "zeros": (b"\0" * 200, NO_HTTP),
    "an alert of TLS": (b"\x15\x03\x01\x00\x02\x02\x28", NO_HTTP),
    "an empty line first": (b"\r\n" + sized(), "Hello."),
    "line feeds alone": (sized().replace(b"\r\n", b"\n"), "Hello."),
    "to be continued": (b"HTTP/1.1 100 Continue\r\n\r\n" + sized(), "Hello."),
    "early hints": (b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" + sized(), "Hello."),
    "switching protocols": (b"HTTP/1.1 101 X\r\nUpgrade: x\r\n\r\n", REFUSED),
    "no content": (b"HTTP/1.1 204 None\r\n\r\n", FAULT),
    "not modified": (b"HTTP/1.1 304 Same\r\n\r\n", NO_HTTP),
    "moved elsewhere": (coded(301, b"Location: http://example.com/"), NO_HTTP),
    "moved here": (coded(307, b"Location: /v1/chat/completions"), NO_HTTP),
    "moved to nowhere": (coded(302), NO_HTTP),
    "a proxy's key": (coded(407, b"Proxy-Authenticate: Basic"), REFUSED),
    "too slow": (coded(408), FAULT),
    "gone": (coded(410), REFUSED),
    "too large": (coded(413), "DoesNotFit"),
    "a teapot": (coded(418), REFUSED),
    "of the law": (coded(451), REFUSED),
    "a bad gateway": (coded(502, body=b"<html>Bad Gateway</html>"), FAULT),
    "a slow gateway": (coded(504, body=b""), FAULT),
    "of nobody": (coded(599, body=b"\xff\xfe"), FAULT),
    # lengths
    "longer than it is": (bare(JSON[:-2], b"Content-Length: 5000"), LOST),
    "shorter than it is": (bare(JSON[:-2], b"Content-Length: 50"), NO_HTTP),
    "less than nothing": (bare(JSON[:-2], b"Content-Length: -5"), NO_HTTP),
    "a length in words": (bare(JSON[:-2], b"Content-Length: many"), NO_HTTP),
    "two lengths": (bare(JSON[:-2], b"Content-Length: 5", b"Content-Length: 163"), NO_HTTP),
    "a length of no bounds": (bare(JSON[:-2], b"Content-Length: %d" % 10**30), NO_HTTP),
    # chunks
    "two chunks": (chunked(BODY[:50], BODY[50:]), "Hello."),
    "chunks and a length": (
        chunked(BODY).replace(b"Transfer", b"Content-Length: 3\r\nTransfer"),
        NO_HTTP,
    ),
    "a chunk of no size": (chunked(end=b"zz\r\n" + BODY), NO_HTTP),
    "a chunk below zero": (chunked(end=b"-5\r\n" + BODY), NO_HTTP),
    "a chunk of no bounds": (chunked(end=b"f" * 40 + b"\r\n" + BODY), NO_HTTP),
    "no last chunk": (chunked(BODY, end=b""), LOST),
    "half a chunk": (chunked(end=b"ff\r\n" + BODY[:40]), LOST),
    "trailers": (chunked(BODY, end=b"0\r\nX-Sum: 1\r\n\r\n"), "Hello."),
    "chunked twice": (chunked(BODY).replace(b": chunked", b": chunked, chunked"), "Hello."),
    "another coding": (sized(BODY, b"Transfer-Encoding: gzip"), NO_HTTP),
    # headers
    "compressed": (sized(gzip.compress(BODY, mtime=0), b"Content-Encoding: gzip"), FAULT),
    "a terminal's orders": (coded(500, body=b"\x1b[2J\x9b\xe2\x80\xae"), FAULT),
    "a bomb": (sized(gzip.compress(b"[" * 10**7), b"Content-Encoding: gzip"), FAULT),
    "compressed it says": (sized(BODY, b"Content-Encoding: br"), "Hello."),
    "no colon": (sized(BODY, b"Fine"), NO_HTTP),
    "a blank before the colon": (sized(BODY, b"Fine : yes"), NO_HTTP),
    "folded": (sized(BODY, b"Fine: yes", b" and no"), "Hello."),
    "a zero in a header": (sized(BODY, b"Fine: \0"), NO_HTTP),
    "a header in Latin-1": (sized(BODY, b"Fine: caf\xe9"), "Hello."),
    "a header without end": (sized(BODY, b"Fine: " + b"x" * 10**6), NO_HTTP),
    "headers without end": (sized(BODY, *[b"Fine: x"] * 20_000), NO_HTTP),
    # bodies
    "no kind": (bare(b"Content-Length: %d" % len(BODY)), "Hello."),
    "a page": (sized(b"<html>Log in</html>", kind=b"Content-Type: text/html\r\n"), NO_HTTP),
    "UTF-16": (sized(BODY.decode().encode("utf-16")), "Hello."),
    "Latin-1": (sized(BODY.replace(b"Hello.", b"caf\xe9")), FAULT),
    "a mark of byte order": (sized(b"\xef\xbb\xbf" + BODY), "Hello."),
    "two of them": (sized(BODY + BODY), FAULT),
    "cut": (sized(BODY[:-9]), FAULT),
    "nothing in it": (sized(b""), FAULT),
    # streams
    "events": (sized(EVENTS, kind=SSE), "Hello."),
    "events in chunks": (chunked(*(bytes([sign]) for sign in EVENTS), kind=SSE), "Hello."),
    "events that break off": (chunked(EVENTS[:40], end=b"", kind=SSE), LOST),
    "events without an end": (
        sized(EVENTS.partition(b"data: [")[0].replace(b'"stop"', b"null"), kind=SSE),
        LOST,
    ),
    "an event that is none": (sized(b"data: {half\n\n" + EVENTS, kind=SSE), FAULT),
    "half a letter": (sized(EVENTS.replace(b"Hello", b"caf\xc3"), kind=SSE), FAULT),
    "an error as an event": (
        sized(b'event: error\ndata: {"error":{"message":"no"}}\n\n', kind=SSE),
        FAULT,
    ),
    "comments alone": (sized(b": ping\n\n" * 9, kind=SSE), LOST),
}


def became(raw: bytes) -> str:
    """What a call gives whose answer is written like this, or its error."""
    told: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        if asked.startswith(b"GET"):
            found = sized(MODELS, CLOSE) if b" /v1/models " in asked else coded(404, CLOSE)
            writer.write(found)
        else:
            await reader.readuntil(b"}]")  # of the messages
            writer.write(raw)
        writer.close()

    async def test() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        engine = HttpEngine(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        try:
            await engine.capabilities()
            told.append((await engine.send(ask(), lambda _: None)).text)
        except NlpuError as error:
            told.append(f"{type(error).__name__}: {error}")
        finally:
            await engine.close()
            server.close()

    run(test())
    return told[0]


@pytest.mark.parametrize("name", ROWS)
def test_what_a_server_answers_is_a_text_or_an_error_of_ours(name: str) -> None:
    raw, wanted = ROWS[name]
    told = became(raw)
    assert told.partition(":")[0] == wanted, told
    assert told == safe(told) and len(told) < 1000 and "Traceback" not in told
