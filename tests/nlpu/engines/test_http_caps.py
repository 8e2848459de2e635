"""What a server may do to its client: bodies without an end, and JSON of any shape."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from itertools import pairwise
from typing import Any

import pytest
from dialect_kit import endless
from http_kit import TURNS, ask, opening
from hypothesis import given
from hypothesis import strategies as st
from test_engine_http_parts import damaged

from nlpu import errors as e
from nlpu.engines.http import body as http_body
from nlpu.engines.http import complaints as http_complaints
from nlpu.engines.http import engine as openai_http
from nlpu.engines.http import errors as http_errors
from nlpu.engines.http import receive as http_receive
from nlpu.engines.http.decode import StreamReader, read_reply
from nlpu.engines.http.encode import Dialect
from nlpu.engines.http.engine import HttpEngine
from nlpu.engines.http.events import Events
from nlpu.engines.http.probe import read_card

HEAD = b"HTTP/1.1 %d X\r\nContent-Type: %b\r\n\r\n"
OTHER = Dialect("here", "m", 100, vllm=False, tokens=False, seed=False, priority=False)
CHUNK = b"x" * 65536


@pytest.mark.parametrize("status", [200, 500])
def test_a_list_of_models_without_an_end_is_not_read_on(status: int) -> None:
    with (
        endless(HEAD % (status, b"application/json"), CHUNK) as (url, written),
        pytest.raises(e.NlpuError),
    ):
        asyncio.run(opening(url))
    assert written[0] < 2 * http_body.MOST_LIST


def test_a_list_that_does_not_come_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_http, "_ASK_S", 0.05)
    with endless(HEAD % (200, b"application/json"), b"") as (url, _), pytest.raises(e.TimedOut):
        asyncio.run(opening(url))


@pytest.mark.parametrize("kind", [b"application/json", b"text/event-stream"])
@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("chunk", [CHUNK, b": ping\n" * 9000], ids=["line", "pings"])
def test_an_answer_without_an_end_is_not_read_on(
    kind: bytes, status: int, chunk: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (http_body, http_receive):
        monkeypatch.setattr(module, "MOST_REPLY", 1 << 20)
    monkeypatch.setattr("nlpu.engines.http.decode.MOST_REPLY", 1 << 20)

    async def test(url: str) -> None:
        engine = HttpEngine(url)
        card = OTHER
        engine._dialect, engine._head = card, card.head
        engine._target = openai_http.Target(engine._opened(), engine._root / "v1/chat/completions")
        with pytest.raises(e.ServerFault) as caught:
            await engine.send(ask(), lambda _: None)
        assert status == 500 or not caught.value.transient or b"event" in kind
        await engine.close()

    with endless(HEAD % (status, kind), chunk) as (url, written):
        asyncio.run(test(url))
    assert written[0] < 16 << 20


DEEP = b"[" * 200_000


def test_json_nested_without_end_is_no_json() -> None:
    with pytest.raises(ValueError, match="deep"):
        http_body.parsed(DEEP)
    with pytest.raises(e.ServerFault):
        read_reply(OTHER, ask(TURNS), b'{"choices":' + DEEP)
    assert isinstance(http_errors.from_status("here", 400, {}, DEEP), e.RequestRefused)


CARDS = {
    "data": [
        {
            "id": "m",
            "root": "r",
            "parent": "m",
            "max_model_len": 9,
            "owned_by": "x",
            "meta": {"n_ctx": 5},
            "context_length": 7,
        }
    ]
}


def test_a_list_of_models_of_whatever_shape_is_a_card_or_an_error_of_ours() -> None:
    async def card(body: bytes) -> None:
        async def asked(_: str, path: str) -> tuple[int, bytes, Any]:
            return (200, body, {}) if path == "v1/models" else (404, b"{}", {})

        with contextlib.suppress(e.NlpuError):
            found = await read_card("http://here/x", None, None, asked)
            assert found.model in ("m", "x")
            assert 0 < found.window < 2**53

    async def test() -> None:
        for odd in damaged(CARDS):
            await card(json.dumps(odd).encode())
        for body in (DEEP, b"", b"\xff", b'{"data":[{"id":"\\ud800"}]}', b"1e999"):
            await card(body)

    asyncio.run(test())


ERRORS = {"error": {"code": 429, "type": "x", "message": "m", "status": "s", "detail": ["d"]}}


def test_an_error_of_whatever_shape_is_one_of_ours_and_can_be_written() -> None:
    for odd in [*damaged(ERRORS), [ERRORS], "\ud800", {"error": {"message": "so \ud800"}}]:
        body = json.dumps(odd).encode()
        for status in (400, 403, 404, 422, 429, 500, 503):
            error = http_errors.from_status("here", status, {"Retry-After": "x"}, body)
            str(error).encode()
        said = odd if isinstance(odd, dict) else {}
        str(http_errors.from_error("here", said.get("error"), None, 0, None)).encode()


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("Please try again in 7.66s.", 7.66),
        ("Please try again in 20ms.", 0.02),
        ("Please try again in 1m2.5s.", 62.5),
        ("Please retry after 2 seconds.", 2.0),
        ('"retryDelay": "33s"', 33.0),
        ("Try again in 3 minutes.", 180.0),
        ("Please try again in 12m.", 720.0),
        ("Please try again in 1h30m0s", 5400.0),
        ("Please try again in 2 months.", None),
        ("Please wait, there are 3 messages", None),
        ("You exceeded your current quota.", None),
    ],
)
def test_when_to_come_back_is_read_from_words(said: str, seconds: float | None) -> None:
    assert http_complaints.again_in(said) == seconds


def test_headers_of_any_kind_are_times_or_nothing() -> None:
    assert http_errors.retry_after_of({"retry-after-ms": "1500", "Retry-After": "9"}) == 1.5
    for odd in ("-1", "1e400", "nan", "99999999999999999999", "Mon, 99 Foo 0000 99:99:99 GMT"):
        seconds = http_errors.retry_after_of({"Retry-After": odd})
        assert seconds is None or 0 <= seconds < 1e9


PIECES = (
    b'\xef\xbb\xbfdata: {"a":1}\r\n\r\n: ping\revent: x\rdata: {"b":\rdata: 2}\r\r'
    b'id: 7\ndata:{"c":3}\ndata: {"d":4}\n\n{"stray":5}\ndata: {"e":5}'
)


@given(st.lists(st.integers(0, len(PIECES)), max_size=12))
def test_events_are_the_same_however_they_are_cut(cuts: list[int]) -> None:
    events, found = Events(), list[Any]()
    for a, b in pairwise([0, *sorted(cuts), len(PIECES)]):
        found += events.feed(PIECES[a:b])
    found += events.end()
    assert found == [{"a": 1}, {"b": 2}, {"c": 3}, {"d": 4}, {"e": 5}]
    assert events.stray == b'{"stray":5}\n' and not events.done


MARKED = "<think>A thought with </thin in it.</think>\n\n <thinking>Two.</thinking>The <think> tag."


@given(st.lists(st.integers(0, len(MARKED)), max_size=12))
def test_thinking_is_the_same_however_it_is_cut(cuts: list[int]) -> None:
    reader, shown = StreamReader(OTHER, ask(TURNS)), ""
    for a, b in pairwise([0, *sorted(cuts), len(MARKED)]):
        choice = {"delta": {"content": MARKED[a:b]}, "finish_reason": None}
        shown += reader.feed(b"data: %b\n\n" % json.dumps({"choices": [choice]}).encode())
    shown += reader.feed(b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n')
    shown += reader.end()
    reply = reader.finish()
    assert reply.text == shown == "The <think> tag."
    assert reply.thinking == "A thought with </thin in it.Two."


def test_a_long_line_costs_no_time_beyond_its_length() -> None:
    events, began = Events(), time.perf_counter()
    for _ in range(60):
        events.feed(b"x" * 65536)
    assert time.perf_counter() - began < 5
