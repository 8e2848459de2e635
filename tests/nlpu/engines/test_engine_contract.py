"""The Engine protocol's contract (nlpu/wire.py), run on every engine.

    scripted  always            http   HttpEngine against the scripted server, over real HTTP
    replicas  two such engines, of which one is not there
    local     the embedded model   vllm   HttpEngine against a real vLLM server (make test-vllm)
    transformers   a model folder

What an engine does not promise is in one table here; a test of it is skipped.
What an engine can do beyond this is tested beside it (test_engine_*.py).
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from kit import requested
from pydantic import BaseModel

from benchmarks.fake_vllm.server import FaultServer
from nlpu import nlop
from nlpu.engines.http.engine import HttpEngine
from nlpu.engines.replicas import Replicas
from nlpu.errors import Cancelled, ConstraintRejected, DoesNotFit
from nlpu.judgement import Judgement
from nlpu.ops.op import Op
from nlpu.processor import Processor, open_processor
from nlpu.prompt.decode import decode
from nlpu.sampling import Sampling
from nlpu.testing.scripted import Scripted
from nlpu.wire import Reply, Request
from tests.vllm_fixture import Served, model_directory

PATIENCE_S = 110
EVERY = frozenset({"choice", "regex", "json"})
PROMISED: dict[str, tuple[frozenset[str], bool, bool | None]] = {
    # constraints, probabilities, seeds (None: it depends on the server)
    "scripted": (EVERY, True, True),
    "http": (EVERY, True, False),
    "replicas": (EVERY, True, False),
    "local": (EVERY, True, True),
    "vllm": (EVERY, True, None),
    "transformers": (EVERY, True, True),
}


class Person(BaseModel):
    name: str
    age: int


@nlop(max_tokens=24)
def tell(text: str) -> str:
    """Say something about the text."""


@nlop
def is_about_rain(text: str) -> bool:
    """Is the text about rain?"""


@nlop
def weigh_rain(text: str) -> Judgement:
    """Is the text about rain?"""


@nlop
def how_many(text: str) -> int:
    """How many people are in the text?"""


@nlop
def mood(text: str) -> Literal["glad", "sad", "neither of both"]:
    """What is the mood of the text?"""


@nlop(max_tokens=160)
def who(text: str) -> Person:
    """Who is in the text?"""


@nlop(max_tokens=200)
def colours(text: str) -> list[Literal["red", "green", "blue"]]:
    """Which colours are in the text?"""


TEXT = "It rained all day. Anna, who is nine, sat at the window in her red coat and was glad."


def _tiny_tokenizer(directory: Path) -> str:
    from tokenizers import Tokenizer, models

    vocabulary = {"[UNK]": 0} | {chr(code): code for code in range(1, 256)}
    Tokenizer(models.BPE(vocabulary, [], unk_token="[UNK]")).save(str(directory / "tokenizer.json"))
    return str(directory)


@asynccontextmanager
async def opening(kind: str, directory: str, served: Served | None) -> AsyncIterator[Processor]:
    """One engine of each kind, closed twice: closing is idempotent."""
    async with FaultServer(tokenizer=directory) as server:
        if kind == "scripted":
            engine: Any = Scripted()
        elif kind == "http":
            engine = HttpEngine(server.url)
        elif kind == "replicas":  # the second is not there
            engine = Replicas([HttpEngine(server.url), HttpEngine("http://127.0.0.1:9")])
        elif kind == "local":
            from nlpu.engines.embedded.engine import EmbeddedEngine

            engine = EmbeddedEngine()
        elif kind == "transformers":
            from nlpu.engines.transformers_folder import TransformersEngine

            engine = TransformersEngine(directory, window=1024)
        else:
            assert served is not None
            engine = served.engine()
        try:
            yield await open_processor(kind, engine)
        finally:
            await engine.close()
            await engine.close()


class Opened:
    """A processor on a loop of its own: models load once for the whole file."""

    def __init__(self, kind: str, directory: str, served: Served | None) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.kind, self.context = kind, opening(kind, directory, served)
        self.processor = self.run(self.context.__aenter__())

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE_S)

    def close(self) -> None:
        self.run(self.context.__aexit__(None, None, None))
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.fixture(
    scope="module",
    params=[
        "scripted",
        "http",
        "replicas",
        pytest.param("local", marks=pytest.mark.local),
        pytest.param("vllm", marks=pytest.mark.vllm),
        pytest.param("transformers", marks=[pytest.mark.local, pytest.mark.slow]),
    ],
)
def opened(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Opened]:
    kind = request.param
    served: Served | None = request.getfixturevalue("vllm_server") if kind == "vllm" else None
    tiny = _tiny_tokenizer(tmp_path_factory.mktemp("tokenizer"))
    found = Opened(kind, model_directory() if kind == "transformers" else tiny, served)
    yield found
    found.close()


def with_processor(opened: Opened, test: Callable[[Processor], Any]) -> None:
    opened.run(test(opened.processor))


def needs(opened: Opened, op: Op[Any]) -> None:
    """Skip what the engine says it cannot do."""
    try:
        opened.processor.check(op)
    except ConstraintRejected as lacking:
        pytest.skip(str(lacking))


def asking(processor: Processor, op: Op[Any], text: str = TEXT, **settings: Any) -> Request:
    ids = processor.prompt(op, (text,))
    fields = {"id": f"{op.name}-{hash(text)}", "max_tokens": op.max_tokens} | settings
    wanted = {"constraint": op.result.constraint, "probabilities": op.result.probabilities}
    return requested(prompt=ids, **(wanted | fields))


def test_what_it_says_of_itself(opened: Opened) -> None:
    async def test(processor: Processor) -> None:
        facts = processor.capabilities
        assert facts.model
        assert facts.window >= 256
        assert facts.max_in_flight >= 1
        assert facts.token_prompts
        promised, seeds = (facts.constraints, facts.probabilities), "seed" in facts.sampling
        assert promised == PROMISED[opened.kind][:2]
        assert seeds == PROMISED[opened.kind][2] or PROMISED[opened.kind][2] is None

    with_processor(opened, test)


def test_counts_are_those_of_the_prompt_and_the_limit_holds(opened: Opened) -> None:
    async def test(processor: Processor) -> None:
        request = asking(processor, tell)
        reply = await processor.engine.send(request)
        assert reply.usage.prompt_tokens == len(request.prompt)
        assert 0 <= reply.usage.cached_tokens <= reply.usage.prompt_tokens
        assert 0 < reply.usage.completion_tokens <= request.sampling.max_tokens
        short = await processor.engine.send(request.using(max_tokens=2)._replace(id="short"))
        assert (short.finish, short.usage.completion_tokens) == ("length", 2)

    with_processor(opened, test)


@pytest.mark.parametrize(
    "op", [is_about_rain, weigh_rain, how_many, mood, who, colours], ids=lambda op: op.name
)
def test_typed_results_are_valid(opened: Opened, op: Op[Any]) -> None:
    needs(opened, op)

    async def test(processor: Processor) -> None:
        texts = [TEXT, "Nobody came.", "``` \n{} <|im_end|> yes no 7"]
        requests = [asking(processor, op, text) for text in texts]
        replies = await asyncio.gather(*map(processor.engine.send, requests))
        for reply in replies:
            assert isinstance(reply, Reply)
            decoded = decode(op, reply)
            assert op.result.parse(decoded.text) == decoded.content
            assert op.result.check(decoded.content, "the result") == decoded.content
            _belongs(op, reply.text)

    with_processor(opened, test)


def _belongs(op: Op[Any], text: str) -> None:
    """The raw text is in the constraint's language; the decoder did not have to be lenient."""
    constraint = op.result.constraint
    assert constraint is not None
    if constraint.kind == "choice":
        assert text in json.loads(constraint.spec)
    elif constraint.kind == "regex":
        assert re.fullmatch(constraint.spec, text)
    else:
        assert json.dumps(json.loads(text))


