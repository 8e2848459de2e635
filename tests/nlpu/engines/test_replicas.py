"""Servers of one model: what shares a document stays together; who dies takes nothing along."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from fault_kit import LIMITS, RIGHT, Servers, servers, tell
from hypothesis import given
from hypothesis import strategies as st
from kit import requested

from benchmarks.fake_vllm.faults import script
from nlpu import Computer, HostError, Usage
from nlpu.engines.registry import engine_of, named_engine
from nlpu.engines.replicas import BUSIER, COOL_S, MOST_COOL_S, STEP, Replicas, Ways
from nlpu.errors import (
    Cancelled,
    ConnectionLost,
    NotAModelServer,
    ServerFault,
    Unauthorized,
    Unreachable,
)
from nlpu.testing import FakeClock, Scripted
from nlpu.wire import Capabilities, Message, Reply, Request

__all__ = ["servers"]  # a fixture


# -- where requests go, without any server -----------------------------------------------------


def document(number: int) -> tuple[int, ...]:
    return (number,) * (4 * STEP)


def test_questions_on_one_document_stay_on_one_server_and_documents_spread() -> None:
    ways, at = Ways(3), dict[int, set[int]]()
    for question in range(8):
        for number in range(3):
            prompt = (*document(number), question, question)
            server = ways.pick(prompt, 0.0)[0]
            ways.sent(server, prompt)
            ways.busy[server] += 1
            at.setdefault(number, set()).add(server)
    assert all(len(servers) == 1 for servers in at.values())
    assert set.union(*at.values()) == {0, 1, 2}


def test_a_server_that_is_much_busier_is_left_to_what_it_has() -> None:
    ways = Ways(2)
    ways.sent(0, document(1))
    ways.busy[0] = BUSIER - 1
    assert ways.pick(document(1), 0.0)[0] == 0
    ways.busy[0] = BUSIER
    assert ways.pick(document(1), 0.0)[0] == 1


def test_messages_share_beginnings_as_ids_do() -> None:
    ways, text = Ways(2), "It rained. " * 100
    asked = [(Message("system", "Answer."), Message("user", text + end)) for end in ("A?", "B?")]
    ways.sent(1, asked[0])
    assert ways.pick(asked[1], 0.0)[0] == 1
    assert ways.pick((Message("system", "Other."), Message("user", text)), 0.0)[0] == 0


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["send", "fail", "end"]))))
def test_all_servers_are_named_once_and_those_that_are_down_last(steps: list[Any]) -> None:
    ways, now = Ways(4), 0.0
    down: dict[int, float] = {}
    for server, what in steps:
        now += 0.1
        if what == "send":
            ways.sent(server, document(server))
            ways.busy[server] += 1
        elif what == "end":
            ways.busy[server] = max(0, ways.busy[server] - 1)
            ways.answered(server)
            down.pop(server, None)
        else:
            ways.failed(server, now)
            down[server] = now + COOL_S
        order = ways.pick(document(server), now)
        assert sorted(order) == [0, 1, 2, 3]
        last = [each for each in order if down.get(each, 0.0) > now]
        assert set(order[len(order) - len(last) :]) >= set(last)


def test_a_server_is_left_alone_the_longer_the_more_often_it_failed() -> None:
    ways = Ways(2)
    waits = list[float]()
    for _ in range(8):
        ways.failed(0, 0.0)
        waits.append(next(s / 2 for s in range(1000) if ways.pick((), s / 2)[0] == 0))
    assert waits == sorted(waits) and waits[0] == COOL_S and waits[-1] == MOST_COOL_S
    for _ in range(2000):  # of a day that it is away
        ways.failed(0, 0.0)
    assert ways.pick((), MOST_COOL_S)[0] == 0
    ways.answered(0)
    assert ways.pick((), 0.0)[0] == 0


# -- as an engine -------------------------------------------------------------------------------


class Named(Scripted):
    """A server that is there or not; what it was sent is kept by name."""

    def __init__(self, name: str, there: bool = True, model: str = "m", window: int = 8000) -> None:
        super().__init__(lambda seen: name)
        self.name, self.there, self.model, self.wide = name, there, model, window
        self.odd: HostError | None = None
        self.asked, self.opened = 0, 0
        self.during: Callable[[], None] = lambda: None
        self.begun: Callable[[], None] = lambda: None

    async def capabilities(self) -> Capabilities:
        if not self.there:
            raise Unreachable(f"{self.name} is not there")
        self.opened += 1
        self.begun()
        if self.odd is not None:
            raise self.odd
        found = await super().capabilities()
        return Capabilities(self.model, self.wide, 4, found.token_prompts)

    async def send(self, request: Request, on_text: Any = None) -> Reply:
        if not self.there:
            raise Unreachable(f"{self.name} is not there")
        self.asked += 1
        self.during()
        return await super().send(request, on_text)


def asking(number: int = 0) -> Request:
    return requested(id=f"r{number}", prompt=document(number), max_tokens=20)


def test_one_that_is_not_there_is_asked_what_it_is_before_it_is_sent_anything() -> None:
    async def test() -> None:
        here, away = Named("here"), Named("away", there=False)
        engine = Replicas([away, here])
        can = await engine.capabilities()
        assert can.max_in_flight == 4 and "1 server of 2 cannot be reached" in can.weaker
        assert (await engine.send(asking())).text == "here"
        away.there = here.there = True
        here.there = False
        assert (await engine.send(asking())).text == "away"
        assert away.opened == 1 and away.asked == 1

    asyncio.run(test())


def test_another_model_is_never_taken_for_this_one() -> None:
    async def test() -> None:
        with pytest.raises(Usage, match="must be alike"):
            await Replicas([Named("a"), Named("b", model="n")]).capabilities()
        late = Named("b", there=False, model="n")
        first = Named("a")
        engine = Replicas([first, late])
        await engine.capabilities()
        late.there, first.there = True, False
        with pytest.raises(Usage, match="must be alike"):
            await engine.send(asking())
        assert late.asked == 0

    asyncio.run(test())


class Moved(asyncio.SelectorEventLoop):
    """A loop whose clock can be put forward."""

    later_s = 0.0

    def time(self) -> float:
        return super().time() + self.later_s


FAULTS = [ServerFault("it loads"), NotAModelServer("a web page"), Unauthorized("no key")]


@pytest.mark.parametrize(
    ("odd", "told"),
    [
        ({"model": "n"}, "must be alike"),
        ({"wide": 2000}, "window .2,000 tokens of 8,000"),
        *(({"odd": fault}, "a is not there") for fault in FAULTS),
    ],
)
def test_one_that_comes_later_and_is_another_is_passed_over(odd: Any, told: str) -> None:
    """It is idle, and so would be the first to be sent everything."""

    async def test() -> None:
        late, first = Named("b", there=False), Named("a")
        engine = Replicas([late, first])
        assert (await engine.capabilities()).window == 8000
        vars(late).update(odd, there=True)
        loop.later_s = MOST_COOL_S
        replies = await asyncio.gather(*(engine.send(asking(n)) for n in range(8)))
        assert [each.text for each in replies] == ["a"] * 8
        assert late.opened == 1 and late.asked == 0
        first.there = False
        with pytest.raises((Usage, Unreachable), match=told):
            await engine.send(asking())
        assert late.asked == 0

    loop = Moved()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(test())


def test_who_gives_up_while_a_server_is_asked_what_it_is_sends_nothing() -> None:
    async def test() -> None:
        late, first = Named("b", there=False), Named("a")
        engine = Replicas([late, first])
        await engine.capabilities()
        late.there, first.there = True, False
        late.begun = lambda: engine.cancel("r0")
        with pytest.raises(Cancelled):
            await engine.send(asking(0))
        assert late.asked == 0 and (await engine.send(asking(1))).text == "b"

    asyncio.run(test())


def test_who_gives_up_while_a_server_is_tried_that_is_not_there_goes_to_no_other() -> None:
    async def test() -> None:
        odd, other, first = Named("odd", there=False), Named("other", there=False), Named("first")
        engine = Replicas([odd, other, first])
        await engine.capabilities()
        odd.there = other.there = True

        def give_up() -> None:
            engine.cancel("r0")
            raise Unreachable("it went while it was reached")

        first.during = odd.begun = give_up
        with pytest.raises(Cancelled):
            await engine.send(asking())
        first.there = False
        with pytest.raises(Cancelled):
            await engine.send(asking())
        assert (first.asked, odd.opened, odd.asked, other.asked) == (1, 1, 0, 0)
        assert (await engine.send(asking(1))).text == "other"

    asyncio.run(test())


def test_one_that_was_gone_is_asked_anew_what_it_is() -> None:
    async def test() -> None:
        one, other = Named("one"), Named("other")
        engine = Replicas([one, other])
        await engine.capabilities()
        one.there = False
        assert (await engine.send(asking())).text == "other"
        one.there, one.wide, other.there = True, 100, False
        with pytest.raises(Usage, match="100 tokens of 8,000"):
            await engine.send(asking())
        one.wide = 9000
        assert (await engine.send(asking())).text == "one"

    asyncio.run(test())


def test_a_lost_answer_is_the_schedulers_and_goes_to_nobody_else() -> None:
    async def test() -> None:
        one, other = Named("one"), Named("other")

        def lose() -> None:
            raise ConnectionLost("it broke")

        one.during = other.during = lose
        engine = Replicas([one, other])
        await engine.capabilities()
        with pytest.raises(ConnectionLost):
            await engine.send(asking())
        assert one.asked + other.asked == 1

    asyncio.run(test())


def test_who_lost_an_answer_is_left_alone_until_it_has_cooled() -> None:
    """Then it is asked what it is, and has its turn again."""

    async def test() -> None:
        one, other = Named("one"), Named("other")

        def lose() -> None:
            raise ConnectionLost("it broke")

        one.during = lose
        engine = Replicas([one, other])
        await engine.capabilities()
        with pytest.raises(ConnectionLost):
            await engine.send(asking())
        one.during = lambda: None
        assert [(await engine.send(asking(n))).text for n in range(4)] == ["other"] * 4
        assert (one.asked, one.opened) == (1, 1)
        clock.now_s += COOL_S / 2
        assert (await engine.send(requested(id="r8", prompt=(1,), max_tokens=9))).text == "other"
        clock.now_s += COOL_S
        assert (await engine.send(requested(id="r9", prompt=(2,), max_tokens=9))).text == "one"
        assert (one.asked, one.opened) == (2, 2)

    clock = FakeClock()  # which stands still, since nobody waits
    with asyncio.Runner(loop_factory=clock.new_loop) as runner:
        runner.run(test())


def test_where_nobody_is_there_that_is_told() -> None:
    async def test() -> None:
        engine = Replicas([Named("a", there=False), Named("b", there=False)])
        with pytest.raises(Unreachable, match="a is not there b is not there"):
            await engine.capabilities()
        late = Replicas([there := Named("a"), Named("b", there=False)])
        await late.capabilities()
        there.there = False
        with pytest.raises(Unreachable, match="a is not there b is not there") as caught:
            await late.send(asking())
        assert caught.value.transient

    asyncio.run(test())


@pytest.mark.parametrize("given", [{"one": 9, "other": 10}, {"main": [9, 10]}])
def test_all_that_cannot_be_reached_are_named(given: dict[str, Any]) -> None:
    url = "http://127.0.0.1:{}".format
    engines = {n: [*map(url, p)] if isinstance(p, list) else url(p) for n, p in given.items()}
    with pytest.raises(Unreachable) as caught, Computer(engines) as computer:
        computer.processors  # noqa: B018
    said = str(caught.value)
    assert said.startswith("None of 2 is there.") and ":9 (" in said and ":10 (" in said
    assert all(f"the processor {name!r}" in said for name in given) or len(given) == 1


@pytest.mark.parametrize("death", ["restart", "refused", "engine_dead"])
def test_a_server_that_dies_in_the_middle_takes_no_call_along(servers: Servers, death: str) -> None:
    """Its calls go to the other one; their answers are those that one server gives."""
    plan = script([None] * 5 + [death])
    with servers.serve(plan=plan) as one, servers.serve() as other:
        with Computer({"main": [one.url, other.url]}, limits=LIMITS) as computer:
            run = computer.run(lambda: tell.map([f"{n}" for n in range(40)]))
        assert run.result == [RIGHT[tell](n) for n in range(40)]
        assert len(one.seen) >= 6 and len(other.seen) >= 20


@pytest.mark.parametrize("given", [[], ["local"], [1], ["http://a", Scripted()]])
def test_servers_of_one_model_are_a_list_of_urls(given: Any) -> None:
    with pytest.raises(Usage, match="a list of URLs"):
        engine_of(given, None, None)


def test_urls_divided_by_commas_are_replicas() -> None:
    assert isinstance(named_engine("http://127.0.0.1:1, http://127.0.0.1:2"), Replicas)
    for other in ("scripted", "local", "", "127.0.0.1:9", "s3cret@h"):
        with pytest.raises(Usage, match="each is a server's") as caught:
            named_engine(f"http://127.0.0.1:9,{other}")
        assert "s3cret" not in str(caught.value)
    with pytest.raises(HostError), Computer("http://127.0.0.1:9,http://127.0.0.1:10") as computer:
        computer.processors  # noqa: B018


@pytest.mark.parametrize("again", ["http://H:80", "http://h", "http://h/v1/", " http://h/"])
def test_a_server_that_is_named_twice_is_refused(again: str) -> None:
    """Its limit of requests in flight would be counted twice."""
    for twice in (
        f"http://h:80,http://other,{again}",
        ["http://h:80", "http://other", again.strip()],
    ):
        with pytest.raises(Usage, match="a server is named twice"):
            engine_of(twice, None, None)
