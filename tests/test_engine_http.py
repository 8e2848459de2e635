"""The HTTP engine against the scripted server: every failure has its type, and nothing is left."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Coroutine, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpu import errors as e
from nlpu import op
from nlpu.engines import http_errors
from nlpu.engines.fault_gpu import Gpu
from nlpu.engines.fault_instant import InstantServer
from nlpu.engines.fault_plan import FAULTS, mix, script
from nlpu.engines.fault_server import FaultServer
from nlpu.engines.http_probe import base_url, read_card
from nlpu.engines.http_replies import StreamReader, read_reply
from nlpu.engines.http_wire import Dialect
from nlpu.engines.openai_http import HttpEngine
from nlpu.processor import open_processor
from nlpu.types import NUMBER_SCHEMAS
from nlpu.wire import Constraint, Message, Reply, Request

IDS = tuple(range(40))
TURNS = (Message("system", "Be brief."), Message("user", "Where is the rabbit?"))


def ask(prompt: tuple[Any, ...] = TURNS, **kwargs: Any) -> Request:
    return Request(**{"id": "r1", "prompt": prompt, "max_tokens": 64} | kwargs)


def run(test: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await test

    asyncio.run(bounded())


@contextlib.asynccontextmanager
async def opened(server: FaultServer | InstantServer, **kwargs: Any) -> AsyncIterator[HttpEngine]:
    engine = HttpEngine(server.url, **kwargs)
    try:
        await engine.capabilities()
        yield engine
    finally:
        await engine.close()


@pytest.fixture
def tokenizer(tmp_path: Path) -> str:
    """A directory with a tokenizer of single characters."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    made = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1, "b": 2}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.save(str(tmp_path / "tokenizer.json"))
    return str(tmp_path)


def test_capabilities_of_vllm_with_its_tokenizer(tokenizer: str) -> None:
    async def test() -> None:
        async with FaultServer(tokenizer=tokenizer, window=777) as server:
            engine = HttpEngine(server.url + "/v1/")
            told = await engine.capabilities()
            assert (told.model, told.window, told.tokenizer) == ("fault-1", 777, tokenizer)
            assert told.token_prompts
            assert told.priority
            assert not told.seed
            reply = await engine.send(ask(IDS, priority=3, seed=1))
            assert reply.prompt_tokens == len(IDS)
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
        '"o":{"anyOf":[{"type":"null"},{"const":7}]}}}',
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
                assert (cut.finish, cut.completion_tokens) == ("length", 2)
                stopped = await engine.send(ask(TURNS if chat else IDS, stop=("an ",)))
                assert stopped.text == said[: said.index("an ")]

    run(test())


# -- failures --------------------------------------------------------------------------------

TRANSIENT = [
    ("429:7", e.Overloaded, "overloaded"),
    ("503:2", e.Overloaded, "overloaded"),
    ("500", e.ServerFault, "failed .500."),
    ("reset", e.ConnectionLost, "broke before"),
    ("restart", e.ConnectionLost, "broke before"),
    ("refused", e.ConnectionLost, "broke before"),
    ("cut", e.ConnectionLost, "broke before"),
    ("error_chunk", e.ServerFault, "Internal server error"),
    ("broken_json", e.ServerFault, "not a completion"),
    ("engine_dead", e.EngineDied, "Restart the server"),
]
FINAL = [
    ("401", e.Unauthorized, "refuses the API key"),
    ("400", e.RequestRefused, "refuses the request"),
    ("html", e.NotAModelServer, "web page"),
    ("too_long", e.DoesNotFit, "maximum context length"),
]


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(("kind", "error", "words"), TRANSIENT + FINAL, ids=str)
def test_every_fault_has_its_error(
    kind: str, error: type[e.NlpuError], words: str, streaming: bool, tokenizer: str
) -> None:
    async def test() -> None:
        plan = script([kind])
        async with (
            FaultServer(plan=plan, tokenizer=tokenizer, api_key="sk-x") as server,
            opened(server, api_key="sk-x") as engine,
        ):
            with pytest.raises(error, match=words) as caught:
                await engine.send(ask(IDS), (lambda _: None) if streaming else None)
            check_fault(kind, caught.value)
            assert "sk-x" not in str(caught.value)
            assert len(server.seen) == 1

    run(test())


def check_fault(kind: str, error: e.NlpuError) -> None:
    if isinstance(error, e.HostError):
        assert error.transient == (kind in {name for name, *_ in TRANSIENT})
        assert error.lost == isinstance(error, e.ConnectionLost | e.EngineDied)
    if isinstance(error, e.Overloaded):
        assert error.retry_after_s == float(kind.split(":")[1])
    if isinstance(error, e.DoesNotFit):
        assert (error.needed, error.available) == (len(IDS) + 64, 4096)