def test_the_likelier_choice_is_said_and_a_stream_tells_the_same(opened: Opened) -> None:
    needs(opened, weigh_rain)

    async def test(processor: Processor) -> None:
        for text in (TEXT, "Nobody came.", "The kettle is blue."):
            request = asking(processor, weigh_rain, text)
            reply = await processor.engine.send(request)
            assert sum(reply.probabilities) == pytest.approx(1)
            likelier = max(zip(reply.probabilities, ("yes", "no"), strict=True))
            assert likelier[1] == reply.text
            streamed = await processor.engine.send(request._replace(id="s"), lambda piece: None)
            assert streamed.text == reply.text
            near = {
                "abs": 0.03 if any("0.01" in s for s in processor.capabilities.weaker) else 1e-3
            }
            assert streamed.probabilities == pytest.approx(reply.probabilities, **near)
            warm = request.using(temperature=1.5, repetition_penalty=1.3)._replace(id="w")
            drawn = await processor.engine.send(warm)
            assert drawn.probabilities[0] == pytest.approx(reply.probabilities[0], **near)
            assert drawn.mass == pytest.approx(reply.mass, **near)
            plain = await processor.engine.send(request._replace(id="p", probabilities=False))
            assert plain.text in {"yes", "no"} and (plain.probabilities, plain.mass) == ((), None)

    with_processor(opened, test)


