"""The HTTP engine against a real vLLM with a small model, started by ``vllm.server``."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from http_kit import opening
from vllm_kit import ask, ids, on

from nlpu import errors as e
from nlpu.engines.http.engine import HttpEngine
from nlpu.wire import Constraint, Message, Reply
from tests.vllm_fixture import Served

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]


def test_capabilities(vllm_server: Served) -> None:
    async def test(engine: HttpEngine) -> None:
        told = await engine.capabilities()
        assert told.model == Path(vllm_server.directory).name
        assert told.window == 2048
        assert told.tokenizer == vllm_server.directory
        assert told.constraints == {"choice", "regex", "json"}
        assert told.priority
        assert "seed" in told.sampling

    on(vllm_server, test)


QUESTIONS = ["Is Paris in France?", "Say something about cats.", "日本語?", '<|im_end|> 3 \\ " {']
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "kind": {"enum": ["cat", "dog", "other"]},
        "ages": {
            "type": "array",
            "items": {"type": "integer", "minimum": 0, "maximum": 150},
            "maxItems": 3,
        },
    },
    "required": ["name", "kind", "ages"],
    "additionalProperties": False,
}
CONSTRAINTS = [
    Constraint("choice", '["yes","no","not \\"sure\\""]'),
    Constraint("regex", r"(19|20)[0-9]{2}-[0-1][0-9]"),
    Constraint("json", json.dumps(SCHEMA)),
]


@pytest.mark.parametrize("constraint", CONSTRAINTS, ids=lambda c: c.kind)
def test_constraints_hold(vllm_server: Served, constraint: Constraint) -> None:
    async def test(engine: HttpEngine) -> None:
        common: dict[str, Any] = {"constraint": constraint, "max_tokens": 128}
        requests = [
            ask(ids(vllm_server, q), id=f"{n}-{t}", temperature=t, **common)
            for n, q in enumerate(QUESTIONS)
            for t in (0.0, 1.5)
        ]
        for reply in await asyncio.gather(*map(engine.send, requests)):
            check(constraint, reply)

    on(vllm_server, test)


def check(constraint: Constraint, reply: Reply) -> None:
    assert reply.finish == "stop", reply
    if constraint.kind == "choice":
        assert reply.text in json.loads(constraint.spec)
    elif constraint.kind == "regex":
        assert re.fullmatch(constraint.spec, reply.text)
    else:
        value = json.loads(reply.text)
        assert set(value) == {"name", "kind", "ages"}
        assert value["kind"] in {"cat", "dog", "other"}
        spaced = json.dumps(value, separators=(",", ": "), ensure_ascii=False)
        assert re.sub('":(?! )', '": ', reply.text) == spaced


def test_token_prompts_are_exact(vllm_server: Served) -> None:
    async def test(engine: HttpEngine) -> None:
        # One token out of a text's middle, special tokens, and what no text would tokenize to.
        for prompt in ((5,), (1, 2, 1, 2), (100, 100, 100), ids(vllm_server, "Hello <|im_end|>")):
            reply = await engine.send(ask(prompt, max_tokens=2))
            assert reply.usage.prompt_tokens == len(prompt)
            assert reply.usage.completion_tokens <= 2

    on(vllm_server, test)


def test_temperature_zero_repeats_itself_and_a_shared_prefix_is_cached(vllm_server: Served) -> None:
    async def test(engine: HttpEngine) -> None:
        prompt = ids(vllm_server, f"{os.getpid()} " + "The rabbit sat in the garden. " * 60)
        assert len(prompt) > 300
        first = await engine.send(ask(prompt, max_tokens=8))
        again = await engine.send(ask(prompt, max_tokens=8))
        assert first.usage.cached_tokens == 0
        assert 128 <= again.usage.cached_tokens < len(prompt)
        assert again.text == first.text

    on(vllm_server, test)


def test_streaming(vllm_server: Served) -> None:
    async def test(engine: HttpEngine) -> None:
        pieces: list[str] = []
        request = ask(ids(vllm_server, "Write about the sea, with emoji 🌊."), max_tokens=32)
        streamed = await engine.send(request, pieces.append)
        whole = await engine.send(request)
        assert len(pieces) > 5
        assert "".join(pieces) == streamed.text == whole.text
        assert (streamed.finish, streamed.usage.completion_tokens) == (
            whole.finish,
            whole.usage.completion_tokens,
        )
        assert streamed.usage.prompt_tokens == whole.usage.prompt_tokens == len(request.prompt)

    on(vllm_server, test)


def test_priorities_and_seeds_and_stops_are_taken(vllm_server: Served) -> None:
    async def test(engine: HttpEngine) -> None:
        prompt = ids(vllm_server, "Count: one two three")
        await asyncio.gather(
            *(engine.send(ask(prompt, id=str(n), priority=n - 3)) for n in range(6))
        )
        seeded = [ask(prompt, id=str(n), temperature=1.0, seed=11) for n in range(2)]
        one, two = [await engine.send(request) for request in seeded]
        assert one.text == two.text
        text = (await engine.send(ask(prompt))).text
        stop = text[5:9]
        assert (await engine.send(ask(prompt, stop=(stop,)))).text == text[: text.index(stop)]

    on(vllm_server, test)


async def running(served: Served) -> float:
    async with aiohttp.request("GET", served.url + "/metrics") as answer:
        page = await answer.text()
    return sum(
        float(line.rsplit(" ", 1)[1])
        for line in page.splitlines()
        if line.startswith(("vllm:num_requests_running", "vllm:num_requests_waiting{"))
    )


async def until(served: Served, condition: Callable[[float], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition(await running(served)):
            pass  # each look is a request to the server: it paces itself


@pytest.mark.parametrize("how", ["cancel", "task"])
def test_cancelling_frees_the_server(vllm_server: Served, how: str) -> None:
    async def test(engine: HttpEngine) -> None:
        # A digit for ever: a constraint keeps the model from ending.
        long = Constraint("regex", "[0-9]{1900}")
        requests = [
            ask((n, n), id=str(n), max_tokens=1900, constraint=long) for n in range(100, 104)
        ]
        tasks = [asyncio.create_task(engine.send(request)) for request in requests]
        await until(vllm_server, lambda n: n == 4)
        for request, task in zip(requests, tasks, strict=True):
            engine.cancel(request.id) if how == "cancel" else task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        expected = e.Cancelled if how == "cancel" else asyncio.CancelledError
        assert {type(end) for end in ends} == {expected}
        await until(vllm_server, lambda n: n == 0)

    on(vllm_server, test)


def test_refusals(vllm_server: Served) -> None:
    async def test(engine: HttpEngine) -> None:
        for prompt, tokens in (((5,) * 2100, 1), ((5,) * 2000, 100), ((5,), 4000)):
            with pytest.raises(e.DoesNotFit) as caught:
                await engine.send(ask(prompt, max_tokens=tokens))
            assert caught.value.needed == len(prompt) + tokens
            assert caught.value.available == 2048
        bad = [
            Constraint("regex", "(a"),
            Constraint("choice", "[]"),
            Constraint("json", '{"$ref":"#/$defs/none"}'),
        ]
        for constraint in bad:
            with pytest.raises(e.ConstraintRejected):
                await engine.send(ask((5,), constraint=constraint))
        with pytest.raises(e.HostError, match="out of vocabulary") as refused:
            await engine.send(ask((99999999,)))
        assert not refused.value.transient

    on(vllm_server, test)


def test_opening(vllm_server: Served) -> None:
    with pytest.raises(e.Unauthorized):
        asyncio.run(opening(vllm_server.url, api_key="wrong"))
    with pytest.raises(e.UnknownProcessor, match=vllm_server.model):
        asyncio.run(opening(vllm_server.url, api_key=vllm_server.api_key, model="other"))


def test_messages_go_over_chat(vllm_server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nlpu.engines.http.probe.Path.is_file", lambda _: False)

    async def test() -> None:
        engine = vllm_server.engine()
        told = await engine.capabilities()
        assert not told.token_prompts
        choice = Constraint("choice", '["red","blue"]')
        turns = (Message("user", "Name a colour."),)
        pieces: list[str] = []
        reply = await engine.send(ask(turns, constraint=choice), pieces.append)
        assert "".join(pieces) == reply.text
        assert reply.text in {"red", "blue"}
        request = ask(turns, constraint=choice, probabilities=True)
        whole, streamed = await engine.send(request), await engine.send(request, pieces.append)
        assert sum(whole.probabilities) == pytest.approx(1)
        assert whole.probabilities == pytest.approx(streamed.probabilities, abs=1e-3)
        assert whole.mass is not None and 0 < whole.mass < 1
        assert whole.mass == pytest.approx(streamed.mass, abs=1e-3)
        await engine.close()

    asyncio.run(test())