def test_faults_are_all_tried_here() -> None:
    tried = {name.split(":")[0] for name, *_ in TRANSIENT + FINAL}
    elsewhere = {"no_answer", "slow", "cut_politely", "empty", "null", "length", "repeat", "schema"}
    assert tried | elsewhere == set(FAULTS)


def test_a_stream_that_ends_politely_too_early_is_lost() -> None:
    async def test() -> None:
        async with FaultServer(plan=script(["cut_politely"])) as server, opened(server) as engine:
            got: list[str] = []
            with pytest.raises(e.ConnectionLost, match="ended before"):
                await engine.send(ask(), got.append)
            assert got

    run(test())


def test_odd_answers() -> None:
    async def test() -> None:
        plan = script(["null", "empty", "length", "repeat", "slow:0.01"])
        async with FaultServer(plan=plan) as server, opened(server) as engine:
            with pytest.raises(e.ServerFault, match="without text"):
                await engine.send(ask())
            empty = await engine.send(ask())
            assert (empty.text, empty.finish) == ("", "stop")
            assert (await engine.send(ask())).finish == "length"
            endless = await engine.send(ask(max_tokens=50))
            assert endless.text == " again" * 50
            assert (endless.finish, endless.completion_tokens) == ("length", 50)
            assert (await engine.send(ask())).finish == "stop"

    run(test())


def test_a_rejected_schema_is_a_constraint_only_if_there_was_one() -> None:
    async def test() -> None:
        plan = script(["schema", "schema"])
        async with FaultServer(plan=plan) as server, opened(server) as engine:
            with pytest.raises(e.ConstraintRejected, match="not supported by xgrammar"):
                await engine.send(ask(constraint=Constraint("json", "{}")))
            with pytest.raises(e.RequestRefused):
                await engine.send(ask())
            with pytest.raises(e.ConstraintRejected, match="not JSON"):
                await engine.send(ask(constraint=Constraint("json", '{}},"max_tokens":9')))
            with pytest.raises(e.ConstraintRejected, match="grammar"):
                await engine.send(ask(constraint=Constraint("regex", "(a")))

    run(test())


def test_what_does_not_fit_is_refused_here_or_there(tokenizer: str) -> None:
    async def test() -> None:
        async with FaultServer(tokenizer=tokenizer, window=50) as server, opened(server) as engine:
            with pytest.raises(e.DoesNotFit) as caught:
                await engine.send(ask(IDS, max_tokens=11))
            assert (caught.value.needed, caught.value.available) == (51, 50)
            assert not server.seen
            await engine.send(ask(IDS, max_tokens=10))
        async with FaultServer(window=100) as server, opened(server) as engine:
            with pytest.raises(e.DoesNotFit) as caught:
                await engine.send(ask(max_tokens=200))
            assert caught.value.available == 100

    run(test())


def test_the_server_dies_and_comes_back_on_the_same_port() -> None:
    async def test() -> None:
        async with FaultServer(plan=script(["no_answer"])) as server, opened(server) as engine:
            hanging = asyncio.create_task(engine.send(ask()))
            await server.until(lambda s: s.in_flight == 1)
            await server.kill()
            with pytest.raises(e.ConnectionLost):
                await hanging
            with pytest.raises(e.Unreachable, match="Nothing accepts connections"):
                await engine.send(ask())
            await server.listen()
            assert (await engine.send(ask())).text

    run(test())


def test_a_dead_engine_is_dead_until_restarted_though_healthy() -> None:
    async def test() -> None:
        plan = script(["engine_dead"])
        async with FaultServer(plan=plan) as server, opened(server) as engine:
            for _ in range(3):
                with pytest.raises(e.EngineDied):
                    await engine.send(ask())
            async with aiohttp.request("GET", server.url + "/health") as health:
                assert health.status == 200
            await server.kill()
            await server.listen()
            with contextlib.suppress(e.ConnectionLost):  # a kept-alive connection of before
                await engine.send(ask())
            assert (await engine.send(ask())).text

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


# -- opening ---------------------------------------------------------------------------------


async def opening(url: str, **kwargs: Any) -> None:
    engine = HttpEngine(url, **kwargs)
    try:
        await engine.capabilities()
    finally:
        await engine.close()


