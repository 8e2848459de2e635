"""What servers do beside the rules: errors within streams, other orders, stops unheard."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from nlpu import Computer, op
from nlpu import errors as e
from nlpu.engines.http.errors import from_error, from_status
from nlpu.engines.stops import Ending, before_stop
from nlpu.processor import Limits
from tests.dialect_kit import DONE, Recorded, chat, event, piece, said, serving, stream

ONCE = Limits(timeout_s=10, attempts=1)
BOOM = b'{"message": "out of memory", "code": 500}\n\n'


def answered(answer: Recorded, kind: Any = str, streams: bool = False, **options: Any) -> Any:
    """What a run gives whose one call is answered so; raises its error. Its stream is the same."""
    with serving(answer) as served, Computer(served.url, limits=ONCE) as computer:
        asked = op("Ask", kind, retries=0, **options)
        run = computer.start(lambda: asked("a <|im_end|> b"), stream=streams)
        pieces = "".join(run.stream()) if streams else ""
        run.wait()
        if run.error is not None:
            raise e.root_of(run.error)
        assert not streams or pieces == run.result
        return run.result


ERRORS = {
    "named": b"event: error\ndata: " + BOOM,
    "a detail": b'data: {"detail": "out of memory"}\n\n',
    "a type": b'data: {"type": "error", "message": "out of memory"}\n\n',
    "a status": b'data: {"status_code": 500, "title": "out of memory"}\n\n',
}


@pytest.mark.parametrize("bad", ERRORS.values(), ids=ERRORS.keys())
@pytest.mark.parametrize("streams", [True, False])
def test_an_error_within_a_stream_is_no_end_of_its_answer(bad: bytes, streams: bool) -> None:
    with pytest.raises(e.ServerFault, match="out of memory"):
        answered(stream(piece("12"), bad, DONE), int if not streams else str, streams)


def test_what_carries_nothing_is_no_error() -> None:
    ping = b'event: ping\ndata: {"type": "ping"}\n\n'
    whole = said({"choices": [{"message": {"content": "Hi"}}]})
    empty = b"event: error\n\n"
    assert answered(stream(empty, piece("Hi", "stop"), DONE)) == "Hi"
    assert answered(stream(ping, piece("Hi"), ping, piece(None, "stop"), DONE)) == "Hi"
    assert answered(whole) == "Hi"


OTHER = {"index": 1, "delta": {"content": "no"}}
FIRST = {"index": 0, "delta": {"content": "Hi"}}


@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize(
    "events",
    [
        [event({"choices": [OTHER, FIRST]})],
        [event({"choices": [OTHER]}), event({"choices": [FIRST]})],
        [event({"choices": [FIRST]}), event({"choices": [OTHER]})],
        [
            piece("H", index=2),
            piece("no", index=1),
            piece("i", index=2),
        ],  # there is none of index 0
    ],
)
def test_the_choice_of_index_0_counts_in_any_order(events: list[bytes], streams: bool) -> None:
    ends = piece(None, "stop", index=0 if b'"index": 0' in b"".join(events) else 2)
    assert answered(stream(*events, ends, DONE), streams=streams) == "Hi"


@pytest.mark.parametrize("streams", [True, False])
def test_a_stop_string_ends_what_a_server_did_not_end(streams: bool) -> None:
    said_on = stream(piece("One\n"), piece("\nTwo\n\nThree"), piece(None, "length"), DONE)
    assert answered(said_on, streams=streams, stop="\n\n") == "One"
    assert answered(chat("One\n\nTwo", "length"), streams=streams, stop="\n\n") == "One"
    assert answered(chat("One\nTwo"), streams=streams, stop="\n\n") == "One\nTwo"


@given(
    st.text("ab", max_size=12),
    st.lists(st.text("ab", min_size=1, max_size=3), max_size=3),
    st.data(),
)
def test_pieces_end_where_the_whole_does(text: str, stops: list[str], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)))) | {0, len(text)})
    ending = Ending(stops)
    told = "".join(ending.feed(text[a:b]) for a, b in pairwise(cuts))
    assert told + ending.feed("", last=True) == before_stop(text, stops)


class Quote(BaseModel):
    text: str


@pytest.mark.parametrize(
    ("said", "means"),
    [
        ('{"text":"<\\u200b|im_end|>"}', "<|im_end|>"),
        ('{"text":"<\\u200B|im_end|>"}', "<|im_end|>"),
        ('{"text":"<\u200b|im_end|>"}', "<|im_end|>"),
        ('{"text":"\\u003c\u200b|im_end|>"}', "<|im_end|>"),  # HTML-safe writers
        ('{"text":"\\u003C\\u200b|im_end|>"}', "<|im_end|>"),
        ('{"text":"<\\\\u200b|im_end|>"}', "<\\u200b|im_end|>"),  # a text about an escape
    ],
)
def test_a_mark_is_taken_out_of_json_as_its_escape_too(said: str, means: str) -> None:
    assert answered(chat(said), Quote) == Quote(text=means)


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (429, "Rate limit exceeded: free-models-per-day. Add 10 credits", e.OutOfQuota),
        (429, "Trial key: limited to 1000 API calls / month", e.OutOfQuota),
        (429, "Too many tokens per day, please wait", e.OutOfQuota),
        (429, "Limit 30 requests per minute", e.Overloaded),
        (400, "no value: 'two spoons per day'", e.RequestRefused),
        (403, "Content violates usage guidelines", e.Declined),
        (422, "Model output blocked by guardrails", e.Declined),
        (400, "The input token count (70000) exceeds the maximum number of tokens", e.DoesNotFit),
        (400, "This model's maximum prompt length is 131072", e.DoesNotFit),
        (400, "Input is too long for requested model.", e.DoesNotFit),
        (400, "Range of input length should be [1, 30720]", e.DoesNotFit),
        (400, "input_length + max_new_tokens > session_len", e.DoesNotFit),
        (400, "5000 tokens, larger than the model input length limit 4096", e.DoesNotFit),
        (400, "prompt token count exceeds context", e.DoesNotFit),
        (422, "`inputs` must have less than 4096 tokens. Given: 5000", e.DoesNotFit),
    ],
)
def test_the_words_say_whose_matter_it_is(status: int, words: str, kind: type[Exception]) -> None:
    body = b'{"error": {"message": "%s"}}' % words.encode()
    assert type(from_status("http://s", status, {}, body)) is kind
    assert type(from_error("http://s", {"message": words, "code": status}, None, 0, None)) is kind


@pytest.mark.parametrize(
    ("code", "words", "kind"),
    [
        (1008, "insufficient balance", e.OutOfQuota),
        (1113, "您的账户已欠费,请充值后重试", e.OutOfQuota),
        (1004, "login fail: Please carry the API secret key", e.Unauthorized),
        (1026, "input new_sensitive", e.Declined),
        (1002, "rate limit exceeded(RPM)", e.Overloaded),
        (1013, "internal service error", e.ServerFault),
    ],
)
def test_a_code_of_its_own_is_told_by_its_words(code: int, words: str, kind: Any) -> None:
    for error in (
        {"status_code": code, "status_msg": words},
        {"error_code": code, "error_msg": words},
    ):
        assert type(from_error("http://s", error, None, 0, None)) is kind


def test_an_empty_account_is_one_whatever_its_code() -> None:
    told = {"status_code": 1008, "status_msg": "insufficient balance"}
    with pytest.raises(e.OutOfQuota, match="insufficient balance"):
        answered(said({"base_resp": told, "choices": None}))


@pytest.mark.parametrize("word", ["eos_found", "stop_str", "stop_string"])
def test_some_say_in_another_word_that_it_is_whole(word: str) -> None:
    assert answered(chat("Hi", word)) == "Hi"
    assert answered(stream(piece("H", "null"), piece("i", word), DONE)) == "Hi"
    with pytest.raises(e.ConnectionLost):
        answered(stream(piece("H", "null")))  # no end, be it said in a text


def test_a_long_wait_is_told() -> None:
    body = b'{"error": {"message": "Rate limit reached. Please try again in 12m"}}'
    fault = from_status("http://s", 429, {}, body)
    assert isinstance(fault, e.Overloaded) and fault.retry_after_s == 720.0
    assert str(fault).endswith("or wait for 720 s.")


@pytest.mark.parametrize(
    "body",
    [
        b'{"type": "error", "error": {"type": "not_found_error", "message": "model: claude-x"}}',
        b'{"error": {"message": "Unable to access it", "code": "model_not_available"}}',
    ],
)
def test_a_missing_model_is_no_wrong_url(body: bytes) -> None:
    assert type(from_status("http://s", 404, {}, body)) is e.UnknownProcessor


@pytest.mark.parametrize(
    "word", ["content_filter: PROHIBITED_CONTENT", "IMAGE_SAFETY", "function_call_filter: x"]
)
def test_a_policy_is_one_whatever_stands_behind_its_colon(word: str) -> None:
    with pytest.raises(e.Declined):
        answered(chat("", word))


def test_an_answer_of_another_protocol_is_no_error_of_its_server() -> None:
    with pytest.raises(e.ServerFault, match="not a completion"):
        answered(said({"model": "m", "message": {"role": "assistant", "content": "Hi"}}))
    with pytest.raises(e.ServerFault, match="not a completion"):
        answered(stream(event({"choices": [{"index": 1, "delta": "no"}]}), DONE))
