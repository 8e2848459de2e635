"""The HTTP engine against the scripted server: what it sends, streams and cancels."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dialect_kit import chat, serving
from http_kit import IDS, TURNS, ask, opened, run, tokenizer

from benchmarks.fake_vllm.faults import script
from benchmarks.fake_vllm.gpu import Gpu
from benchmarks.fake_vllm.server import FaultServer
from nlpu import errors as e
from nlpu import op
from nlpu.engines.http.engine import HttpEngine
from nlpu.processor import open_processor
from nlpu.runtime import Computer
from nlpu.types.result import NUMBER_SCHEMAS
from nlpu.wire import Constraint

__all__ = ["tokenizer"]  # a fixture


def test_capabilities_of_vllm_with_its_tokenizer(tokenizer: str) -> None:
    async def test() -> None:
        async with FaultServer(tokenizer=tokenizer, window=777) as server:
            engine = HttpEngine(server.url + "/v1/")
            told = await engine.capabilities()
            assert (told.model, told.window, told.tokenizer) == ("fault-1", 777, tokenizer)
            assert told.token_prompts
            assert told.priority
            assert "seed" not in told.sampling
            reply = await engine.send(ask(IDS, priority=3, seed=1))
            assert reply.usage.prompt_tokens == len(IDS)
            assert server.seen[0].body["prompt"] == list(IDS)
            assert server.seen[0].body["priority"] == 3
            assert "seed" not in server.seen[0].body
            assert server.seen[0].id == "r1"
            await engine.close()
            await engine.close()

    run(test())


def test_vllm_without_a_tokenizer_gets_messages_and_keeps_its_constraints() -> None:
    async def test() -> None:
        async with FaultServer() as server, opened(server) as engine:
            told = await engine.capabilities()
            assert not told.token_prompts
            assert told.constraints == {"choice", "regex", "json"}
            assert any("chat messages" in sentence for sentence in told.weaker)
            await engine.send(ask(constraint=Constraint("regex", "[0-9]{4}")))
            assert server.seen[0].path == "/v1/chat/completions"
            assert server.seen[0].body["structured_outputs"] == {"regex": "[0-9]{4}"}
            with pytest.raises(e.HostError, match="messages, not token ids") as caught:
                await engine.send(ask(IDS))
            assert not caught.value.transient

    run(test())


def test_another_server_gets_response_format_and_its_choice_is_unwrapped() -> None:
    async def test() -> None:
        async with FaultServer(vllm=False) as server, opened(server) as engine:
            told = await engine.capabilities()
            assert told.constraints == {"choice", "json"}
            assert told.window == 8192
            assert not told.priority
            assert len(told.weaker) >= 5
            words = '["yes","no"]'
            pieces: list[str] = []
            choice = ask(constraint=Constraint("choice", words))
            reply = await engine.send(choice)
            assert reply.text in {"yes", "no"}
            assert await engine.send(choice, pieces.append) == reply
            assert pieces == [reply.text]
            schema = '{"type":"object","properties":{"n":{"type":"integer"}}}'
            made = await engine.send(ask(constraint=Constraint("json", schema)))
            assert set(json.loads(made.text)) == {"n"}
            with pytest.raises(e.ConstraintRejected, match="regular expressions"):
                await engine.send(ask(constraint=Constraint("regex", "a")))

    run(test())


@pytest.mark.parametrize("kind", [int, float])
def test_numbers_are_json_where_only_json_is_offered(kind: Any) -> None:
    said = {int: ['{"answer":-42}', "7"], float: ['{"answer": 2.50}', "1e3"]}[kind]

    async def test() -> None:
        texts = iter([None, *said, said[0]])
        async with FaultServer(vllm=False, answer=lambda _: next(texts)) as server:
            processor = await open_processor("plain", HttpEngine(server.url))
            asks, pieces = op("How many?", kind), list[str]()
            processor.check(asks)  # what the scheduler asks before it sends
            request = ask(constraint=asks.result.constraint)
            made = await processor.engine.send(request)
            assert asks.result.check(asks.result.parse(made.text), "it") is not None
            form = server.seen[0].body["response_format"]["json_schema"]["schema"]
            assert form["properties"]["answer"] == NUMBER_SCHEMAS[request.constraint.spec]
            replies = [(await processor.engine.send(request)).text for _ in said]
            assert replies == [said[0].strip('{}"answer: '), said[1]]
            assert (await processor.engine.send(request, pieces.append)).text == pieces[0]
            assert any("numbers" in sentence for sentence in processor.capabilities.weaker)
            other = replace(asks.result, constraint=Constraint("regex", "a"))
            with pytest.raises(e.ConstraintRejected, match="cannot decode a regex"):
                processor.check(replace(asks, result=other))
            await processor.engine.close()

    run(test())


CONSTRAINTS = [
    Constraint("choice", '["river","the \\"house\\"","ünï"]'),
    Constraint("regex", r"(a|b){2,3}-[0-9]+ \w [^x]?"),
    Constraint(
        "json",
        '{"$defs":{"k":{"enum":["p","q"]}},"type":"object","properties":{"a":{"type":"array",'
        '"items":{"$ref":"#/$defs/k"},"maxItems":2},"s":{"type":"string","minLength":9,'
        '"maxLength":12},"i":{"type":"integer","minimum":4,"maximum":5},"b":{"type":"boolean"},'
        '"o":{"anyOf":[{"type":"null"},{"const":7}]}},"required":["a","s","i","b","o"]}',
    ),
]


@pytest.mark.parametrize("constraint", CONSTRAINTS, ids=lambda c: c.kind)
def test_constraints_are_obeyed_and_answers_depend_on_the_request_only(
    constraint: Constraint, tokenizer: str
) -> None:
    async def test() -> None:
        async with FaultServer(tokenizer=tokenizer) as server, opened(server) as engine:
            for n in range(8):
                request = ask((n, n), id=str(n), constraint=constraint)
                reply, again = await asyncio.gather(engine.send(request), engine.send(request))
                assert reply == again
                check(constraint, reply.text)

    run(test())


def check(constraint: Constraint, text: str) -> None:
    if constraint.kind == "choice":
        assert text in json.loads(constraint.spec)
    elif constraint.kind == "regex":
        assert re.fullmatch(constraint.spec, text)
    else:
        value = json.loads(text)
        assert set(value) == {"a", "s", "i", "b", "o"}
        assert set(value["a"]) <= {"p", "q"}
        assert 9 <= len(value["s"]) <= 12
        assert value["i"] in {4, 5}
        assert value["o"] in {None, 7}


@pytest.mark.parametrize("chat", [False, True])
def test_streamed_pieces_make_the_whole_text(chat: bool, tokenizer: str) -> None:
    async def test() -> None:
        said = "Grüße, «日本語» and\n\nan emoji 🐇."
        async with FaultServer(tokenizer=tokenizer, answer=lambda _: said) as server:
            if chat:
                server.tokenizer = None
            async with opened(server) as engine:
                request = ask(TURNS if chat else IDS)
                pieces: list[str] = []
                streamed = await engine.send(request, pieces.append)
                assert "".join(pieces) == said == streamed.text
                assert streamed == await engine.send(request)
                cut = await engine.send(ask(TURNS if chat else IDS, max_tokens=2))
                assert (cut.finish, cut.usage.completion_tokens) == ("length", 2)
                stopped = await engine.send(ask(TURNS if chat else IDS, stop=("an ",)))
                assert stopped.text == said[: said.index("an ")]

    run(test())


# -- cancelling ------------------------------------------------------------------------------


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("how", ["cancel", "task"])
def test_cancelling_closes_the_connection(how: str, streaming: bool) -> None:
    async def test() -> None:
        gpu = Gpu(slots=4, tokens_per_s=50, prefill_per_s=1e6)
        async with (
            FaultServer(gpu=gpu, answer=lambda _: "again " * 4000, window=99999) as server,
            opened(server) as engine,
        ):
            got: list[str] = []
            first = asyncio.Event()
            request = ask(max_tokens=3000)
            show = (lambda text: (got.append(text), first.set())) if streaming else None
            sending = asyncio.create_task(engine.send(request, show))
            await (first.wait() if streaming else server.until(lambda s: s.in_flight))
            engine.cancel(request.id) if how == "cancel" else sending.cancel()
            with pytest.raises(e.Cancelled if how == "cancel" else asyncio.CancelledError):
                await sending
            await server.until(lambda s: s.in_flight == 0)
            assert server.seen[0].ended == "disconnected"
            engine.cancel(request.id)
            engine.cancel("unknown")
            assert (await engine.send(ask(max_tokens=2))).finish == "length"

    run(test())


def test_an_error_of_the_listener_is_its_own_and_ends_the_request() -> None:
    async def test() -> None:
        gpu = Gpu(slots=1, tokens_per_s=100, prefill_per_s=1e6)

        def broken(_: str) -> None:
            raise BrokenPipeError("the listener's own")

        async with FaultServer(gpu=gpu) as server, opened(server) as engine:
            with pytest.raises(BrokenPipeError, match="own"):
                await engine.send(ask(), broken)
            await server.until(lambda s: s.in_flight == 0)
            assert server.seen[0].ended == "disconnected"

    run(test())


def test_cancelled_from_both_sides_stays_a_cancelled_task() -> None:
    async def test() -> None:
        async with FaultServer(plan=script(["no_answer"])) as server, opened(server) as engine:
            sending = asyncio.create_task(engine.send(ask()))
            await server.until(lambda s: s.in_flight)
            engine.cancel("r1")
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending

    run(test())


# -- what lasts ------------------------------------------------------------------------------


@pytest.mark.parametrize("vllm", [False, True])
def test_a_connection_that_streamed_is_used_again(vllm: bool) -> None:
    async def test() -> None:
        async with FaultServer(vllm=vllm) as server, opened(server) as engine:
            for n in range(5):
                await engine.send(ask(id=str(n)), lambda _: None)
            assert server._web is not None
            assert len(server._web.connections) == 1

    run(test())


def test_what_was_declined_is_paid_once_and_not_asked_again(tmp_path: Path) -> None:
    asks = op("Ask")

    def program() -> Any:
        return asks("x")

    with serving(chat(None, refusal="No.")) as served:
        with Computer(served.url, run_dir=tmp_path) as computer:
            first = computer.start(program).wait()
        with Computer(served.url, run_dir=tmp_path) as computer:
            again = computer.resume(first.name, program).wait()
    for one in (first, again):
        assert isinstance(e.root_of(one.error), e.Declined)
    assert (first.receipt.completion_tokens, len(served.asked)) == (5, 1)