def test_opening_what_is_not_there() -> None:
    async def test() -> None:
        async with FaultServer(models=("one", "two"), api_key="sk-right") as server:
            with pytest.raises(e.Unauthorized, match="refuses the API key"):
                await opening(server.url, api_key="sk-wrong")
            with pytest.raises(e.UnknownProcessor, match="several models: one, two"):
                await opening(server.url, api_key="sk-right")
            with pytest.raises(e.UnknownProcessor, match=r"'three'\. It serves: one, two"):
                await opening(server.url, model="three", api_key="sk-right")
            await opening(server.url, model="two", api_key="sk-right")
            with pytest.raises(e.MissingPart, match=r"no tokenizer\.json"):
                await opening(server.url, model="one", api_key="sk-right", tokenizer="/nowhere")
            server.html = True
            with pytest.raises(e.NotAModelServer, match="web page"):
                await opening(server.url)
            gone = server.url
        with pytest.raises(e.Unreachable, match="Start the server"):
            await opening(gone)
        with pytest.raises(e.Unreachable, match="Check the host name"):
            await opening("http://no-such-host.invalid:1")

    run(test())


def test_a_server_that_quotes_our_key_when_asked_what_it_is_does_not_show_it() -> None:
    async def ask(*_: Any) -> tuple[int, bytes, Any]:
        return 500, b'{"error":"upstream refuses Authorization: Bearer sk-123"}', {}

    with pytest.raises(e.ServerFault, match=r"Bearer \*\*\*") as caught:
        asyncio.run(read_card("here", None, None, ask, "sk-123"))
    assert "sk-123" not in str(caught.value)