def test_the_mass_is_what_the_choices_have_of_the_whole(opened: Opened) -> None:
    """No constraint, temperature or penalty is in it; a scripted mass is what the script says."""
    needs(opened, weigh_rain)

    async def test(processor: Processor) -> None:
        pieces: list[str] = []
        for number, text in enumerate((TEXT, "Nobody came.", "The kettle is blue.")):
            request = asking(processor, weigh_rain, text, id=f"mass {number}")
            reply = await processor.engine.send(request, pieces.append)
            if opened.kind == "scripted":
                assert reply.mass is None
                continue
            assert reply.mass is not None and 0 < reply.mass < 1 + 1e-6
            assert (reply.finish, reply.usage.completion_tokens) == ("stop", 1)
            assert pieces.pop() == reply.text and not pieces
            drawn = request.using(temperature=1.0, seed=None)._replace(id="drawn")
            assert (await processor.engine.send(drawn)).text in {"yes", "no"}

    with_processor(opened, test)


def test_pieces_make_the_text(opened: Opened) -> None:
    async def test(processor: Processor) -> None:
        pieces: list[str] = []
        reply = await processor.engine.send(asking(processor, tell), pieces.append)
        assert "".join(pieces) == reply.text

    with_processor(opened, test)


def test_greedy_decoding_repeats_itself(opened: Opened) -> None:
    async def test(processor: Processor) -> None:
        first, second = [
            await processor.engine.send(asking(processor, tell, id=name, max_tokens=8))
            for name in ("first", "second")
        ]
        assert first.text == second.text

    with_processor(opened, test)


def test_a_stop_string_ends_the_text_and_is_not_in_it(opened: Opened) -> None:
    async def test(processor: Processor) -> None:
        whole = await processor.engine.send(asking(processor, tell))
        middle = whole.text[len(whole.text) // 2 :].strip()[:3]
        stopped = await processor.engine.send(asking(processor, tell, id="stop", stop=(middle,)))
        assert middle not in stopped.text
        assert whole.text.startswith(stopped.text)
        assert stopped.finish == "stop"

    with_processor(opened, test)


def test_cancelled_by_id_and_by_task_while_others_go_on(opened: Opened) -> None:
    async def test(processor: Processor) -> None:
        engine, loop = processor.engine, asyncio.get_running_loop()
        engine.cancel("never heard of")
        by_id = loop.create_task(engine.send(asking(processor, tell, "one", id="by id")))
        by_task = loop.create_task(engine.send(asking(processor, tell, "two", id="by task")))
        other = loop.create_task(engine.send(asking(processor, tell, "three", id="other")))
        by_id.add_done_callback(lambda _: None)
        loop.call_soon(engine.cancel, "by id")
        loop.call_soon(by_task.cancel)
        outcomes = await asyncio.gather(by_id, by_task, other, return_exceptions=True)
        # An engine that answers at once may be done before it is told to stop.
        assert isinstance(outcomes[0], Cancelled | Reply)
        assert isinstance(outcomes[1], asyncio.CancelledError | Reply)
        assert isinstance(outcomes[2], Reply)
        engine.cancel("other")  # finished: nothing happens

    with_processor(opened, test)


def test_what_does_not_fit_is_refused(opened: Opened) -> None:
    async def test(processor: Processor) -> None:
        window = processor.window
        ids = (*asking(processor, tell).prompt,)
        too_long = Request("long", (ids * (1 + window // len(ids)))[:window], Sampling(24))
        with pytest.raises(DoesNotFit):
            await processor.engine.send(too_long)

    with_processor(opened, test)


def test_more_requests_than_it_runs_at_once(opened: Opened) -> None:
    needs(opened, is_about_rain)

    async def test(processor: Processor) -> None:
        requests = [asking(processor, is_about_rain, f"{n}: {TEXT}") for n in range(20)]
        replies = await asyncio.gather(*map(processor.engine.send, requests))
        assert {reply.text for reply in replies} <= {"yes", "no"}

    with_processor(opened, test)
