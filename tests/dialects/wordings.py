"""Rows that say the same in other words: adapters' fields, and right answers written otherwise."""

from __future__ import annotations

from gzip import compress
from typing import Literal

from dialect_kit import Recorded, chat, said

from dialects.rows import ANN, ANN_JSON, HELLO, Colour, Person, no, row, streamed
from nlpu import errors as e

ADAPTERS = [
    # -- the same, in other words
    row("an adapter", chat([{"type": "output_text", "text": "Hello."}]), "Hello."),
    row("an adapter", chat(["Hel", {"type": "text", "text": "lo."}]), "Hello."),
    row("an adapter", chat({"type": "text", "text": "Hello."}), "Hello."),
    row("an adapter", chat([{"type": "refusal", "refusal": "I cannot."}]), e.Declined, "I cannot"),
    row("an adapter", chat([{"type": "image"}]), e.ServerFault, "without text", requests=2),
    row("an adapter", chat([{"type": "text", "text": ""}]), e.EmptyReply),
    row("an adapter", said({"choices": [{"text": "Hello.", "finish_reason": "stop"}]}), "Hello."),
    row("an adapter", chat("Hello.", "FINISH_REASON_STOP"), "Hello."),
    row("an adapter", chat("Hello.", "endTurn"), "Hello."),
    row("an adapter", chat("Hel", "max-tokens"), e.Truncated),
    row("an adapter", chat("", "content-filter"), e.Declined, "policy"),
    row("an adapter", chat("", "contentFiltered"), e.Declined, "policy"),
    row("an adapter", chat("", "FINISH_REASON_UNSPECIFIED"), e.ServerFault, "off", requests=2),
    row("cohere", chat("", "ERROR_TOXIC"), e.Declined, "policy"),
    streamed("an adapter", *HELLO, b'data: "[DONE]"\n\n'),
    streamed("an adapter", *HELLO, b"data: [done]\n\n"),
    row(
        "nginx",
        Recorded(b"<html><h1>413 Request Entity Too Large</h1></html>", 413, "text/html"),
        e.DoesNotFit,
        "or a proxy before it, takes (413)",
    ),
    row("groq", no("Request Entity Too Large", 413), e.DoesNotFit, "Request Entity Too Large"),
    row(
        "a proxy",
        Recorded(compress(chat("Hello.").body), headers=(("Content-Encoding", "gzip"),)),
        e.ServerFault,
        "compressed its answer",
    ),
]
ANSWERS = [
    # -- right answers, written otherwise
    row("plain", chat("True"), True, kind=bool),
    row("plain", chat('{"answer": false}'), False, kind=bool),
    row("plain", chat('{"answer": true}'), "true", kind=Literal["true", "false"]),
    row("plain", chat("truely"), e.Malformed, kind=bool),
    row("fence", chat(f"```json\n{ANN_JSON}\n```"), ANN, kind=Person),
    row("fence", chat(f"Here it is:\n```\n{ANN_JSON}\n```\nDone."), ANN, kind=Person),
    row("fence", chat('```json\n{"answer": "yes"}\n```'), True, kind=bool),
    row(
        "fences", chat(f"```\n{ANN_JSON}\n```\nor\n```\n{ANN_JSON}\n```"), e.Malformed, kind=Person
    ),
    row("plain", chat("Yes."), True, kind=bool),
    row("plain", chat("**No**"), False, kind=bool),
    row("plain", chat("Red"), "red", kind=Colour),
    row("plain", chat('{"answer": "Green."}'), "green", kind=Colour),
    row("plain", chat("3.0"), 3, kind=int),
    row("plain", chat('{"answer": 3.0}'), 3, kind=int),
    row("plain", chat("3.5"), e.Malformed, kind=int),
    row("plain", chat("Yes, it is."), e.Malformed, kind=bool),
]
