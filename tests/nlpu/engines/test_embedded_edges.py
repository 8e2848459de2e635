"""The embedded processor at its edges: cancelled, closed and left at bad moments; odd requests."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from kit import requested

from nlpu.engines import loading as loader
from nlpu.engines.embedded.engine import EmbeddedEngine
from nlpu.engines.models import ModelFiles, Progress, installed_model
from nlpu.engines.models.store import Tell
from nlpu.engines.threads import Threads
from nlpu.errors import BadOperand, Cancelled, ConstraintRejected, MissingPart, Usage
from nlpu.sampling import Sampling
from nlpu.wire import Constraint, Reply, Request

pytestmark = pytest.mark.local
try:
    installed_model(None)
except MissingPart as missing:
    pytest.skip(str(missing), allow_module_level=True)

PROMPT = tuple(range(100, 140))
LONG = 900


@pytest.fixture(scope="module")
def bench() -> Iterator[tuple[asyncio.Runner, EmbeddedEngine]]:
    runner, engine = asyncio.Runner(), EmbeddedEngine(window=1024, max_in_flight=1)
    yield runner, engine
    runner.run(engine.close())
    runner.close()


# -- while the model is loaded --------------------------------------------------------------------


def test_a_request_is_cancelled_while_the_model_is_loaded() -> None:
    async def work() -> None:
        engine = EmbeddedEngine(window=256, max_in_flight=1)
        loading = asyncio.create_task(engine.capabilities())
        gone = asyncio.create_task(engine.send(Request("gone", PROMPT, Sampling(100))))
        both = asyncio.create_task(engine.send(Request("both", PROMPT, Sampling(100))))
        stays = asyncio.create_task(engine.send(Request("stays", PROMPT, Sampling(2))))
        await asyncio.sleep(0)
        engine.cancel("gone")
        engine.cancel("both")
        both.cancel()
        for task, error in ((gone, Cancelled), (both, asyncio.CancelledError)):
            with pytest.raises(error):
                await task
        assert not loading.done()
        assert (await stays).usage.completion_tokens == 2
        await engine.close()

    asyncio.run(work())


def test_closing_while_the_model_is_loaded_starts_nothing() -> None:
    async def work() -> None:
        engine, heard = EmbeddedEngine(window=1024, max_in_flight=2), list[str]()
        loading = asyncio.create_task(engine.capabilities())
        asks = [Request(str(n), PROMPT, Sampling(LONG)) for n in range(3)]
        tasks = [asyncio.create_task(engine.send(one, heard.append)) for one in asks]
        await asyncio.sleep(0)
        await engine.close()
        for answer in await asyncio.gather(loading, *tasks, return_exceptions=True):
            assert isinstance(answer, Cancelled)
        assert not heard

    asyncio.run(work())


def test_closing_ends_a_download(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = threading.Event()

    def endless(name: str | None, tell: Tell) -> ModelFiles:
        while True:
            tell(Progress("a model", 1, 2))
            begun.set()

    async def work() -> None:
        monkeypatch.setattr(loader, "fetch_model", endless)
        told: list[Progress] = []
        engine = EmbeddedEngine(tell=lambda now: told.append(now) if not told else None)
        loading = asyncio.create_task(engine.capabilities())
        await asyncio.to_thread(begun.wait)
        await engine.close()
        with pytest.raises(Cancelled, match="closed"):
            await loading
        assert told == [Progress("a model", 1, 2)]

    asyncio.run(work())


# -- while it runs --------------------------------------------------------------------------------


_LEFT = """
import asyncio, atexit, sys, threading
from nlpu.engines.embedded.engine import EmbeddedEngine
from nlpu.engines.threads import Threads
from nlpu.sampling import Sampling
from nlpu.wire import Request

pieces, heard = [], threading.Event()
engine, loop = EmbeddedEngine(window=4096, max_in_flight=2), asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()
for name in "abc":
    request = Request(name, tuple(range(100, 140)), Sampling(4000))
    sending = engine.send(request, lambda piece: (pieces.append(piece), heard.set()))
    asyncio.run_coroutine_threadsafe(sending, loop)
