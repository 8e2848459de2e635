"""The engine for model folders, on a real model. One engine serves the module on one loop; the
tests that close an engine, or break it, open their own."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Coroutine, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import pytest
from kit import requested
from tokenizers import Tokenizer

from nlpu.engines.transformers_folder import TransformersEngine
from nlpu.errors import (
    BadOperand,
    Cancelled,
    ConstraintRejected,
    DoesNotFit,
    EngineDied,
    MissingPart,
    UnknownProcessor,
    Usage,
)
from nlpu.sampling import Sampling
from nlpu.wire import Constraint, Message, Reply, Request
from tests.vllm_fixture import model_directory

pytestmark = pytest.mark.local
if not all(map(find_spec, ("torch", "transformers", "xgrammar"))):
    pytest.skip("the extra transformers is not installed", allow_module_level=True)

T = TypeVar("T")
WINDOW = 512
FRANCE, RAIN = "What is the capital of France?", "Write one sentence about rain."
QUESTIONS = (FRANCE, RAIN, "Name three colours.", "What is 2+2?", "Who wrote Hamlet?")


class Bench:
    """An open engine with its loop and tokenizer."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self.folder = model_directory()
        self.engine = self.another()
        self.facts = self.run(self.engine.capabilities())
        self.tokens = Tokenizer.from_file(str(Path(self.folder) / "tokenizer.json"))

    def another(self, max_in_flight: int = 4) -> TransformersEngine:
        return TransformersEngine(self.folder, max_in_flight, WINDOW)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def ask(self, text: str, id: str = "r", max_tokens: int = 16, **options: Any) -> Request:
        chat = f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"
        ids = tuple(self.tokens.encode(chat).ids)
        return requested(id, ids, max_tokens=max_tokens, **options)

    def send(self, request: Request) -> Reply:
        return self.run(self.engine.send(request))

    def together(
        self, requests: list[Request], engine: TransformersEngine | None = None
    ) -> list[Any]:
        async def work() -> list[Any]:
            sent = ((engine or self.engine).send(one) for one in requests)
            return await asyncio.gather(*sent, return_exceptions=True)

        return self.run(work())


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.run(made.engine.close())
    made.runner.close()


# -- what it is, and what is missing --------------------------------------------------------------


def test_it_names_its_model_and_what_is_weaker(bench: Bench) -> None:
    facts = bench.facts
    assert facts.model == Path(bench.folder).name
    assert (facts.window, facts.max_in_flight) == (WINDOW, 4)
    assert ("seed" in facts.sampling, facts.probabilities, facts.priority) == (True, True, False)
    assert any("batch" in one for one in facts.weaker)
    assert facts.source == "folder" and len(facts.weights) == 64
    assert repr(bench.engine).startswith("TransformersEngine(") and "0 under way" in repr(
        bench.engine
    )


