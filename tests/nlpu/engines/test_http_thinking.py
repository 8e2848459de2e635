"""Thinking that a server leaves in the text, however it is written and however it is cut."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from dialect_kit import DONE, USAGE, chat, event, piece
from http_kit import TURNS, ask
from hypothesis import example, given
from hypothesis import strategies as st

from nlpu import errors as e
from nlpu.engines.http.decode import StreamReader, read_reply
from nlpu.engines.http.encode import Dialect
from nlpu.types.result import result_type
from nlpu.wire import Constraint, Reply

OTHER = Dialect("here", "m", 100, vllm=False, tokens=False, seed=False, priority=False)
YES_NO = Constraint("choice", '["yes","no"]')


def whole(text: Any, constraint: Constraint | None = None, finish: Any = "stop") -> Reply:
    return read_reply(OTHER, ask(TURNS, constraint=constraint), chat(text, finish).body)


def streamed(text: str, cuts: list[int]) -> tuple[Reply, str]:
    """The Reply of a text in deltas, and what was shown of it."""
    reader, shown = StreamReader(OTHER, ask(TURNS)), ""
    for a, b in pairwise([0, *sorted(cuts), len(text)]):
        shown += reader.feed(piece(text[a:b]))
    shown += reader.feed(piece("", "stop") + event({"usage": USAGE}) + DONE) + reader.end()
    return reader.finish(), shown


@pytest.mark.parametrize(
    ("text", "thinking", "answer"),
    [
        ("<Think>a</Think>b", "a", "b"),
        ("<THINK>a</think>b", "a", "b"),
        ("<think >a</think >b", "a", "b"),
        ("< think>a</ think\t>b", "a", "b"),
        ("<Thinking>a</thinking>\n\nb", "a", "b"),
        ("<think>a<think>b</think>c</think>d", "a<think>b</think>c", "d"),
        ("<think>a<Think>b</THINK>c</think>d", "a<Think>b</THINK>c", "d"),
        ("<think>of the <think> tag</think>It opens.", "of the <think> tag", "It opens."),
        ("<think><think>a</think>\n\nb", "<think>a", "b"),
        ("<think>a<think>b</think><think>c<think></think>d", "a<think>bc<think>", "d"),
        ("<think>of `<think>`</think>It ends with </think>.", "of `<think>`", ".."),
        ("<unused94>thought\na<unused95>b", "a", "b"),
        ("<think>a</think>\n\n<|channel|>final<|message|>b<|return|>", "a", "b"),
        ("<think></think>Close it with\n</think>\nDone.", "", "Close it with\n</think>\nDone."),
        # a user's words
        ("<reasoning>a</reasoning>b", "", None),
        ("<scratchpad>a</scratchpad>b", "", None),
        ("<thinker>a</thinker>b", "", None),
        ("[think]a[/think]b", "", None),
        ("The <unused94>thought<unused95>", "", None),
        ("a</Think>b", "", None),
        ("a\n</Think >\nb", "a", "b"),
    ],
)
def test_a_mark_is_known_however_it_is_written(text: str, thinking: str, answer: str) -> None:
    answer = {None: text, "..": "It ends with </think>."}.get(answer, answer)
    found = whole(text)
    assert (found.thinking, found.text) == (thinking, answer)
    assert streamed(text, [])[0] == found


def test_many_tags_without_ends_are_looked_at_once() -> None:
    found = whole("<think><think></think>" * 200_000 + "x")
    assert found.text == "x" and found.thinking == "<think>" * 200_000


@pytest.mark.parametrize("annotation", [bool, int, list[str], dict[str, str]])
def test_what_has_to_be_json_or_a_choice_does_not_begin_with_reasoning(annotation: Any) -> None:
    constraint = result_type(annotation).constraint
    found = whole('<Reasoning>It is hot.</Reasoning>\n{"a": "yes"}', constraint)
    assert (found.thinking, found.text) == ("It is hot.", '{"a": "yes"}')


@pytest.mark.parametrize("text", ["a</think>b", "<reasoning>a</reasoning>b"])
@pytest.mark.parametrize("annotation", [str | None, str | int])
def test_what_may_be_any_text_keeps_its_words(annotation: Any, text: str) -> None:
    assert whole(text, result_type(annotation).constraint).text == text


@pytest.mark.parametrize(
    "text", ['"say </think> now"', '["</think>"]', '```\n["a</think>b"]\n```', '`"</think>"`']
)
def test_a_mark_in_a_json_text_is_one_of_its_words(text: str) -> None:
    constraint = Constraint("json", '{"type":"string","format":"uri"}')
    assert whole(text, constraint).text == text


MARKS = ["<think>", "</think>", "<Think >", "</ think>", "<thinking>", "</thinking>", "<think"]
MARKS += ["<unused94>thought", "<unused95>", "[THINK]", "[/THINK]", "<|end|>", "<", "</", '"', "`"]
MARKS += ["<|start|>assistant", "<|channel|>final<|message|>", "<|return|>", "<|START_TEXT|>"]
MARKS += ["<|channel|>analysis<|message|>", "<|open|>think<|sep|>", "<|close|>think<|sep|>"]
WORDS = [" ", "\n", "\n\n", "\t", "a", "ok", "think>", "😀", "<reasoning>", "\ud83d", "\ude00"]


@given(st.lists(st.sampled_from(MARKS + WORDS), max_size=12).map("".join), st.data())
@example("<think></think>\n\nok", None)
@example("<think>a</think> \n <think>b</think>\n", None)
@example("<think>a\ud83d", None)
def test_a_stream_gives_what_the_whole_gives(text: str, data: Any) -> None:
    """Wherever its deltas are cut, and in one character each."""
    places = st.lists(st.integers(0, len(text)), max_size=12)
    cuts = [*range(len(text))] if data is None else data.draw(places)
    expected = whole(text)
    for each in (cuts, [*range(len(text))]):
        found, shown = streamed(text, each)
        assert found == expected
        # But for a thought that only its end marks, which is known when all was shown.
        assert shown == found.text or (shown.endswith(found.text) and "</" in shown)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('{"answer":"yes","answer":"no"}', '{"answer":"yes","answer":"no"}'),
        ('{"answer":"yes","answer":"yes"}', "yes"),
        ('```json\n{"answer":1,"answer":2}\n```', '```json\n{"answer":1,"answer":2}\n```'),
        ('{"answer":"yes","why":{"a":1,"a":2}}', '{"answer":"yes","why":{"a":1,"a":2}}'),
        ('{"answer":"no"}', "no"),
    ],
)
def test_of_two_answers_none_is_taken(text: str, answer: str) -> None:
    assert whole(text, YES_NO).text == answer
    if answer == text:
        with pytest.raises(e.Malformed, match="is not yes or no"):
            result_type(bool).parse(answer)


@pytest.mark.parametrize(
    "finish",
    ["context_window_exceeded", "model_context_window_exceeded", "incomplete", "INCOMPLETE"],
)
def test_a_full_window_and_what_is_incomplete_are_a_length_end(finish: str) -> None:
    assert whole("hello", finish=finish) == whole("hello", finish="length")


def test_a_turn_that_is_paused_is_asked_for_again() -> None:
    with pytest.raises(
        e.ServerFault, match=r"broke the generation off \(finish: pause_turn\)"
    ) as at:
        whole("hello", finish="pause_turn")
    assert at.value.transient


@pytest.mark.parametrize("finish", ["novel_reason", 5, 1.5, True, ["stop"], {"a": 1}])
def test_a_reason_that_is_not_known_leaves_only_what_is_closed(finish: Any) -> None:
    record = result_type(dict[str, int]).constraint
    assert whole('{"a": 1}', record, finish) == whole('{"a": 1}', record)
    assert whole('{"answer": "yes"}', YES_NO, finish).text == "yes"
    for text, constraint in (
        ("hello", None),
        ('{"a": 1}', None),  # a text may go on
        ('{"a": 1', record),
        ("12", result_type(int).constraint),
        ("yes", YES_NO),
    ):
        with pytest.raises(e.ServerFault, match="not known") as caught:
            whole(text, constraint, finish)
        assert not caught.value.transient
