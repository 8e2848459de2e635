"""A real vllm-router before scripted servers: what it is told, and what it does with requests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from http_kit import TURNS, ask
from test_http_offers import LONG, longer

from benchmarks.fake_vllm.faults import Plan
from benchmarks.fake_vllm.gpu import Gpu
from benchmarks.fake_vllm.server import FaultServer
from benchmarks.servers import tokenizer
from nlpu import Computer, op
from nlpu import errors as e
from nlpu.engines.http.engine import HttpEngine
from nlpu.engines.http.offers import FIELDS
from nlpu.engines.vllm.command import router_python
from nlpu.engines.vllm.kv_room import kv_tokens, scheduling
from nlpu.engines.vllm.replicated import Router
from tests.vllm_fixture import Served

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(300)]
Servers = list[FaultServer]


@pytest.fixture
def python() -> str:
    try:
        return router_python()
    except e.MissingPart as missing:
        pytest.skip(str(missing))


def upstream(url: str, model: str = "fault-1", key: str = "k", seed: bool = False) -> Any:
    """A server that is up, as a router needs it."""
    return SimpleNamespace(url=url, model=model, api_key=key, seed=seed, priority=True, traces=None)


@asynccontextmanager
async def routed(
    python: str, directory: str | None = None, plan: Plan | None = None
) -> AsyncIterator[tuple[Router, Servers]]:
    """A router before two scripted servers."""
    common: dict[str, Any] = {"api_key": "k", "offers": FIELDS, "window": 1 << 16}
    common |= {"tokenizer": directory}
    async with (
        FaultServer(**common) as one,
        FaultServer(**common) as other,
        Router([upstream(each.url) for each in (one, other)], python, ready_s=30) as router,
    ):
        for each in (one, other):
            each.seen.clear()  # it was asked whether it is up
            each.plan = plan
        yield router, [one, other]


def on(python: str, test: Callable[[Router, Servers], Any], **options: Any) -> None:
    async def go() -> None:
        async with routed(python, **options) as (router, servers):
            await test(router, servers)

    asyncio.run(go())


def test_a_router_is_found_and_told_and_keeps_programs_together(python: str) -> None:
    tell, find = op("Go on."), op("Answer.", operands=2)

    def program() -> Any:
        story = LONG
        for _ in range(3):
            story = longer(story, tell(story))
        texts = [f"{n} {LONG}" for n in range(4)]
        return [story, *(find(f"What is {n}?", text) for n in range(3) for text in texts)]

    def run(router: Router) -> Any:
        with Computer(router.engine()) as computer:
            return computer.run(program)

    async def test(router: Router, servers: Servers) -> None:
        done = await asyncio.to_thread(run, router)
        assert done.error is None
        by_server = []
        for server in servers:
            told = [seen.body["vllm_xargs"]["agentic_context"] for seen in server.seen]
            by_server.append({json.loads(each)["program_id"] for each in told})
        assert sum(len(server.seen) for server in servers) == 15
        assert not by_server[0] & by_server[1]
        assert {len(programs) for programs in by_server} == {2, 3}  # in turn

    with tokenizer() as (directory, _):
        on(python, test, directory=directory)


def test_a_request_that_finds_no_room_is_sent_once(python: str) -> None:
    async def test(router: Router, servers: Servers) -> None:
        engine = router.engine()
        await engine.capabilities()
        with pytest.raises(e.Overloaded):
            await engine.send(ask(TURNS))
        await engine.close()
        assert sum(len(server.seen) for server in servers) == 1

    on(python, test, plan=lambda seen: "503")


def test_who_gives_up_is_heard_by_the_server_behind(python: str) -> None:
    async def test(router: Router, servers: Servers) -> None:
        engine = router.engine()
        await engine.capabilities()
        task = asyncio.create_task(engine.send(ask(TURNS)))
        waits = [asyncio.create_task(each.until(lambda one: one.in_flight)) for each in servers]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        engine.cancel("r1")
        with pytest.raises(e.Cancelled):
            await task
        (busy,) = [each for each in servers if each.seen]
        await busy.until(lambda one: not one.in_flight)
        assert busy.seen[0].ended == "disconnected"
        for each in waits:
            each.cancel()
        await engine.close()

    on(python, test, plan=lambda seen: "no_answer")


def test_who_has_no_key_gets_nothing(python: str) -> None:
    async def test(router: Router, servers: Servers) -> None:
        engine = HttpEngine(router.url, api_key="another")
        with pytest.raises(e.Unauthorized):
            await engine.capabilities()
        await engine.close()
        assert not any(server.seen for server in servers)

    on(python, test)


def test_questions_go_to_a_real_server_through_it(python: str, vllm_server: Served) -> None:
    served = vllm_server
    find = op("Answer the question.", operands=2, max_tokens=4, at_limit="trim")

    def run(router: Router) -> Any:
        with Computer(router.engine()) as computer:
            return computer.run(lambda: [find(f"What is {n}?", LONG) for n in range(4)])

    async def go() -> None:
        real = upstream(served.url, served.model, served.api_key, served.seed)
        async with Router([real], python) as router:
            done = await asyncio.to_thread(run, router)
        assert done.error is None and done.receipt.calls == 4
        assert done.receipt.cached_tokens > 0

    asyncio.run(go())


@pytest.mark.parametrize("documents", [1, 12], ids=["one program", "many programs"])
def test_programs_wait_for_memory_and_all_are_answered(python: str, documents: int) -> None:
    """What is asked at once is many times what both servers hold."""
    find = op("Answer.", operands=2, max_tokens=4, at_limit="trim")

    def run(router: Router) -> Any:
        texts = [f"{n} {LONG}" for n in range(documents)]
        with Computer(router.engine()) as computer:
            return computer.run(
                lambda: [find(f"What is {n}?", text) for n in range(24) for text in texts]
            )

    async def go(directory: str) -> None:
        common: dict[str, Any] = {"api_key": "k", "offers": FIELDS, "tokenizer": directory}
        async with AsyncExitStack() as stack:
            for _ in range(2):
                server = FaultServer(**common, window=512, gpu=Gpu(32, 200, 50_000, 64))
                servers.append(await stack.enter_async_context(server))
            room = await kv_tokens([each.url for each in servers])
            assert room == 64 * 16
            ups = [upstream(each.url) for each in servers]
            router = Router(ups, python, programs=scheduling(room), ready_s=30)
            await stack.enter_async_context(router)
            done = await asyncio.to_thread(run, router)
        assert done.error is None and done.receipt.calls == 24 * documents
        assert done.receipt.seconds < 60, "nobody waits for the router to lose its patience"

    servers: Servers = []
    with tokenizer() as (directory, _):
        asyncio.run(go(directory))


def test_a_real_server_tells_what_it_holds(vllm_server: Served) -> None:
    room = asyncio.run(kv_tokens([vllm_server.url]))
    assert room is not None and room >= 2048
    assert asyncio.run(kv_tokens([vllm_server.url, "http://127.0.0.1:9"])) is None