def test_wrong_folders_are_named(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises((MissingPart, Usage), match=re.escape(str(folder))):
            asyncio.run(TransformersEngine(folder).capabilities())


def test_a_model_that_cannot_be_run_is_named(tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(UnknownProcessor, match=re.escape(str(tmp_path))):
        asyncio.run(TransformersEngine(tmp_path).capabilities())


@pytest.mark.parametrize("name", ["torch", "transformers", "xgrammar"])
def test_a_missing_library_names_the_command(
    bench: Bench, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingPart, match=rf"{name}.*pip install .*\[transformers\]'"):
        asyncio.run(bench.another().capabilities())


def fresh(code: str, *arguments: str) -> str:
    """What a new interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_nothing_heavy_is_imported_before_it_is_asked() -> None:
    code = (
        "import asyncio, sys; from nlpu.engines.transformers_folder import TransformersEngine\n"
        "asyncio.run(TransformersEngine('x').close())\n"
        "print([one for one in ('torch', 'transformers', 'xgrammar') if one in sys.modules])"
    )
    assert fresh(code) == "[]"


@pytest.mark.slow
def test_a_process_that_forgets_to_close_it_ends(bench: Bench) -> None:
    code = """
import asyncio, sys
from nlpu.engines.transformers_folder import TransformersEngine
from nlpu.sampling import Sampling
from nlpu.wire import Request

async def main():
    engine, started = TransformersEngine(sys.argv[1], 2, 512), asyncio.Event()
    asks = [Request(str(n), (5, 6, 7), Sampling(500, temperature=1.0)) for n in range(3)]
    tasks = [asyncio.create_task(engine.send(one, lambda _: started.set())) for one in asks]
    await started.wait()
    print("runs")

asyncio.run(main())
"""
    assert fresh(code, bench.folder) == "runs"


# -- text -----------------------------------------------------------------------------------------


def test_it_answers_and_ends_by_itself(bench: Bench) -> None:
    reply = bench.send(bench.ask(FRANCE))
    assert "Paris" in reply.text
    assert "<|" not in reply.text
    assert reply.finish == "stop"
    # The end token was chosen, so it is counted.
    assert reply.usage.completion_tokens == len(bench.tokens.encode(reply.text).ids) + 1


def test_a_stop_string_over_several_tokens_is_never_shown(bench: Bench) -> None:
    whole = bench.send(bench.ask(FRANCE)).text
    stop = whole[9:20]  # from within a word to within another
    pieces: list[str] = []
    request = bench.ask(FRANCE, stop=("never", stop))
    reply = bench.run(bench.engine.send(request, pieces.append))
    assert reply.text == "".join(pieces) == whole[:9]
    assert reply.finish == "stop"
    assert bench.send(request) == reply  # the same without a listener


def test_pieces_hold_no_half_characters(bench: Bench) -> None:
    text = "naïve 語 😀 ok"
    request = bench.ask(FRANCE, constraint=Constraint("choice", f'["{text}"]'), max_tokens=40)
    pieces: list[str] = []
    reply = bench.run(bench.engine.send(request, pieces.append))
    assert reply.text == "".join(pieces) == text
    assert len(pieces) > 3 and not any("\ufffd" in piece for piece in pieces)
    cut = bench.run(bench.engine.send(request.using(max_tokens=3), pieces.append))
    assert cut.finish == "length"


def test_the_same_text_alone_and_in_a_batch(bench: Bench) -> None:
    requests = [bench.ask(text, str(n), max_tokens=10) for n, text in enumerate(QUESTIONS)]
    alone = [bench.send(one).text for one in requests]
    assert [reply.text for reply in bench.together(requests * 2)] == alone * 2


# -- sampling and constraints, each row its own ---------------------------------------------------


def test_rows_with_different_settings_run_at_once(bench: Bench) -> None:
    greedy = bench.ask(RAIN)
    narrow = greedy.using(temperature=1.0, top_p=1e-6)
    narrower = [narrow.using(top_p=1.0, **one) for one in ({"top_k": 1}, {"min_p": 1.0})]
    warm = [greedy.using(temperature=1.5) for _ in range(3)]
    digits = bench.ask(RAIN, constraint=Constraint("regex", "[0-9]{3}"), temperature=2.0)
    fresher = bench.ask(RAIN, repetition_penalty=3.0)
    asks = [greedy, narrow, *narrower, digits, fresher, *warm]
    texts = [one.text for one in bench.together(asks)]
    assert {*texts[:4]} == {bench.send(greedy).text}
    assert re.fullmatch("[0-9]{3}", texts[4])
    assert texts[5] != texts[0]
    assert len(set(texts[6:])) == 3


def test_a_seed_makes_a_draw_again(bench: Bench) -> None:
    asks = [bench.ask(RAIN, temperature=1.5, seed=seed) for seed in (1, 1, 2)]
    texts = [bench.send(one).text for one in asks]
    assert texts[0] == texts[1] != texts[2]


def test_no_special_token_under_a_constraint(bench: Bench) -> None:
    # "<|im_start|>" as letters is allowed here; as one token it would vanish from the text.
    constraint = Constraint("regex", "[<|_a-z>]{8}")
    asks = [bench.ask(one, constraint=constraint, temperature=5.0) for one in QUESTIONS]
    for reply in bench.together(asks):
        assert re.fullmatch(constraint.spec, reply.text)


def test_a_constraint_that_cannot_be_read_is_rejected(bench: Bench) -> None:
    for constraint in (Constraint("regex", r"(a)\1"), Constraint("json", "no json")):
        with pytest.raises(ConstraintRejected):
            bench.send(bench.ask(FRANCE, constraint=constraint))


def test_a_row_that_fails_fails_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(ids: object, line: object) -> None:
        raise AssertionError("no way on")

    usual = bench.engine._processors
    monkeypatch.setattr(
        bench.engine, "_processors", lambda row: broken if row.request.id == "bad" else usual(row)
    )
    bad, good = bench.together([bench.ask(FRANCE, "bad"), bench.ask(FRANCE)])
    assert isinstance(bad, ConstraintRejected) and "no way on" in str(bad)
    assert "Paris" in good.text


# -- rows come and go -----------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["cancel", "task"])
def test_cancelling_one_leaves_the_others(bench: Bench, way: str) -> None:
    heard: list[str] = []
    seen = asyncio.Event()

    def hear(piece: str) -> None:
        heard.append(piece)
        seen.set()

    async def work() -> Reply:
        other = asyncio.create_task(bench.engine.send(bench.ask(FRANCE, "other")))
        story = bench.ask("Tell a long story.", "gone", max_tokens=400)
        gone = asyncio.create_task(bench.engine.send(story, hear))
        await seen.wait()
        if way == "cancel":
            bench.engine.cancel("gone")
            bench.engine.cancel("unknown")
        else:
            gone.cancel()
        before = len(heard)
        with pytest.raises(Cancelled if way == "cancel" else asyncio.CancelledError):
            await gone
        reply = await other
        assert len(heard) == before
        return reply

    assert "Paris" in bench.run(work()).text
    short = bench.send(bench.ask(FRANCE, "gone"))  # the id is free again
    assert "Paris" in short.text
    assert not bench.engine._rows
    router = bench.engine._manager.output_router
    assert not router.result_handlers and router.output_queue.qsize() <= 1


def test_a_listener_that_raises_harms_no_row(bench: Bench) -> None:
    def broken(piece: str) -> None:
        raise RuntimeError("the listener is broken")

    async def work() -> tuple[Reply, Reply]:
        loop, faults = asyncio.get_running_loop(), list[str]()
        loop.set_exception_handler(lambda _, told: faults.append(str(told["exception"])))
        heard = asyncio.create_task(bench.engine.send(bench.ask(FRANCE, "heard"), broken))
        other = asyncio.create_task(bench.engine.send(bench.ask(FRANCE, "other"), lambda _: None))
        replies = await heard, await other
        loop.set_exception_handler(None)
        assert {*faults} == {"the listener is broken"}
        return replies

    first, second = bench.run(work())
    assert first == second and "Paris" in first.text


def test_a_gguf_is_sent_to_the_engine_that_runs_it() -> None:
    with pytest.raises(Usage, match=r"which is GGUF: .* use --engine local"):
        asyncio.run(TransformersEngine("smollm2-135m").capabilities())


def test_cancelled_before_it_began(bench: Bench) -> None:
    async def work() -> None:
        tasks = [asyncio.create_task(bench.engine.send(bench.ask(one, one))) for one in QUESTIONS]
        await asyncio.sleep(0)
        for one in QUESTIONS:
            bench.engine.cancel(one)
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(one, Cancelled) for one in answers)

    bench.run(work())


def test_what_cannot_be_served_is_refused(bench: Bench) -> None:
    with pytest.raises(DoesNotFit) as caught:
        bench.send(Request("big", (5,) * WINDOW, Sampling(1)))
    assert (caught.value.needed, caught.value.available) == (WINDOW + 1, WINDOW)
    assert (
        bench.send(Request("fits", (5,) * (WINDOW - 1), Sampling(1))).usage.prompt_tokens
        == WINDOW - 1
    )
    prompts: list[Any] = [(), (Message("user", "hi"),), (1 << 20,), (-1,)]
    for prompt in prompts:
        with pytest.raises(BadOperand):
            bench.send(Request("bad", prompt, Sampling(4)))


# -- the end --------------------------------------------------------------------------------------


def test_close_ends_what_runs_and_is_idempotent(bench: Bench) -> None:
    async def work() -> None:
        engine, started = bench.another(2), asyncio.Event()
        asks = [bench.ask("Tell a long story.", str(n), max_tokens=400) for n in range(4)]
        tasks = [asyncio.create_task(engine.send(one, lambda _: started.set())) for one in asks]
        await started.wait()
        await asyncio.gather(engine.close(), engine.close())
        await engine.close()
        for answer in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(answer, Cancelled)
        with pytest.raises(Cancelled):
            await engine.send(asks[0])
        with pytest.raises(Cancelled):
            await engine.capabilities()

    bench.run(work())


def test_close_while_it_loads(bench: Bench) -> None:
    async def work() -> None:
        engine = bench.another(1)
        opening = asyncio.create_task(engine.capabilities())
        await asyncio.sleep(0)
        await engine.close()
        with pytest.raises(Cancelled):
            await opening

    bench.run(work())


@pytest.mark.slow
def test_when_the_manager_dies_all_fail_and_the_next_starts_it_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = bench.another()

    def broken() -> None:
        raise RuntimeError("no memory")

    bench.run(engine.capabilities())
    with monkeypatch.context() as patch:
        patch.setattr(engine._manager, "_generation_step", broken)
        answers = bench.together([bench.ask(one, one) for one in QUESTIONS], engine)
    assert all(isinstance(one, EngineDied) and one.transient for one in answers)
    assert any("no memory" in str(one) for one in answers)
    engine._manager._generation_thread.join()
    assert "Paris" in bench.run(engine.send(bench.ask(FRANCE))).text
    bench.run(engine.close())
