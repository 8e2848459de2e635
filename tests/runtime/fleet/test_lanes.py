"""One limit of requests in flight for a server, whoever asks it: shared by demand, and by 429s."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from threading import Event, Thread
from typing import Any

import pytest
from fleet_kit import crew
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.fake_vllm.faults import mix
from benchmarks.fake_vllm.server import FaultServer
from nlpu.runtime import Computer
from nlpu.runtime.journal.places import place_of

pytest.importorskip("psycopg", reason="needs `pip install -e '.[postgres]'`")
from nlpu.runtime.fleet.workers.lanes import Got, Lane, Place, fair, share


@given(most=st.integers(0, 64), wants=st.lists(st.integers(0, 64), min_size=1, max_size=9))
def test_a_lane_is_shared_by_demand(most: int, wants: list[int]) -> None:
    shares = fair(most, wants)
    assert sum(shares) == most and min(shares) >= 0
    if sum(wants) <= most:
        assert all(got >= wanted for got, wanted in zip(shares, wants, strict=True))
    least = min(got for got, wanted in zip(shares, wants, strict=True))
    for got, wanted in zip(shares, wants, strict=True):
        assert got <= max(wanted, least) + most // len(wants) + 1, "who wants little has little"


@pytest.mark.parametrize("seed", range(20))
def test_shares_never_add_up_to_more_than_the_lane(seed: int) -> None:
    """Whoever asks in whatever order, with whatever is under way."""
    random, most, count = Random(seed), 16, 5
    held, used, flying = [0] * count, [0] * count, [0] * count
    wants = [0] * count
    for _ in range(2000):
        who = random.randrange(count)
        others = [Place(n, wants[n], held[n]) for n in range(count) if n != who]
        wants[who] = random.choice((0, 1, 3, 40))
        uses = max(flying[who], used[who])
        held[who], used[who] = share(most, others, Place(who, wants[who], held[who]), uses)
        for n in range(count):
            flying[n] = random.randint(0, max(used[n], flying[n]))
        assert sum(held) <= most
        assert all(max(u, f) <= h for u, f, h in zip(used, flying, held, strict=True))
    for _ in range(3):  # when all ask for much, and what was under way is over, it is even
        for who in range(count):
            others = [Place(n, 40, held[n]) for n in range(count) if n != who]
            held[who], used[who] = share(most, others, Place(who, 40, held[who]), used[who])
    assert sorted(held) == [3, 3, 3, 3, 4]


def test_one_refusal_slows_all() -> None:
    with Computer("scripted") as computer:
        assert computer.processors
        queue = computer._station.kernel.scheduler.queues["main"]
        lane = Lane("server", queue, queue.processor.max_in_flight)
        calm, cut = {"wants": 0, "cuts": 0}, {"wants": 0, "cuts": 1}
        lane.take(Got(16, 16, 3), calm, 1.0)
        assert queue.limit == 16.0 and lane.look()["cuts"] == 0
        lane.take(Got(16, 16, 4), calm, 2.0)  # another worker was refused since
        assert queue.limit == 8.0 and lane.look()["cuts"] == 0, "it is told once"
        queue.refused(sent_s=3.0, now_s=4.0)
        assert queue.limit == 4.0 and lane.look()["cuts"] == 1
        lane.take(Got(16, 16, 5), cut, 5.0)
        assert queue.limit == 4.0, "its own refusal slowed it already"
        queue.limit = 16.0
        queue.refused(sent_s=6.0, now_s=7.0)
        seen = lane.look()
        lane.hear(7, 7.5)  # called out before its own was answered, which was the sixth
        lane.take(Got(16, 16, 6), {**seen, "cuts": 1}, 8.0)
        limit = queue.limit
        lane.hear(7, 9.0)
        assert queue.limit == limit, "one refusal is heard once"


@contextmanager
def serving() -> Iterator[tuple[str, list[int]]]:
    """A server in a thread; how many requests it had in flight as each came."""
    began, over, found, flying = Event(), Event(), list[str](), list[int]()

    async def serve() -> None:
        plan = mix(0, {"slow:0.02": 1.0})
        async with FaultServer(plan=plan, window=100_000) as server:
            server.answer = lambda seen: flying.append(server.in_flight)  # type: ignore[func-returns-value]
            found.append(server.url)
            began.set()
            await asyncio.to_thread(over.wait)

    thread = Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    began.wait(30)
    try:
        yield found[0], flying
    finally:
        over.set()
        thread.join()


def test_three_workers_keep_to_the_limit_of_one(postgres: Any, tmp_path: Path) -> None:
    inputs = [f"text {n}" for n in range(60)]
    with serving() as (url, flying):
        batch = crew(
            place_of(postgres.fresh()),  # type: ignore[arg-type]
            tmp_path,
            inputs,
            engine=url,
            workers=3,
            facts={"in_flight": 6},
        )
        assert [item.status for item in batch] == ["done"] * 60
    assert len(flying) == 180 and max(flying) <= 6
