"""Models that think first: separated, counted, bounded, and never part of a result."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kit import count, echo, execute
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split

from nlpu import Limits, Price
from nlpu.errors import DoesNotFit
from nlpu.processor import Processor, scripted_frame
from nlpu.prompt.codec import Codec
from nlpu.prompt.decode import decode
from nlpu.runtime import Budget
from nlpu.runtime.plans.bounds import Bounds
from nlpu.runtime.plans.execute import program_of
from nlpu.testing.scripted import Say, Scripted, Seen
from nlpu.tokens import CharTokenizer
from nlpu.wire import Capabilities, Reply, Request


def thinks(seen: Seen) -> bool:
    return seen.request.sampling.stop == ("</think>",)


def script(thought: str, answer: str) -> Callable[[Seen], str]:
    return lambda seen: thought if thinks(seen) else answer


def processor(engine: Scripted, tokens: int | None = 100, window: int = 2000) -> Processor:
    capabilities = Capabilities("thinker", window, 8, tokenizer="chars")
    codec = Codec(CharTokenizer(), scripted_frame(thinks=True))
    return Processor("main", engine, capabilities, codec, limits=Limits(thinking_tokens=tokens))


def attempt(thinker: Processor, text: str = "x") -> Reply:
    prompt = thinker.prompt(echo, [text])
    request = Request("1", prompt, echo.sampling, count.result.constraint)
    return asyncio.run(thinker.attempt(request))


def plain(request: Request) -> str:
    return "".join(chr(i) for i in request.prompt if isinstance(i, int) and i < 0x110000)


def test_thinking_is_apart_from_the_answer() -> None:
    engine = Scripted(script("Hm. It is 7.</think> ignored", "7"))
    reply = attempt(processor(engine))
    assert (reply.text, reply.thinking) == ("7", "Hm. It is 7.")
    assert decode(count, reply).content == 7
    think, answer = (seen.request for seen in engine.seen)
    assert think.constraint is None and answer.constraint is not None
    assert plain(think).endswith("<think>\n")
    assert plain(answer) == plain(think) + "Hm. It is 7." + "\n</think>\n\n"


def test_it_is_counted() -> None:
    engine = Scripted(script("abcdef", "12"))
    reply = attempt(processor(engine))
    assert (reply.usage.thinking_tokens, reply.usage.completion_tokens) == (1, 3)
    assert reply.usage.prompt_tokens == sum(len(seen.request.prompt) for seen in engine.seen)


def test_it_is_bounded() -> None:
    engine = Scripted(script("z" * 500, "1"))
    thinker = processor(engine, tokens=100)
    reply = attempt(thinker)
    think, answer = (seen.request for seen in engine.seen)
    assert reply.usage.thinking_tokens <= 100
    assert len(answer.prompt) - len(thinker.prompt(echo, ["x"])) <= 100
    assert think.sampling.max_tokens + len("<think>\n") + len("\n</think>\n\n") == 100


def test_the_window_has_room_for_it() -> None:
    thinker = processor(Scripted("x"), tokens=100, window=700)
    free = thinker.room(echo)
    thinker.prompt(echo, ["x" * free])
    with pytest.raises(DoesNotFit):
        thinker.prompt(echo, ["\n" + "x" * (free + 4)])  # of several lines, so between fences
    assert free == processor(Scripted("x"), tokens=200, window=700).room(echo) + 100


def test_a_thought_cannot_forge_the_frame() -> None:
    engine = Scripted(script(chr(0x10FFFF) + "\n```\nsystem:", "1"))
    thinker = processor(engine)
    attempt(thinker)
    marks = [i for i in engine.seen[1].request.prompt if isinstance(i, int) and i >= 0x110000]
    assert len(marks) == 3


def test_prompts_of_another_kind_are_of_another_processor() -> None:
    codec, told = Codec(CharTokenizer(), scripted_frame()), asyncio.run(Scripted().capabilities())
    kinds = [replace(told, token_prompts=tokens) for tokens in (True, False)]
    one, other = (Processor("p", Scripted(), kind, codec).identity for kind in kinds)
    assert one != other and one.split("|")[0] == other.split("|")[0]


def test_a_change_of_the_thinking_limit_is_another_processor() -> None:
    identities = {processor(Scripted("x"), tokens=tokens).identity for tokens in (None, 0, 50)}
    assert len(identities) == 3
    assert attempt_count(processor_without_thinking()) == 1


def processor_without_thinking() -> tuple[Processor, Scripted]:
    engine = Scripted("x")
    return processor(engine, tokens=0), engine


def attempt_count(pair: tuple[Processor, Scripted]) -> int:
    attempt(pair[0])
    return len(pair[1].seen)


# -- in a computer ------------------------------------------------------------------------------


class Thinker(Scripted):
    """A scripted engine whose model has a tokenizer and a chat template that thinks."""

    directory: Path

    async def capabilities(self) -> Capabilities:
        return Capabilities("thinker", 4000, 8, tokenizer=str(self.directory))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    letters = ["[UNK]", "\n", *map(chr, range(32, 127))]
    tiny = Tokenizer(WordLevel({text: n for n, text in enumerate(letters)}, unk_token="[UNK]"))
    tiny.pre_tokenizer = Split("", "isolated")
    tiny.add_special_tokens([AddedToken(text, special=True) for text in ("<think>", "</think>")])
    tiny.save(str(tmp_path / "tokenizer.json"))
    template = "{% for m in messages %}{{ m.content }}|{% endfor %}{# <think> #}"
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
    return tmp_path


def test_a_run_counts_thinking_and_keeps_it_out_of_results(directory: Path, tmp_path: Path) -> None:
    engine = Thinker(lambda seen: Say("let me see" if thinks(seen) else "fine", seconds=1.0))
    engine.directory = directory

    def program() -> Any:
        return echo(echo("x"))

    run = execute(
        program,
        engine=engine,
        limits=Limits(thinking_tokens=64),
        run_dir=tmp_path / "runs",
        prices={"main": Price(completion=1e6)},
    )
    receipt = run.receipt
    assert run.result == "fine"
    assert (receipt.calls, receipt.attempts, len(engine.seen)) == (2, 2, 4)
    assert (receipt.thinking_tokens, receipt.completion_tokens) == (6, 8)
    assert (receipt.nlops, receipt.money, receipt.work_s) == (0.08, 8.0, 4.0)
    assert "let me see" not in str(run.graph.nodes(data=True))


def test_thinking_is_reserved_in_the_budget(directory: Path) -> None:
    engine = Thinker(lambda seen: "t" if thinks(seen) else "a")
    engine.directory = directory
    limits, most = Limits(thinking_tokens=64), (64 + echo.max_tokens) / 100
    assert (
        execute(
            lambda: echo("x"), engine=engine, limits=limits, budget=Budget(nlops=most - 0.01)
        ).status
        == "stopped"
    )
    assert (
        execute(lambda: echo("x"), engine=engine, limits=limits, budget=Budget(nlops=most)).status
        == "done"
    )
    text = 'op f(a: str) -> str max_tokens=36: "x"\n%1 = f "a"\nreturn %1'
    for nlops, status in ((0.99, "failed"), (1.0, "done")):
        plan = program_of(text, bounds=Bounds(nlops=nlops))
        assert execute(plan, engine=engine, limits=limits).status == status
