"""The parts of the HTTP engine, and the servers that it is tested against."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import astuple
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from http_kit import IDS, TURNS, ask, opened, run, tokenizer
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.fake_vllm.faults import mix
from benchmarks.fake_vllm.gpu import Gpu
from benchmarks.fake_vllm.instant import InstantServer
from benchmarks.fake_vllm.server import FaultServer
from nlpu import errors as e
from nlpu.engines.http import errors as http_errors
from nlpu.engines.http.decode import StreamReader, read_reply
from nlpu.engines.http.encode import Dialect
from nlpu.engines.http.engine import HttpEngine
from nlpu.wire import Message, Reply, Usage

__all__ = ["tokenizer"]  # a fixture


def test_retry_after_in_both_forms() -> None:
    begun = datetime.now(UTC)
    soon = format_datetime(begun + timedelta(seconds=90), usegmt=True)  # whole seconds, cut
    waits_s = http_errors.retry_after(soon) or 0
    passed_s = (datetime.now(UTC) - begun).total_seconds()
    assert http_errors.retry_after("2.5") == 2.5
    assert 89 - passed_s < waits_s <= 90
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
    assert reader.finish() == Reply("Zoë 🐇", "stop", Usage(3, 2))


SAID = {"content": "hi", "reasoning": "hm"}
WHOLE: dict[str, Any] = {
    "choices": [{"message": SAID, "delta": SAID, "text": "hi", "finish_reason": "stop"}],
    "usage": {
        "prompt_tokens": 5,
        "completion_tokens": 2,
        "prompt_tokens_details": {"cached_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 1},
    },
    "metrics": {"queue_time_ms": 4.2},
}
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
        return astuple(reply.usage)

    for read in (lambda body: read_reply(dialect, request, body), streamed):
        assert counts(read(json.dumps(WHOLE).encode())) == (5, 2, 3, 1, 4)
        for odd in damaged(WHOLE):
            with contextlib.suppress(e.HostError):
                reply = read(json.dumps(odd).encode())
                assert reply.text in ("hi", "x", "") and reply.thinking in ("hm", "x", "")
                assert all(type(n) is int and 0 <= n <= 200 for n in counts(reply))
                assert reply.usage.cached_tokens <= reply.usage.prompt_tokens


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
            assert first.usage.cached_tokens == 0
            assert {reply.usage.cached_tokens for reply in many} == {32}
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
    command = [sys.executable, "-m", "benchmarks.fake_vllm.server", "--script", "500,"]
    command += ["--log", str(log)]
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
