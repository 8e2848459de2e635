"""What a real vLLM caches of an append-only transcript that a window lays out."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Literal

import pytest
from memory_kit import memory

from nlpu import nlop
from nlpu.label import USER
from nlpu.memory.window.window import window_for
from nlpu.runtime import Computer
from nlpu.runtime.drivers.driver import driver
from nlpu.value import current
from tests.vllm_fixture import Served

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

BLOCK = 128  # tokens that vLLM's CPU build caches as one
STEPS = 10


@nlop
def choose(transcript: str) -> Literal["weather", "tides", "ships"]:
    """Which of the three tools is to be asked next?"""


@driver(effect="read", roles={"tool": "selector", "step": "selector"})
def ask(tool: str, step: int) -> str:
    """Ask a tool."""
    return f"{tool}, step {step}:" + " the wind blows from the west over the harbour," * 9


def shared(left: tuple[int, ...], right: tuple[int, ...]) -> int:
    """How many tokens two prompts begin with alike."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(left), len(right)))


def test_ten_steps_with_tools_are_cached_as_far_as_whole_blocks_allow(
    vllm_server: Served, tmp_path: Path
) -> None:
    prompts: list[tuple[int, ...]] = []

    def program() -> int:
        processor = current().processor(None)
        with memory(tmp_path / "store") as store:
            window = window_for(choose, processor, store.store, pinned_tokens=0, operand_tokens=0)
            window = window.append("user: Is it safe to sail today? Ask the tools.", USER)
            for step in range(STEPS):
                prompts.append(tuple(processor.codec.encode(choose, (window.data(),))))
                tool = choose(window.data()).value
                found = ask(tool, step)
                window = window.append(f"asked {tool}\n{found.value}", found.label)
            return len(window.working)

    with Computer(vllm_server.engine()) as computer:
        run = computer.run(program)
    assert run.result == STEPS + 1  # nothing was paged out: the transcript was only appended to
    alike = [shared(before, after) for before, after in pairwise(prompts)]
    tails = [len(p) - n for p, n in zip(prompts, alike, strict=False)]
    # What follows the transcript: the end of its fence, what is asked, the answer's mark. Once it
    # is read anew: where it has grown to a document, and stands before what is asked.
    assert sorted(tails)[-2] < 48 and max(tails) < 400
    allowed = sum(tokens // BLOCK * BLOCK for tokens in alike)
    receipt = run.receipt
    print(
        f"{receipt.prompt_tokens} prompt tokens, {allowed} in whole blocks, "
        f"{receipt.cached_tokens} cached"
    )
    assert receipt.calls == STEPS and receipt.prompt_tokens == sum(map(len, prompts))
    assert receipt.cached_tokens >= 0.9 * allowed > 0
