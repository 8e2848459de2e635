"""Rows that say the same in other words: adapters' fields, and right answers written otherwise."""

from __future__ import annotations

from gzip import compress
from typing import Any, Literal
from zlib import compress as deflated

from dialect_kit import DONE, Recorded, chat, event, piece, said, stream
from pydantic import BaseModel

from dialects.rows import ANN, ANN_JSON, HELLO, Colour, Person, no, row, streamed
from nlpu import errors as e


class Sized(BaseModel):
    text: str
    size: float


def message(**more: Any) -> bytes:
    """An event that has the whole message."""
    return event({"choices": [{"message": {"content": "Hello."}, "finish_reason": "stop", **more}]})


CALLS = [{"index": 0, "function": {"name": "look_up", "arguments": "{}"}}]
TEXT = (event({"choices": [{"text": "lo.", "finish_reason": "stop"}]}),)
SOLUTION = (
    "<|begin_of_thought|>So<|end_of_thought|>\n<|begin_of_solution|>Hello.<|end_of_solution|>"
)
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
    row("a proxy", Recorded(deflated(chat("Hello.").body)), e.ServerFault, "compressed its answer"),
    # -- the answer's JSON as a value
    row("cloudflare", chat({"name": "Ann", "age": 7}), ANN, kind=Person),
    row("cloudflare", chat([{"name": "Ann", "age": 7}]), [ANN], kind=list[Person]),
    row("cloudflare", chat({"text": "é", "size": 1.5}), Sized(text="é", size=1.5), kind=Sized),
    row("cloudflare", chat({"answer": 7}), 7, kind=int),
    row("cloudflare", chat(True), True, kind=bool),
    row("cloudflare", chat([1, 2]), [1, 2], kind=list[int]),
    row("cloudflare", chat({"name": "Ann"}), e.Malformed, kind=Person),
    row("cloudflare", stream(piece({"answer": "no"}, "stop"), DONE), False, kind=bool),
    row("cloudflare", chat({"name": "Ann"}), e.ServerFault, "without text", requests=2),
    # -- an answer in another place of its event
    streamed("an adapter", message(delta={}), DONE),
    streamed("an adapter", piece("", role="assistant"), piece("Hello."), message(delta={}), DONE),
    streamed("an adapter", event({"choices": [{"text": "Hel"}]}), *TEXT, DONE),
    # -- thoughts, ends and tools as few tell of them
    row("an adapter", chat("Hello.", reasoning={"summary": "So"}), "Hello."),
    row("an adapter", chat("Hello.", reasoning_content=[{"text": "So"}]), "Hello."),
    row("sky-t1", chat(SOLUTION), "Hello."),
    row("tensorrt", chat("Hello.", "end_id"), "Hello."),
    row("sglang", chat("Hello.", {"type": "stop", "matched": 2}), "Hello."),
    row("sglang", chat("Hel", {"type": "length", "length": 2}), e.Truncated),
    streamed("an adapter", piece("Hel", "length"), piece(None, "stop"), out=e.Truncated),
    streamed("an adapter", piece("Hel", "refusal"), piece(None, "stop"), out=e.Declined),
    streamed("an adapter", piece("Hel", "unknown"), piece("lo.", "stop")),
    row("ollama", chat("", tool_calls=CALLS), e.Declined, "called a tool"),
    row("ollama", chat(None, function_call=CALLS[0]), e.Declined, "called a tool"),
    row("ollama", chat("Hello.", tool_calls=CALLS), "Hello."),
    row("ollama", chat("", "length", tool_calls=CALLS), e.Truncated),
    streamed("ollama", piece(tool_calls=CALLS), piece(None, "stop"), out=e.Declined),
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
    row(
        "fence",
        chat('{"answer": "yes"}\n```\n{"answer": "no"}\n```'),
        e.Malformed,
        kind=bool,
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
