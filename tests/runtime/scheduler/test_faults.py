"""Faults of the host: what is tried again, when, how often, and what is given up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from kit import asked, computer, echo, execute, finish, said

from nlpu import Limits
from nlpu.errors import (
    BadOperand,
    ConnectionLost,
    ConstraintRejected,
    DoesNotFit,
    EngineDied,
    HostError,
    NlpuError,
    NotAModelServer,
    Overloaded,
    Quarantined,
    ServerFault,
    TimedOut,
    Truncated,
    Unauthorized,
    Unreachable,
    UpstreamFailed,
)
from nlpu.runtime import first
from nlpu.runtime.scheduler.retry import EndpointHealth
from nlpu.testing.scripted import Say, Scripted, Seen
from nlpu.wire import Reply, Request

TRANSIENT = [Unreachable, Overloaded, ServerFault, ConnectionLost, TimedOut, EngineDied]
FATAL = [NotAModelServer, Unauthorized, HostError, DoesNotFit, ConstraintRejected, BadOperand]


@pytest.mark.parametrize("fault", TRANSIENT)
def test_what_is_transient_is_tried_again(fault: type[NlpuError]) -> None:
    engine = Scripted([fault("once"), fault("twice"), Say("fine")])
    run = execute(lambda: echo("x"), engine=engine)
    assert run.result == "fine"
    assert (run.receipt.calls, run.receipt.attempts, len(engine.seen)) == (1, 3, 3)
    assert 0 < run.receipt.seconds <= 16  # it waited, on the clock


@pytest.mark.parametrize("fault", FATAL)
def test_what_is_not_transient_is_not(fault: type[NlpuError]) -> None:
    engine = Scripted(fault("for good"))
    run = execute(lambda: echo("x"), engine=engine)
    assert type(run.error) is fault
    assert len(engine.seen) == 1


def test_an_invalid_answer_is_final() -> None:
    engine = Scripted(Say("and on and on", finish_length=True))
    run = execute(lambda: echo("x"), engine=engine)
    assert isinstance(run.error, Truncated)
    assert (len(engine.seen), run.receipt.wasted_nlops) == (1, 0.04)


def test_a_call_has_so_many_attempts() -> None:
    engine = Scripted(ServerFault("always"))
    run = execute(lambda: echo("x"), engine=engine, limits=Limits(attempts=4))
    assert isinstance(run.error, ServerFault)
    assert len(engine.seen) == run.receipt.attempts == 4


def test_the_server_says_how_long_to_wait() -> None:
    engine = Scripted([Overloaded("later", retry_after_s=40.0), Say("fine")])
    run = execute(lambda: echo("x"), engine=engine)
    assert run.result == "fine"
    assert 40 <= run.receipt.seconds < 42


def test_no_server_makes_us_wait_longer_than_our_patience() -> None:
    engine = Scripted([Overloaded("later", retry_after_s=1e9), Say("fine")])
    run = execute(lambda: echo("x"), engine=engine, limits=Limits(patience_s=5.0))
    assert run.receipt.seconds <= 6


def test_all_retries_have_a_budget() -> None:
    engine = Scripted(ServerFault("always"))
    run = execute(
        lambda: [part for part in echo.map(texts(200)).each() if not fails(part)], engine=engine
    )
    assert run.result == []
    assert len(engine.seen) == 200 + 20


def texts(n: int) -> list[str]:
    return [f"{k}" for k in range(n)]


def fails(part: Any) -> bool:
    try:
        str(part)
    except NlpuError:
        return True
    return False


def test_a_tenth_of_faults_costs_at_most_so_many_attempts() -> None:
    random = Random(7)

    def script(seen: Seen) -> Any:
        kinds = [ServerFault("x"), Overloaded("x", retry_after_s=0.5), TimedOut("x")]
        return random.choice(kinds) if random.random() < 0.1 else Say(said(seen), seconds=1.0)

    engine = Scripted(script)
    run = execute(lambda: echo.map(texts(1000)), engine=engine, limits=Limits(max_in_flight=50))
    assert run.result == texts(1000)
    assert run.receipt.attempts <= 1.3 * run.receipt.calls == 1300


def test_no_answer_in_time_is_a_fault() -> None:
    engine = Scripted([Say("late", seconds=700.0), Say("fine", seconds=1.0)])
    run = execute(lambda: echo("x"), engine=engine, limits=Limits(timeout_s=30.0))
    assert run.result == "fine"
    assert 31 <= run.receipt.seconds < 33
    assert len(engine.cancelled) == 1
    stuck = execute(
        lambda: echo("x"),
        engine=Say("late", seconds=700.0),
        limits=Limits(timeout_s=30.0, attempts=2),
    )
    assert isinstance(stuck.error, TimedOut)
    assert "no answer within 30 s" in str(stuck.error)


def test_each_attempt_has_its_own_time() -> None:
    """The timer of a lane is one; every flight is watched all the same."""
    engine = Scripted(lambda s: Say("x", seconds=float(s.operands["text"])))

    def program() -> Any:
        seconds = ["1", "50", "20", "40", "29"]
        return [fails(part) for part in echo.map(seconds).each()]

    run = execute(program, engine=engine, limits=Limits(timeout_s=30.0, attempts=1))
    assert run.result == [False, True, False, True, False]
    assert run.receipt.seconds == 30.0


def test_a_call_that_another_takes_over_keeps_its_time_and_so_do_those_after_it() -> None:
    def script(seen: Seen) -> Say:
        return Say("x", seconds=6.0 if seen.operands["text"] == "fast" else 1000.0)

    async def program() -> list[float]:
        raced, heir = first(echo("x"), echo("fast")), echo("x")
        await asyncio.sleep(5)
        late = echo("late")
        await raced
        times = []
        for value in (heir, late):
            with pytest.raises(TimedOut):
                await value
            times.append(asyncio.get_running_loop().time())
        return times

    run = execute(program, engine=script, limits=Limits(timeout_s=10.0, attempts=1))
    started, ended = run.result
    assert ended - started == 5.0 and run.receipt.seconds == 15.0


# -- a server without room -----------------------------------------------------------------------


class Busy(Scripted):
    """Serves one call each ``every_s`` seconds, and refuses the others until then."""

    def __init__(self, every_s: float, tells: bool = True, **options: Any) -> None:
        super().__init__(said, **options)
        self.every_s, self.tells, self.free_s, self.refused = every_s, tells, 0.0, 0

    async def send(self, request: Request, on_text: Callable[[str], None] | None = None) -> Reply:
        wait_s = self.free_s - asyncio.get_running_loop().time()
        if wait_s > 0:
            self.refused += 1
            raise Overloaded("slow down", retry_after_s=wait_s if self.tells else None)
        self.free_s += self.every_s - wait_s
        return await super().send(request, on_text)


@pytest.mark.parametrize(
    ("wide", "tells", "most"), [(1, True, 100), (16, True, 130), (200, True, 300), (16, False, 400)]
)
def test_a_server_with_little_room_answers_everybody(wide: int, tells: bool, most: int) -> None:
    engine = Busy(1.0, tells, max_in_flight=wide)
    run = execute(lambda: echo.map(texts(100)), engine=engine, limits=Limits(attempts=2))
    assert run.result == texts(100)
    assert engine.refused == run.receipt.attempts - 100 <= most
    assert run.receipt.seconds < 100 * (1.6 if tells else 2.2)


def test_a_server_that_has_room_for_nobody_ends_our_patience() -> None:
    engine = Scripted(Overloaded("full", retry_after_s=5.0))
    run = execute(
        lambda: [fails(part) for part in echo.map(texts(100)).each()],
        engine=engine,
        limits=Limits(patience_s=60.0, max_in_flight=16),
    )
    assert run.result == [True] * 100
    assert 60 < run.receipt.seconds < 90
    assert len(engine.seen) < 200  # the last are asked once


def test_a_call_there_is_never_room_for_does_not_take_the_others_along() -> None:
    def script(seen: Seen) -> Any:
        return Overloaded("too large") if seen.operands["text"] == "7" else Say("ok", seconds=1.0)

    engine = Scripted(script, max_in_flight=16)
    run = execute(lambda: [fails(part) for part in echo.map(texts(50)).each()], engine=engine)
    assert [n for n, failed in enumerate(run.result) if failed] == [7]


def test_what_is_sent_at_once_is_halved_once_for_a_crowd_and_creeps_up() -> None:
    with computer(Scripted(max_in_flight=16)) as machine:
        finish(machine.start(lambda: echo("x")))
        (queue,) = machine._station.kernel.scheduler.queues.values()
    for sent_s, limit in [(0, 8), (0, 8), (1, 8), (2, 4), (3, 2), (4, 1), (5, 1)]:
        queue.refused(sent_s, max(sent_s, 1.0))
        assert queue.limit == limit
    for _ in range(16 * 15):
        queue.answered()
    assert queue.limit == 16
    queue.answered()
    assert queue.limit == 16


# -- a server that is down -----------------------------------------------------------------------


class Server(Scripted):
    """A server that can be down, and that dies of some prompts."""

    def __init__(self, script: Any = said, deadly: str = "", down_s: float = 3.0) -> None:
        super().__init__(lambda seen: Say(said(seen), seconds=1.0))
        self.deadly, self.down_s, self.up_again_s, self.deaths = deadly, down_s, 0.0, 0

    async def send(self, request: Request, on_text: Callable[[str], None] | None = None) -> Reply:
        loop = asyncio.get_running_loop()
        if loop.time() < self.up_again_s:
            self.seen.append(Seen("", {"text": "knock"}, request))
            raise Unreachable("connection refused")
        born = self.deaths
        reply = super().send(request, on_text)
        text = "".join(map(chr, (i for i in request.prompt if isinstance(i, int) and i < 0x110000)))
        if self.deadly and self.deadly in text:
            self.deaths += 1
            self.up_again_s = loop.time() + self.down_s
            reply.close()
            self.seen.append(Seen("", {"text": self.deadly}, request))
            raise ConnectionLost("the connection was closed")
        answer = await reply
        if self.deaths != born:
            raise ConnectionLost("the connection was closed")
        return answer


def test_while_a_server_is_down_one_knocks_and_the_others_wait() -> None:
    engine = Server()
    engine.up_again_s = 20.0
    run = execute(lambda: echo.map(texts(50)), engine=engine, limits=Limits(max_in_flight=10))
    assert run.result == texts(50)
    assert asked(engine).count("knock") <= 10 + 12
    assert 20 < run.receipt.seconds < 60


def test_a_server_that_stays_down_ends_our_patience() -> None:
    engine = Server()
    engine.up_again_s = 1e9
    run = execute(
        lambda: echo.map(texts(30)), engine=engine, limits=Limits(patience_s=40.0, max_in_flight=3)
    )
    assert isinstance(run.error, UpstreamFailed)
    assert isinstance(run.error.__cause__, Unreachable)
    assert 40 < run.receipt.seconds < 60
    assert run.receipt.failed == 30


def test_a_restarted_server_is_noticed_soon_even_by_many() -> None:
    engine = Server(deadly="17", down_s=2.0)
    engine.deadly = ""
    engine.up_again_s = 2.0
    run = execute(lambda: echo.map(texts(200)), engine=engine, limits=Limits(max_in_flight=200))
    assert run.result == texts(200)
    assert run.receipt.seconds < 20


@pytest.mark.parametrize("place", [0, 9, 20])
@pytest.mark.parametrize("down_s", [2.0, 10.0])
def test_what_kills_the_server_twice_is_quarantined(place: int, down_s: float) -> None:
    """And the rest goes on, wherever in the queue it was."""
    engine = Server(deadly="poison", down_s=down_s)

    def program() -> Any:
        items = [*texts(place), "poison", *texts(20)[place:]]
        return [None if fails(part) else part.value for part in echo.map(items).each()], echo("z")

    with computer(engine, limits=Limits(max_in_flight=4, patience_s=600)) as machine:
        run = finish(machine.start(program))
        parts, after = run.result
        assert parts == [*texts(place), None, *texts(20)[place:]]
        assert after == "z"
        assert 2 <= engine.deaths <= 4  # more than two only where it was sent to an open door
        failed = finish(machine.start(lambda: echo("again poison")))
    assert isinstance(failed.error, Quarantined)
    assert "two deaths of the server" in str(failed.error)


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    ("bug", "told"), [(ZeroDivisionError("a bug"), "ZeroDivisionError: a bug"), (Mute(), "Mute")]
)
def test_an_engine_that_breaks_its_word_is_a_typed_error(bug: Exception, told: str) -> None:
    class Broken(Scripted):
        async def send(self, request: Request, on_text: Any = None) -> Reply:
            raise bug

    run = execute(lambda: echo("x"), engine=Broken())
    assert type(run.error) is HostError
    assert str(run.error) == f"the engine of main failed: {told}"


# -- the arithmetic ------------------------------------------------------------------------------


def test_waits_grow_have_full_jitter_and_a_cap() -> None:
    health = EndpointHealth(Random(1), 60.0)
    waits = [[health.delay_s(n, ServerFault("x")) for _ in range(300)] for n in range(1, 10)]
    for n, tries in enumerate(waits, start=1):
        cap = min(15.0, 0.25 * 2**n)
        assert 0 <= min(tries) < 0.1 * cap and 0.9 * cap < max(tries) <= cap


def test_the_retry_budget_is_a_fifth_and_twenty() -> None:
    health = EndpointHealth(Random(1), 60.0)
    fault = ServerFault("x")
    assert sum(health.may_retry(fault) for _ in range(100)) == 20
    for _ in range(50):
        health.answer()
    assert sum(health.may_retry(fault) for _ in range(100)) == 10
    assert all(health.may_retry(Unreachable("x")) for _ in range(100))
