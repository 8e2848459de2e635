"""Recorded requests, repeated: each is sent when what it waits for has ended, and never before."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nlpu import Computer, Usage
from nlpu.programs.dag import Repeated, dag
from nlpu.testing import Scripted

PICTURE = {"role": "user", "content": [{"type": "image_url"}]}


def ask(*texts: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text} for text in texts], **more}


def line(name: str, *turns: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"session_id": name, "turns": list(turns), **more}


def played(*lines: Any) -> tuple[Repeated, list[list[tuple[str, str]]]]:
    """What came of it, and the chats that were sent, in order."""
    sent: list[list[tuple[str, str]]] = []

    def said(seen: Any) -> str:
        sent.append([(str(role), text) for role, text in seen.chat])
        return f"re: {seen.chat[-1][1]}"

    text = "\n".join(each if isinstance(each, str) else json.dumps(each) for each in lines)
    with Computer(Scripted(said)) as computer:
        return computer.run(dag, text).result, sent


def last(sent: list[list[tuple[str, str]]]) -> list[str]:
    return [chat[-1][1] for chat in sent]


def test_a_session_goes_on_from_what_was_answered() -> None:
    told, sent = played(line("a", ask("one"), ask("two")))
    assert told == Repeated(sessions=1, requests=2)
    assert sent == [
        [("user", "one")],
        [("user", "one"), ("assistant", "re: one"), ("user", "two")],
    ]


def test_a_session_of_whole_messages_adds_nothing() -> None:
    _, sent = played(line("a", ask("one"), ask("two"), context_mode="message_array_with_responses"))
    assert sent == [[("user", "one")], [("user", "two")]]


def test_what_was_spawned_is_waited_for_where_it_joins() -> None:
    spawns = ["b", {"children": ["c"], "join_at": 2}]
    _, sent = played(
        line("a", ask("one", spawns=spawns), ask("two"), ask("three")),
        line("b", ask("of b")),
        line("c", ask("of c"), ask("then c")),
    )
    order = last(sent)
    assert order.index("of b") < order.index("two")
    assert order.index("then c") < order.index("three")
    assert sent[order.index("of b")] == [("user", "of b")], "it begins anew"


@pytest.mark.parametrize("background", [False, True])
def test_a_fork_goes_on_from_what_was_said(background: bool) -> None:
    fork: Any = {"child": "b", "background": True} if background else "b"
    told, sent = played(line("a", ask("one", forks=[fork]), ask("two")), line("b", ask("of b")))
    assert [("user", "one"), ("assistant", "re: one"), ("user", "of b")] in sent
    assert ("two" in last(sent)) is background, "a parent ends where it forks"
    assert told.requests == 2 + background


def test_rounds_are_played_one_after_the_other_and_equal_requests_are_sent_each_time() -> None:
    told, sent = played(
        line("main", orchestrator=True, rounds=3, spawns=["a", "b"]),
        line("a", ask("one")),
        line("b", ask("two")),
    )
    assert told.requests == 6 and sorted(last(sent)) == ["one"] * 3 + ["two"] * 3
    assert all({*last(sent)[at : at + 2]} == {"one", "two"} for at in (0, 2, 4))
    _, sent = played(
        line("main", orchestrator=True, rounds=[{"spawns": ["b"]}, {"spawns": ["a"]}]),
        line("a", ask("one")),
        line("b", ask("two")),
    )
    assert last(sent) == ["two", "one"]


def test_what_is_not_sent_is_told() -> None:
    extra = {"temperature": 0.5, "tool_choice": "none", "ignore_eos": True}
    told, _ = played(line("a", ask("one", extra=extra, delay=5, model="m"), think_time_ms=3))
    assert {"tool_choice", "delay", "model", "think_time_ms"} <= {*told.left_out}
    assert "temperature" not in told.left_out


def test_roles_become_a_system_text_and_turns() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "one"}]},
        {"role": "user", "content": "two"},
    ]
    systems = list[str]()

    def said(seen: Any) -> str:
        systems.append(seen.instruction)
        assert [text for _, text in seen.chat] == ["one\n\ntwo"]
        return "yes"

    with Computer(Scripted(said)) as computer:
        text = json.dumps(line("a", {"messages": messages}))
        assert computer.run(dag, text).result.requests == 1
    assert len(systems) == 1


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([""], "the file has no session"),
        (["{"], "line 1 is not JSON"),
        (["[]"], "line 1: it: "),
        ([line("a", ask("x")), "", line("a", ask("y"))], "line 3: the session 'a' is there twice"),
        ([line("a", ask("x", spawn=["b"]))], "line 1: turns.0.spawn: Extra inputs"),
        ([line("a", ask("x", spawns=["b"]))], "a session starts 'b', which no line"),
        ([line("a", ask("x", max_tokens=True))], "line 1: turns.0.max_tokens"),
        ([line("a", ask("x", spawns=["a"]))], "start each other: ['a', 'a']"),
        (
            [
                line("r", ask("x", spawns=["a"])),
                line("a", ask("x", forks=["b"])),
                line("b", ask("x", spawns=[{"children": ["a"]}])),
            ],
            "start each other: ['a', 'b', 'a']",
        ),
        ([line("a", {"messages": [{"role": "tool", "content": "x"}]})], "line 1: a message's role"),
        ([line("a", {"messages": [PICTURE]})], "no text"),
        ([line("a", {"messages": [{"role": "user"}]})], "no text"),
    ],
)
def test_what_is_no_such_file_is_said_in_a_sentence(lines: list[Any], told: str) -> None:
    with pytest.raises(Usage, match=r"^[^\n]+$") as caught:
        played(*lines)
    assert told in str(caught.value)
