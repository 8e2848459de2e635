"""Draws that are alike go out as one request where the server takes ``n``, as before elsewhere."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from dialect_kit import Recorded, Served, said, serving
from http_kit import ask, run
from kit import keep

from nlpu import Computer, ahead_by, nlop
from nlpu.engines.http.engine import HttpEngine
from nlpu.errors import Cancelled, NlpuError, Overloaded, ServerFault
from nlpu.wire import Reply, Request, Usage


def choices(*texts: str | None, tokens: int = 9) -> Recorded:
    """An answer with several choices, the last of them first."""
    found: list[dict[str, Any]] = [
        {"index": n, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        for n, text in enumerate(texts)
    ]
    usage = {"prompt_tokens": 10, "completion_tokens": tokens}
    return said({"object": "chat.completion", "choices": found, "usage": usage})


def drawn(count: int = 3, **more: Any) -> list[Request]:
    """Requests of one moment that differ in their ids alone."""
    return [ask(id=f"r{n}", **{"temperature": 0.7} | more) for n in range(count)]


async def sent(served: Served, requests: Sequence[Request]) -> list[Reply | BaseException]:
    engine = HttpEngine(served.url, model="m")
    try:
        await engine.capabilities()
        return await asyncio.gather(*map(engine.send, requests), return_exceptions=True)
    finally:
        await engine.close()


def texts(replies: Sequence[Reply | BaseException]) -> list[str]:
    return [each.text if isinstance(each, Reply) else type(each).__name__ for each in replies]


def test_equal_draws_are_one_request_and_each_has_its_answer() -> None:
    async def go() -> None:
        with serving(choices("red", "green", "red and blue")) as served:
            replies = await sent(served, drawn())
        assert texts(replies) == ["red", "green", "red and blue"]
        (asked,) = served.asked
        assert asked["n"] == 3 and asked["temperature"] == 0.7
        whole = Usage()
        for each in replies:
            assert isinstance(each, Reply)
            whole.add(each.usage)
        assert whole == Usage(10, 9)  # what the server counted, once

    run(go())


@pytest.mark.parametrize(
    "more",
    [{"temperature": 0.0}, {"seed": 7}],
    ids=["at temperature 0", "with a seed"],
)
def test_others_go_out_alone(more: dict[str, Any]) -> None:
    async def go() -> None:
        with serving(choices("red")) as served:
            assert texts(await sent(served, drawn(2, **more))) == ["red", "red"]
        assert len(served.asked) == 2 and {asked.get("n", 1) for asked in served.asked} == {1}

    run(go())


def test_different_questions_are_different_requests() -> None:
    async def go() -> None:
        with serving(choices("red", "red")) as served:
            mixed = [*drawn(2), *drawn(2, max_tokens=9), *drawn(1, temperature=0.9)]
            assert texts(await sent(served, mixed)) == ["red"] * 5
        counts = sorted((asked["max_tokens"], asked.get("n", 1)) for asked in served.asked)
        assert counts == [(9, 2), (64, 1), (64, 2)]

    run(go())


@pytest.mark.parametrize(
    "refused",
    [
        said({"error": {"message": "Only one completion choice is allowed"}}, 500),
        said({"error": {"message": "n must be 1"}}, 400),
        choices("red"),  # it takes no notice
    ],
    ids=["500", "400", "ignored"],
)
def test_a_server_that_does_not_take_n_is_asked_for_each(refused: Recorded) -> None:
    async def go() -> None:
        with serving(refused, choices("red")) as served:
            engine = HttpEngine(served.url, model="m")
            await engine.capabilities()
            first = await asyncio.gather(*map(engine.send, drawn()))
            tries = [asked.get("n", 1) for asked in served.asked]
            assert texts(first) == ["red"] * 3 and tries in ([3, 1, 1, 1], [3, 1, 1])
            again = await asyncio.gather(*map(engine.send, drawn()))  # it has been learned
            await engine.close()
        assert texts(again) == ["red"] * 3
        assert all("n" not in asked for asked in served.asked[len(tries) :])

    run(go())


@pytest.mark.parametrize(
    ("refusals", "tries", "told"),
    [
        (
            [said({"error": {"message": "temperature is not supported"}}, 400)],
            [3, 3],
            ["red", "green", "blue"],
        ),
        (
            [said({"error": {"message": "out of memory"}}, 500)] * 2,
            [3, 1],
            ["ServerFault"] * 3,
        ),
    ],
    ids=["another parameter", "a failure that lasts a while"],
)
def test_what_is_no_refusal_of_n_ends_nothing(
    refusals: list[Recorded], tries: list[int], told: list[str]
) -> None:
    async def go() -> None:
        with serving(*refusals, choices("red", "green", "blue")) as served:
            engine = HttpEngine(served.url, model="m")
            await engine.capabilities()
            first = await asyncio.gather(*map(engine.send, drawn()), return_exceptions=True)
            assert [asked.get("n", 1) for asked in served.asked] == tries
            again = await asyncio.gather(*map(engine.send, drawn()))
            await engine.close()
        assert texts(again) == ["red", "green", "blue"] and served.asked[-1]["n"] == 3
        assert texts(first) == told

    run(go())


@pytest.mark.parametrize("thought", [0, 5, 8, 20])
def test_what_was_thought_is_parted_like_what_was_said(thought: int) -> None:
    async def go() -> None:
        usage = {
            "prompt_tokens": 10,
            "completion_tokens": 8,
            "completion_tokens_details": {"reasoning_tokens": thought},
        }
        found = [
            {"index": n, "message": {"content": "red"}, "finish_reason": "stop"} for n in range(4)
        ]
        with serving(said({"choices": found, "usage": usage})) as served:
            replies = await sent(served, drawn(4))
        took = [each.usage for each in replies if isinstance(each, Reply)]
        assert [each.completion_tokens for each in took] == [2] * 4
        assert sum(each.thinking_tokens for each in took) == min(thought, 8)
        assert max(each.thinking_tokens for each in took) <= 2

    run(go())


def test_a_failure_is_that_of_each() -> None:
    async def go() -> None:
        with serving(said({"error": {"message": "slow down"}}, 429)) as served:
            replies = await sent(served, drawn())
        assert len(served.asked) == 1
        assert all(isinstance(each, Overloaded) for each in replies)

    run(go())


def test_one_answer_that_is_none_fails_alone() -> None:
    async def go() -> None:
        with serving(choices("red", None, "blue")) as served:
            replies = await sent(served, drawn())
        assert texts(replies) == ["red", "ServerFault", "blue"]
        assert isinstance(replies[1], ServerFault)

    run(go())


@pytest.mark.parametrize("late", [False, True])
def test_who_gives_up_takes_nothing_from_the_others(late: bool) -> None:
    """Before the request has gone out, or after."""

    async def go() -> None:
        with serving(choices("red", "green", "blue")) as served:
            engine = HttpEngine(served.url, model="m")
            await engine.capabilities()
            tasks = [asyncio.create_task(engine.send(each)) for each in drawn()]
            await asyncio.sleep(0)
            if late:
                await asyncio.sleep(0)
            engine.cancel("r0")
            replies = await asyncio.gather(*tasks, return_exceptions=True)
            await engine.close()
        assert isinstance(replies[0], Cancelled)
        assert texts(replies[1:]) == (["green", "blue"] if late else ["red", "green"])
        assert [asked["n"] for asked in served.asked] == [3 if late else 2]

    run(go())


def test_when_all_give_up_the_next_begin_anew() -> None:
    async def go() -> None:
        with serving(choices("red", "green", "blue")) as served:
            engine = HttpEngine(served.url, model="m")
            await engine.capabilities()
            tasks = [asyncio.create_task(engine.send(each)) for each in drawn()]
            await asyncio.sleep(0)
            for each in tasks:
                each.cancel()
            gone = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(each, asyncio.CancelledError) for each in gone)
            assert texts(await asyncio.gather(*map(engine.send, drawn()))) == [
                "red",
                "green",
                "blue",
            ]
            await engine.close()

    run(go())


# -- through the stack -----------------------------------------------------------------------------


@nlop
def colour(text: str) -> Literal["red", "green"]:
    """Which colour is it?"""


def answers(*texts: str) -> Recorded:
    return choices(*(json.dumps({"answer": text}) for text in texts))


def vote() -> Any:
    return ahead_by(3)(colour)("The sky.").value


def test_the_draws_of_a_vote_are_one_request_and_a_row_each(tmp_path: Path) -> None:
    """The journal has each draw, so one that goes on after a kill repeats none of them."""
    with serving(answers("red", "green", "red"), answers("red", "red")) as served:
        with Computer(HttpEngine(served.url, model="m"), run_dir=tmp_path / "runs") as computer:
            done = computer.run(vote)
            assert done.error is None and done.result == "red"
        assert [asked["n"] for asked in served.asked] == [3, 2]
        receipt = done.receipt
        assert receipt.calls == 5 and receipt.prompt_tokens == 20 and receipt.attempts == 5
        keep(tmp_path / "runs", tmp_path / "grave")
        with Computer(HttpEngine(served.url, model="m"), run_dir=tmp_path / "grave") as computer:
            again = computer.resume(done.name, vote).wait()
        assert again.result == "red" and len(served.asked) == 2


def test_a_vote_that_was_stopped_in_the_middle_asks_for_the_rest_alone(tmp_path: Path) -> None:
    from nlpu import Budget

    with serving(answers("red", "green", "red"), answers("red", "red")) as served:
        with Computer(HttpEngine(served.url, model="m"), run_dir=tmp_path) as computer:
            stopped = computer.run(vote, budget=Budget(calls=3))
            assert isinstance(stopped.error, NlpuError) and len(served.asked) == 1
            again = computer.resume(stopped.name, vote, budget=Budget(calls=9)).wait()
        assert again.result == "red" and again.receipt.reused == 3
        assert [asked["n"] for asked in served.asked] == [3, 2]
