"""What a real vLLM tells beside its texts, probabilities, and what only some servers take."""

from __future__ import annotations

import asyncio
import os
from math import exp
from typing import Any

import aiohttp
import pytest
from tokenizers import Tokenizer
from vllm_kit import ask, ids, on

from nlpu import errors as e
from nlpu.engines.embedded.engine import EmbeddedEngine
from nlpu.engines.first_token import beginnings, shares
from nlpu.engines.http.engine import HttpEngine
from nlpu.engines.origin import Origin
from nlpu.label import UNTRUSTED, USER
from nlpu.wire import Constraint
from tests.vllm_fixture import Served

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]


def test_the_embedded_engine_finds_yes_as_likely(vllm_server: Served) -> None:
    choice = Constraint("choice", '["yes","no"]')
    texts = ("Is snow white?", "Is two more than three?", "Do fish swim?", "Say no.")
    asked = [
        ask(ids(vllm_server, text), id=text, constraint=choice, probabilities=True)
        for text in texts
    ]

    async def test(engine: HttpEngine) -> None:
        local = EmbeddedEngine()
        theirs = await asyncio.gather(*map(engine.send, asked))
        ours = await asyncio.gather(*map(local.send, asked))
        await local.close()
        for one, other in zip(ours, theirs, strict=True):
            # Theirs has the same weights, dequantised; ours rounds activations to eight bits.
            assert one.probabilities == pytest.approx(other.probabilities, abs=0.08)
            assert one.mass == pytest.approx(other.mass, abs=0.08)
        assert len({round(one.probabilities[0], 2) for one in ours}) > 2

    on(vllm_server, test)


def test_the_mass_is_that_of_the_whole_vocabulary(vllm_server: Served) -> None:
    """As the server tells its likeliest tokens when nothing is asked of them."""
    prompt = ids(vllm_server, "Is snow white? Answer yes or no.")
    tokenizer = Tokenizer.from_file(f"{vllm_server.directory}/tokenizer.json")
    cut = lambda text: tokenizer.encode(text, add_special_tokens=False).ids  # noqa: E731
    begun = beginnings(("yes", "no"), cut)
    plain = {"model": vllm_server.model, "prompt": list(prompt), "max_tokens": 1, "logprobs": 20}
    plain["return_tokens_as_token_ids"] = True

    async def test(engine: HttpEngine) -> None:
        choice = Constraint("choice", '["yes","no"]')
        asked = ask(prompt, constraint=choice, probabilities=True)
        reply = await engine.send(asked)
        drawn = await engine.send(asked.using(temperature=1.5, repetition_penalty=1.3))
        key = {"Authorization": f"Bearer {vllm_server.api_key}"}
        async with aiohttp.ClientSession(headers=key) as session:
            answer = await session.post(f"{vllm_server.url}/v1/completions", json=plain)
            told = (await answer.json())["choices"][0]["logprobs"]["top_logprobs"][0]
        likely = {int(token.removeprefix("token_id:")): exp(p) for token, p in told.items()}
        _, found = shares(begun, likely)
        assert 0 < found <= reply.mass + 0.01  # those behind the twentieth are missing
        assert reply.mass == pytest.approx(found, abs=0.02)
        assert drawn.mass == pytest.approx(reply.mass, abs=0.01)
        assert (reply.finish, reply.usage.completion_tokens) == ("stop", 1)

    on(vllm_server, test)


# -- what only some servers take -------------------------------------------------------------------


