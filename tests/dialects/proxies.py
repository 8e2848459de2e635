"""Rows of streams as proxies on the way have changed them."""

from __future__ import annotations

from dialect_kit import DONE, SSE, chat, event, piece, stream

from dialects.rows import HELLO, row, streamed
from nlpu import errors as e

PROXIES = [
    # -- proxies on the way
    streamed("a mark of the byte order", b"\xef\xbb\xbf" + HELLO[1], *HELLO[2:], DONE),
    streamed("text after the end", *HELLO, DONE, piece(" And more."), b"garbage\n\n"),
    streamed(
        "a second choice",
        piece("Hel"),
        piece("No", index=1),
        piece("lo."),
        piece(None, "length", index=1),
        piece(None, "stop"),
        DONE,
    ),
    streamed(
        "data in two lines",
        b'data: {"choices": [{"index": 0,\ndata: "delta": {"content":'
        b' "Hello."}, "finish_reason": "stop"}]}\n\n',
        DONE,
    ),
    streamed("no end of the last event", *HELLO[:-1], HELLO[-1].rstrip()),
    streamed("text in an unended event", piece("Hel"), piece("lo.", "stop").rstrip()),
    streamed("ends of lines", *(part.replace(b"\n", b"\r") for part in HELLO), DONE),
    streamed("no empty lines", *(part.rstrip() + b"\n" for part in HELLO), DONE),
    streamed(
        "half characters",
        b'data: {"choices":[{"delta":{"content":"Oh \\ud83d"}}]}\n\n',
        b'data: {"choices":[{"delta":{"content":"\\ude00."},"finish_reason":"stop"}]}\n\n',
        DONE,
        out="Oh 😀.",
    ),
    streamed(
        "one event",
        event({"choices": [{"message": {"content": "Hello."}, "finish_reason": "stop"}]}),
        DONE,
    ),
    row("no stream", chat("Hello."), "Hello.", stream=True),
    row("json called a stream", chat("Hello.")._replace(kind=SSE), "Hello.", stream=True),
    row(
        "a stream called json", stream(*HELLO, DONE, kind="application/json"), "Hello.", stream=True
    ),
    row("a stream unasked", stream(*HELLO, DONE), "Hello."),
    streamed(
        "cut", piece("Hel"), piece("lo."), out=e.ConnectionLost, words="ended before", requests=2
    ),
]