def test_another_tokenizer_is_refused(tokenizer: str, tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models

    other = tmp_path / "other"
    other.mkdir()
    Tokenizer(models.WordLevel({"[UNK]": 5}, unk_token="[UNK]")).save(str(other / "tokenizer.json"))

    async def test() -> None:
        async with FaultServer(tokenizer=tokenizer) as server:
            with pytest.raises(e.UnknownProcessor, match="is not the one"):
                await opening(server.url, tokenizer=str(other))

    run(test())


def test_something_that_does_not_speak_http() -> None:
    async def test() -> None:
        async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 mail.example ESMTP\r\n")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(e.NotAModelServer, match="does not speak HTTP"):
            await opening(f"127.0.0.1:{port}")
        server.close()

    run(test())


@pytest.mark.parametrize("url", ["", "ftp://x", "http://", "http://u:secret@h:1", "http://h/?k=1"])
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(e.Usage) as caught:
        HttpEngine(url)
    assert "secret" not in str(caught.value)


def test_urls_as_people_write_them() -> None:
    for url in ("http://h:1", "http://h:1/", "h:1/v1", "http://h:1/v1/"):
        assert str(base_url(url)) == "http://h:1/"
    assert str(base_url("https://h/openai/v1") / "v1/models") == "https://h/openai/v1/models"


# -- parts -----------------------------------------------------------------------------------


def test_retry_after_in_both_forms() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    assert http_errors.retry_after("2.5") == 2.5
    assert 85 < (http_errors.retry_after(soon) or 0) <= 90
    assert http_errors.retry_after("Sun, 06 Nov 1994 08:49:37 GMT") == 0
    for nothing in (None, "", "soon", "nan", "inf"):
        assert http_errors.retry_after(nothing) is None


def test_the_key_is_not_quoted() -> None:
    body = b'{"error":{"message":"no quota left for sk-123"}}'
    error = http_errors.from_status("here", 400, {}, body, secret="sk-123")
    assert "sk-123" not in str(error)
    assert "***" in str(error)


EVENTS = (
    'data: {"choices":[{"text":"Zo","finish_reason":null}]}\r\n\r\n: ping\n\n'
    'event: x\ndata:{"choices":[{"text":"ë 🐇","finish_reason":"stop"}]}\n\n'
    'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\ndata: [DONE]\n\n'
).encode()


@given(st.lists(st.integers(0, len(EVENTS)), max_size=12))
def test_a_stream_reads_the_same_however_it_is_cut(cuts: list[int]) -> None:
    dialect = Dialect("here", "m", 10, vllm=True, tokens=True, seed=False, priority=False)
    reader = StreamReader(dialect, ask(IDS))
    ends = [0, *sorted(cuts), len(EVENTS)]
    texts = [reader.feed(EVENTS[a:b]) for a, b in pairwise(ends)]
    assert "".join(texts) == "Zoë 🐇"
    assert reader.finish() == Reply("Zoë 🐇", "stop", 3, 2)


SAID = {"content": "hi", "reasoning": "hm"}
WHOLE: dict[str, Any] = {
    "choices": [{"message": SAID, "delta": SAID, "text": "hi", "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2,
              "prompt_tokens_details": {"cached_tokens": 3},
              "completion_tokens_details": {"reasoning_tokens": 1}},
}  # fmt: skip
ODD = (None, -1, 10**400, float("nan"), 1.5, True, "x", [], [7], {}, {"x": {}})


def damaged(part: Any) -> Iterator[Any]:
    """The JSON with each of its parts replaced by each odd one."""
    yield from ODD
    for key in range(len(part)) if isinstance(part, list) else part if type(part) is dict else ():
        for worse in damaged(part[key]):
            copy = part.copy()
            copy[key] = worse
            yield copy


@pytest.mark.parametrize("vllm", [False, True])
@pytest.mark.parametrize("tokens", [False, True])
def test_an_answer_of_whatever_shape_is_a_true_reply_or_a_fault(vllm: bool, tokens: bool) -> None:
    dialect = Dialect("here", "m", 10, vllm=vllm, tokens=tokens, seed=False, priority=False)
    request = ask(IDS if tokens else TURNS)

    def streamed(body: bytes) -> Reply:
        reader = StreamReader(dialect, request)
        reader.feed(b"data: %b\n\ndata: [DONE]\n\n" % body)
        return reader.finish()

    def counts(reply: Reply) -> tuple[int, ...]:
        return (*reply[2:5], reply.thinking_tokens)

    for read in (lambda body: read_reply(dialect, request, body), streamed):
        assert counts(read(json.dumps(WHOLE).encode())) == (5, 2, 3, 1)
        for odd in damaged(WHOLE):
            with contextlib.suppress(e.HostError):
                reply = read(json.dumps(odd).encode())
                assert reply.text in ("hi", "x", "") and reply.thinking in ("hm", "x", "")
                assert all(type(n) is int and 0 <= n <= 200 for n in counts(reply))
                assert reply.cached_tokens <= reply.prompt_tokens


def test_a_mix_does_not_depend_on_the_order_of_arrival() -> None:
    async def faults(order: list[int]) -> dict[str, list[str]]:
        plan = mix(7, {"429": 0.3, "500": 0.3})
        async with FaultServer(plan=plan) as server, opened(server) as engine:
            for n in order:
                with contextlib.suppress(e.HostError):
                    await engine.send(ask((Message("user", str(n % 10)),)))
            met: dict[str, list[str]] = {}
            for seen in server.seen:
                met.setdefault(seen.prompt_hash, []).append(seen.fault)
            return met

    async def test() -> None:
        forth, back = list(range(40)), list(range(39, -1, -1))
        assert await faults(forth) == await faults(back)

    run(test())


def test_a_gpu_batches_and_counts_cached_prefixes(tokenizer: str) -> None:
    async def test() -> None:
        gpu = Gpu(slots=8, tokens_per_s=200, prefill_per_s=1e5)
        async with (
            FaultServer(gpu=gpu, tokenizer=tokenizer, answer=lambda _: "a " * 40) as server,
            opened(server) as engine,
        ):
            loop = asyncio.get_running_loop()
            first = await engine.send(ask(IDS, max_tokens=20))
            start = loop.time()
            many = await asyncio.gather(
                *(engine.send(ask((*IDS, n), id=str(n), max_tokens=20)) for n in range(8))
            )
            took = loop.time() - start
            assert took >= 20 / 200
            assert first.cached_tokens == 0
            assert {reply.cached_tokens for reply in many} == {32}
            assert gpu.generated == 9 * 20

    run(test())


def test_the_instant_server_serves_the_engine() -> None:
    async def test() -> None:
        async with InstantServer() as server, opened(server) as engine:
            replies = await asyncio.gather(*(engine.send(ask(id=str(n))) for n in range(50)))
            got: list[str] = []
            streamed = await engine.send(ask(), got.append)
            assert {reply.text for reply in replies} == {"Yes."} == {streamed.text, *got}
            assert server.count == 51

    run(test())


def test_in_a_process_of_its_own_it_logs_before_it_answers(tmp_path: Path) -> None:
    log = tmp_path / "requests.jsonl"
    command = [sys.executable, "-m", "nlpu.engines.fault_server", "--script", "500,", "--log", log]
    with subprocess.Popen(
        [*map(str, command), "--with-parent"], stdin=-1, stdout=-1, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        url = process.stdout.readline().strip()

        async def test() -> None:
            engine = HttpEngine(url)
            await engine.capabilities()
            with pytest.raises(e.ServerFault):
                await engine.send(ask(id="a"))
            await engine.send(ask(id="b"))
            async with aiohttp.request("POST", url + "/_fault", json={"script": ["429:3"]}) as told:
                assert (await told.json())["seen"] == 2
            with pytest.raises(e.Overloaded):
                await engine.send(ask(id="c"))
            await engine.close()

        run(test())
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        assert [(line["id"], line["fault"]) for line in lines] == [
            ("a", "500"),
            ("b", ""),
            ("c", "429"),
        ]
        process.stdin.close()
        assert process.wait(10) == 0