def test_draws_of_one_moment_are_one_request_and_each_has_its_tokens(vllm_server: Served) -> None:
    prompt = ids(vllm_server, "Name a colour and say why you like it.")
    tokenizer = Tokenizer.from_file(f"{vllm_server.directory}/tokenizer.json")

    async def test(engine: HttpEngine) -> None:
        draws = [ask(prompt, id=f"draw {n}", temperature=1.2, max_tokens=24) for n in range(4)]
        replies = await asyncio.gather(*map(engine.send, draws))
        assert [reply.usage.prompt_tokens for reply in replies] == [len(prompt), 0, 0, 0]
        assert len({reply.text for reply in replies}) > 1
        for reply in replies:
            again = len(tokenizer.encode(reply.text, add_special_tokens=False).ids)
            ended = reply.finish == "stop"  # the token that ends it is in no text
            # What was drawn piece by piece can be cut into some more pieces as a whole.
            assert again - 4 <= reply.usage.completion_tokens <= 24
            assert ended or reply.usage.completion_tokens == 24

    on(vllm_server, test)


def test_an_answer_that_repeats_itself_is_ended(vllm_server: Served) -> None:
    async def test(engine: HttpEngine) -> None:
        same = {"logit_bias": {"28": 100}}  # one token and no other, for ever
        request = ask(ids(vllm_server, "Go on."), max_tokens=1000, extra=same)
        pieces: list[str] = []
        for reply in (await engine.send(request), await engine.send(request, pieces.append)):
            assert (reply.finish, reply.usage.completion_tokens) == ("repetition", 128)
        short = await engine.send(request.using(max_tokens=200))
        assert (short.finish, short.usage.completion_tokens) == ("length", 200)

    on(vllm_server, test)


def test_labels_share_no_cache_where_that_is_asked_for(vllm_server: Served) -> None:
    prompt = ids(vllm_server, f"{os.getpid()} salt " + "The rabbit sat in the garden. " * 60)

    async def test() -> None:
        engine = HttpEngine(vllm_server.url, None, vllm_server.api_key, cache_salt="a secret")
        await engine.capabilities()
        cached = []
        for label in (USER, USER, UNTRUSTED, UNTRUSTED):
            origin = lambda label=label: Origin("0" * 32, "main/1", label)  # noqa: E731
            reply = await engine.send(ask(prompt, max_tokens=1, origin=origin))
            cached.append(reply.usage.cached_tokens)
        await engine.close()
        assert cached[0] == cached[2] == 0 and cached[1] == cached[3] >= 128

    asyncio.run(test())


def test_a_place_in_a_trace_is_taken(vllm_server: Served) -> None:
    async def test() -> None:
        engine = HttpEngine(vllm_server.url, None, vllm_server.api_key, traces=True)
        await engine.capabilities()
        origin = lambda: Origin("0123456789abcdef" * 2, "main/1", USER)  # noqa: E731
        request = ask(ids(vllm_server, "Hello."), max_tokens=1, origin=origin)
        assert (await engine.send(request)).usage.completion_tokens == 1
        await engine.close()

    asyncio.run(test())


def test_what_waits_for_a_slot_says_how_long(vllm_server: Served) -> None:
    async def test() -> None:
        engine = HttpEngine(vllm_server.url, None, vllm_server.api_key, max_in_flight=64)
        await engine.capabilities()
        forced: dict[str, Any] = {"extra": {"ignore_eos": True}, "max_tokens": 24}
        requests = [ask((n, n), id=str(n), **forced) for n in range(100, 140)]
        replies = await asyncio.gather(*map(engine.send, requests))
        await engine.close()
        assert all(reply.usage.completion_tokens == 24 for reply in replies)
        waited = sorted(reply.usage.waited_ms for reply in replies)
        assert sum(ms > 100 for ms in waited) >= 40 - 2 * 16  # of 16 slots: a third round

    asyncio.run(test())


def test_a_hint_is_a_text_and_no_object(vllm_server: Served) -> None:
    """As a router's hints are sent: an object would be refused by what stands behind it."""

    async def test(engine: HttpEngine) -> None:
        for told, taken in (("{}", True), ({}, False)):
            request = ask((5,), max_tokens=1, extra={"vllm_xargs": {"agentic_context": told}})
            if taken:
                assert (await engine.send(request)).usage.completion_tokens == 1
            else:
                with pytest.raises(e.RequestRefused, match="agentic_context"):
                    await engine.send(request)

    on(vllm_server, test)