heard.wait()
atexit.register(lambda: print(len(pieces)))  # once all threads but daemons have ended
sys.exit(3)
"""


def test_a_program_that_ends_does_not_wait_for_what_is_generated() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _LEFT], check=False, capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == 3, ended.stderr  # not an abort
    assert int(ended.stdout) < 400


def test_two_requests_of_one_id_are_both_cancelled(
    bench: tuple[asyncio.Runner, EmbeddedEngine],
) -> None:
    runner, engine = bench

    async def work() -> None:
        seen = asyncio.Event()
        twin = Request("twin", PROMPT, Sampling(LONG))
        tasks = [asyncio.create_task(engine.send(twin, lambda _: seen.set())) for _ in range(2)]
        await seen.wait()
        engine.cancel("twin")
        engine.cancel("twin")
        for answer in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(answer, Cancelled)

    runner.run(work())


def test_another_loop_may_close_and_no_more() -> None:
    engine = EmbeddedEngine(window=1024, max_in_flight=1)
    seen = asyncio.Event()

    async def first() -> None:  # what still runs is cancelled by the loop's end
        running = asyncio.create_task(
            engine.send(Request("a", PROMPT, Sampling(LONG)), lambda _: seen.set())
        )
        await seen.wait()
        assert not running.done()

    async def second() -> None:
        with pytest.raises(Usage, match="another event loop"):
            await engine.send(Request("b", PROMPT, Sampling(2)))
        await engine.close()
        with pytest.raises(Cancelled):
            await engine.send(Request("c", PROMPT, Sampling(2)))

    asyncio.run(first())
    asyncio.run(second())


def test_a_closed_loop_hears_nothing() -> None:
    threads, gate = Threads(), threading.Event()

    async def work() -> asyncio.Future[bool]:
        return threads.run(gate.wait)

    left = asyncio.run(work())
    gate.set()
    threads.join()
    assert not left.done()


# -- odd requests ---------------------------------------------------------------------------------


def send(bench: tuple[asyncio.Runner, EmbeddedEngine], **odd: Any) -> Reply:
    runner, engine = bench
    wanted = {"id": "odd", "prompt": PROMPT, "max_tokens": 4}
    return runner.run(engine.send(requested(**wanted | odd)))


@pytest.mark.parametrize("stop", [(), ("\0", "x" * 5000)])
def test_what_no_text_holds_stops_nothing(
    bench: tuple[asyncio.Runner, EmbeddedEngine], stop: tuple[str, ...]
) -> None:
    assert send(bench, stop=stop).usage.completion_tokens == 4


@pytest.mark.parametrize("size", [1, 1023])
def test_the_shortest_and_the_longest_prompt(
    bench: tuple[asyncio.Runner, EmbeddedEngine], size: int
) -> None:
    reply = send(bench, prompt=(100,) * size, max_tokens=1)
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.finish) == (
        size,
        1,
        "length",
    )


def test_truth_is_no_token(bench: tuple[asyncio.Runner, EmbeddedEngine]) -> None:
    with pytest.raises(BadOperand):
        send(bench, prompt=(True, False))


def test_probabilities_of_choices_that_are_not_ascii_are_refused(
    bench: tuple[asyncio.Runner, EmbeddedEngine],
) -> None:
    # llama.cpp hands out what a token could have been together with its text. A token that ends
    # within a character has none, so the first that is told of would be that of a later token.
    letters = Constraint("choice", '["é", "x"]')
    assert send(bench, constraint=letters).text in ("é", "x")
    with pytest.raises(ConstraintRejected, match="ASCII"):
        send(bench, constraint=letters, probabilities=True)
    plain = send(bench, constraint=Constraint("choice", '["zqxj", "#@!"]'), probabilities=True)
    assert sum(plain.probabilities) == pytest.approx(1)
