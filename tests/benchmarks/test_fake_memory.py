"""The memory of the scripted GPU server, against cases that were computed by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from random import Random
from typing import Any, TypeVar

import pytest
from aiohttp import ClientSession
from http_kit import tokenizer

from benchmarks.fake_vllm.asked import metrics_of
from benchmarks.fake_vllm.blocks import BLOCK, Blocks, Holding
from benchmarks.fake_vllm.gpu import Gpu, Job
from benchmarks.fake_vllm.server import FaultServer
from nlpu import FakeClock

__all__ = ["tokenizer"]  # a fixture
T = TypeVar("T")


def on_a_clock(work: Coroutine[Any, Any, T]) -> tuple[T, float]:
    """What it gives, and the seconds that it took."""
    clock = FakeClock()
    with asyncio.Runner(loop_factory=clock.new_loop) as runner:
        return runner.run(work), clock.now_s


def prompt(name: str, tokens: int) -> list[str]:
    return [name] * tokens


def taken(blocks: Blocks, prompt: list[str]) -> Holding:
    holding = blocks.take(prompt, len(prompt))
    assert holding is not None
    return holding


# -- blocks ----------------------------------------------------------------------------------------


def test_who_begins_alike_shares_blocks_and_who_does_not_fit_gets_none() -> None:
    blocks = Blocks(4)
    first = taken(blocks, prompt("a", 33))  # two full blocks and one of a token
    assert (first.hits, blocks.free) == (0, 1)
    second = taken(blocks, prompt("a", 33))
    assert (second.hits, blocks.free) == (32, 0)
    assert blocks.take(prompt("a", 33), 33) is None and not blocks.grow(first)
    blocks.release(first)
    assert (blocks.free, blocks.usage) == (1, 0.75)  # its own block; the others are held
    blocks.release(second)
    assert (blocks.free, blocks.usage) == (4, 0)


@pytest.mark.parametrize(("tokens", "hits"), [(15, 0), (16, 0), (17, 16), (32, 16), (33, 32)])
def test_the_last_token_is_always_computed(tokens: int, hits: int) -> None:
    blocks = Blocks(8)
    blocks.release(taken(blocks, prompt("a", tokens)))
    assert taken(blocks, prompt("a", tokens)).hits == hits


def test_what_has_waited_longest_is_forgotten_first_and_its_end_before_its_beginning() -> None:
    blocks = Blocks(6)
    for name in ("old", "new"):
        blocks.release(taken(blocks, prompt(name, 48)))
    blocks.release(taken(blocks, prompt("other", 20)))  # two blocks, of which one has a name
    old = taken(blocks, prompt("old", 49))  # four blocks
    assert old.hits == 16  # of its three the last two gave way to the other's
    blocks.release(old)
    assert taken(blocks, prompt("new", 49)).hits == 16  # and of these two to the old one's


def test_after_a_restart_nothing_is_known_nor_what_is_let_go_later() -> None:
    blocks = Blocks(8)
    held = taken(blocks, prompt("a", 33))
    blocks.release(taken(blocks, prompt("b", 33)))
    blocks.forget()
    blocks.release(held)
    assert taken(blocks, prompt("a", 33)).hits == taken(blocks, prompt("b", 33)).hits == 0


def test_without_an_end_nothing_is_forgotten() -> None:
    blocks = Blocks()
    for n in range(100):
        blocks.release(taken(blocks, prompt(str(n), 100)))
    assert all(taken(blocks, prompt(str(n), 100)).hits == 96 for n in range(100))
    assert blocks.usage == 0


# -- what becomes of requests ----------------------------------------------------------------------


def two(priority: int, **how: Any) -> tuple[Gpu, Job, Job]:
    """A step is a second, a block is read in one; each needs three blocks in the end."""
    gpu = Gpu(slots=8, tokens_per_s=1, prefill_per_s=BLOCK, **how)
    return gpu, Job(prompt("a", 16), 16, 20), Job(prompt("b", 16), 16, 20, priority)


async def both(gpu: Gpu, first: Job, second: Job) -> list[float]:
    """When each of them has ended."""
    loop = asyncio.get_running_loop()

    async def ended(job: Job) -> float:
        await gpu.run(job)
        return loop.time()

    return await asyncio.gather(ended(first), ended(second))


def test_with_memory_for_both_neither_waits() -> None:
    gpu, first, second = two(0, blocks=6)
    # Two blocks are read in 2 s, then both have a token in each of 20 s.
    assert on_a_clock(both(gpu, first, second)) == ([22, 22], 22)
    assert (gpu.preempted, gpu.usage, gpu.generated, gpu.steps) == (0, 0, 40, 20)


def test_who_came_last_gives_way_and_computes_anew_what_is_not_cached() -> None:
    gpu, first, second = two(0, blocks=4)
    # In step 18 the first needs its third block. The second gives up its two, with 17 tokens, and
    # waits until step 21 for three. It then reads 17 tokens, since the block of its prompt is still
    # known, and has its last three.
    assert on_a_clock(both(gpu, first, second))[0] == [22, 22 + 17 / 16 + 3]
    assert (gpu.preempted, gpu.generated, second.cached) == (1, 40, 0)
    assert (gpu.prompt_tokens, gpu.cached_tokens) == (32, 0)  # admissions again do not count


def test_who_is_more_urgent_keeps_its_blocks() -> None:
    gpu, first, second = two(-1, blocks=4)
    assert on_a_clock(both(gpu, first, second))[0] == [22 + 17 / 16 + 3, 22]


def test_each_token_is_told_once_though_the_request_gave_way() -> None:
    gpu, first, second = two(0, blocks=4)
    told: list[int] = []
    second.on_token = told.append
    on_a_clock(both(gpu, first, second))
    assert gpu.preempted == 1 and told == list(range(20))


def test_nobody_overtakes_who_waits_for_blocks() -> None:
    gpu = Gpu(slots=8, tokens_per_s=1, prefill_per_s=1e9, blocks=4)
    jobs = [Job(prompt(name, size), size, 1) for name, size in (("a", 33), ("b", 33), ("c", 1))]

    async def all_of_them() -> list[int]:
        await asyncio.gather(*map(gpu.run, jobs))
        return [job.start for job in jobs]

    assert on_a_clock(all_of_them())[0] == [1, 2, 2]


def test_who_goes_away_frees_its_blocks_at_once() -> None:
    gpu = Gpu(slots=8, tokens_per_s=1, prefill_per_s=1e9, blocks=4)
    big, small = Job(prompt("a", 50), 50, 14), Job(prompt("b", 50), 50, 1)

    async def leave() -> float:
        running = asyncio.ensure_future(gpu.run(big))
        await asyncio.sleep(2.5)
        waiting = asyncio.ensure_future(gpu.run(small))
        await asyncio.sleep(1)
        assert (gpu.running, gpu.waiting, gpu.usage) == (1, 1, 1)
        assert "vllm:kv_cache_usage_perc 1.0\n" in metrics_of(gpu)
        running.cancel()
        await waiting
        return asyncio.get_running_loop().time()

    assert on_a_clock(leave())[0] == pytest.approx(5)  # it is admitted in the step from 4 s on


def test_a_router_is_told_a_chats_tokens_as_it_asks_for_them(tokenizer: str) -> None:
    """vllm-router compares beginnings by the ids that /tokenize gives, and looks at both others."""
    asked = {"messages": [{"role": "user", "content": "a b"}], "model": "fault-1"}

    async def told() -> Any:
        async with (
            FaultServer(tokenizer=tokenizer, window=777) as server,
            ClientSession() as client,
            client.post(f"{server.url}/tokenize", json=asked) as answer,
        ):
            return await answer.json()

    assert asyncio.run(told()) == {"tokens": [0, 1, 2], "count": 3, "max_model_len": 777}


def test_what_can_never_fit_is_refused() -> None:
    gpu = Gpu(slots=1, tokens_per_s=1, prefill_per_s=1, blocks=2)
    with pytest.raises(ValueError, match="do not fit 32"):
        on_a_clock(gpu.run(Job(prompt("a", 30), 30, 3)))
    with pytest.raises(ValueError, match="memory holds 32 tokens"):
        FaultServer(gpu=gpu, window=33)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_all_is_generated_once_and_memory_is_never_exceeded(seed: int) -> None:
    random = Random(seed)
    most = random.choice([8, 12, 40])
    gpu = Gpu(slots=8, tokens_per_s=10, prefill_per_s=1000, blocks=most)
    said: list[list[int]] = []
    used: list[float] = []

    def job() -> Job:
        text = prompt(random.choice("abc"), size := random.randrange(1, 60))
        text[size // 2] = random.choice("xyz")
        said.append([])
        note = said[-1].append

        def look(number: int) -> None:
            note(number)
            used.append(gpu.usage)

        return Job(text, size, random.randrange(1, 60), random.randrange(3), look)

    async def work(jobs: list[Job]) -> None:
        async def one(each: Job) -> None:
            await asyncio.sleep(random.random() * 5)
            await gpu.run(each)

        await asyncio.gather(*map(one, jobs))

    jobs = [job() for _ in range(40)]
    on_a_clock(work(jobs))
    assert said == [list(range(each.tokens)) for each in jobs]
    assert gpu.generated == sum(each.tokens for each in jobs) and max(used) <= 1
    assert (gpu.usage, gpu.running, gpu.waiting) == (0, 0, 0)
    assert gpu.preempted or most == 40
