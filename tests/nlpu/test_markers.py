"""Markers in operands: broken up where they are tokens, mended in what comes back."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from dialect_kit import DONE, chat, piece, serving, stream
from hypothesis import given
from hypothesis import strategies as st
from kit import echo

from nlpu.processor import Processor, scripted_frame
from nlpu.prompt.codec import Codec
from nlpu.prompt.markers import MARK, USUAL, Markers, markers_in, of_tokens
from nlpu.runtime import Computer
from nlpu.sampling import Sampling
from nlpu.testing.scripted import Scripted
from nlpu.tokens import CharTokenizer
from nlpu.wire import Capabilities, Message, Reply, Request, Usage

TOKENS = ["<|im_start|>", "<|im_end|>", "<think>", "[gMASK]", "sop", "</s>"]
OWN = of_tokens(TOKENS)
PARTS = [
    *TOKENS,
    "<",
    "[",
    "s",
    "<|",
    "|>",
    MARK,
    "<" + MARK,
    "s" + MARK + "op",
    "a<b",
    "x",
    "<div>",
]
TEXT = st.lists(st.sampled_from(PARTS)).map("".join) | st.text()
INNOCENT = [
    "<div>Hi</div>",
    "if (a<b) return;",
    "List<String> xs;",
    "1 < 2",
    "a[i] <= b",
    "<html><s1>",
    "x|>y",
    "plain",
    "<a href='#'>",
    "std::vector<std::string>",
]


@given(TEXT, st.sampled_from([OWN, USUAL]))
def test_what_was_broken_is_mended(text: str, markers: Markers) -> None:
    assert markers.mended(markers.broken(text)) == text


@given(TEXT)
def test_no_token_is_left(text: str) -> None:
    assert not any(token in OWN.broken(text) for token in TOKENS)


@given(TEXT, st.lists(st.integers(0, 40), max_size=6))
def test_pieces_are_mended_as_the_whole_is(text: str, cuts: list[int]) -> None:
    broken, told = OWN.broken(text), list[str]()
    take = OWN.mending(told.append)
    ends = [0, *sorted(cuts), max([len(broken), *cuts])]
    for a, b in pairwise(ends):
        take(broken[a:b])
    assert "".join(told) == text and "" not in told


@pytest.mark.parametrize("text", INNOCENT)
def test_what_is_no_token_stays_as_it_is(text: str) -> None:
    assert USUAL.broken(text) == text == of_tokens(["<|im_end|>"]).broken(text)


def test_a_model_has_its_own(tmp_path: Path) -> None:
    added = [
        ("<|end|>", True),
        ("<tool_call>", False),
        ("    ", False),
        ("sop", True),
        ("word", False),
    ]
    entries = [{"content": text, "special": special} for text, special in added]
    (tmp_path / "tokenizer.json").write_text(json.dumps({"added_tokens": entries}))
    markers = markers_in(str(tmp_path))
    assert markers.broken("<|end|> <tool_call> sop") == (
        f"<{MARK}|end|> <{MARK}tool_call> s{MARK}op"
    )
    assert markers.broken("     word <|im_start|> [INST]") == "     word <|im_start|> [INST]"
    for nowhere in (None, "chars", str(tmp_path / "none")):
        assert markers_in(nowhere) is USUAL
    (tmp_path / "tokenizer.json").write_text("[")
    assert markers_in(str(tmp_path)) is USUAL


def asked(text: str, said: str) -> tuple[Request, Reply]:
    """What is sent for an operand, and what comes of a reply to it."""
    told = replace(asyncio.run(Scripted().capabilities()), token_prompts=False)
    processor = Processor("p", Say(said), told, Codec(CharTokenizer(), scripted_frame()))
    request = Request("1", processor.wire_prompt(echo, [text], ()), Sampling(9))
    return request, asyncio.run(processor.attempt(request))


class Say:
    """An engine that says one thing."""

    def __init__(self, text: str) -> None:
        self.text = text

    async def send(self, request: Request, on_text: Any = None) -> Reply:
        return Reply(self.text, "stop", Usage(1, 1))

    async def capabilities(self) -> Capabilities:
        raise NotImplementedError

    def cancel(self, request_id: str) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError


def test_a_reply_is_mended_only_if_something_was_broken() -> None:
    mark = f"a <{MARK}b>"
    assert asked("plain", mark)[1].text == mark
    request, reply = asked("so <|im_end|>", f"so <{MARK}|im_end|>")
    assert reply.text == "so <|im_end|>"
    assert all(
        "<|im_end|>" not in turn.content for turn in request.prompt if isinstance(turn, Message)
    )


def test_an_engine_that_does_not_know_them_says_so() -> None:
    with serving(chat("x")) as served, Computer(served.url) as computer:
        computer.run(lambda: echo("x")).wait()
        told = computer._station.kernel.ports.processors.find(None).capabilities.weaker
    assert any("special tokens are not known" in sentence for sentence in told)


def test_a_stream_is_mended_too() -> None:
    broken = f"so <{MARK}|im_end|> <think>"
    events = [piece(part) for part in (broken[:4], broken[4:9], broken[9:])]
    with (
        serving(stream(*events, piece(None, "stop"), DONE)) as served,
        Computer(served.url) as computer,
    ):
        run = computer.start(lambda: echo("so <|im_end|>"), stream=True)
        assert "".join(run.stream()) == run.result == "so <|im_end|> <think>"
