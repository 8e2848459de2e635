"""The main job on real models: `summarize_book`, embedded and on vLLM.

The embedded model reads the essay of `make demo-long`, vLLM the beginning of a book, which lies
beside the project (where it does not, the essay's beginning); NLPU_WHOLE_BOOK=1 is the whole book
for both.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from journal_kit import Opened

from nlpu.programs.summarize_book import Part, summarize_book
from nlpu.runtime import Computer, Run
from nlpu.runtime.journal.records import past_of
from nlpu.wire import COUNTS, Capabilities, Engine, Reply, Request
from tests.vllm_fixture import Served

ROOT = Path(__file__).parents[2]
BOOK = ROOT.parent / "shared" / "data" / "books" / "alice.txt"
ESSAY = ROOT / "docs" / "essay.txt"
PART_CHARACTERS = 9000
MOST_CUT = 1 / 20  # of the calls, at their limit, on the embedded model
WHOLE_BOOK = bool(os.environ.get("NLPU_WHOLE_BOOK"))


def the_book() -> str:
    text = (BOOK if BOOK.is_file() else ESSAY).read_text(encoding="utf-8")
    return text if WHOLE_BOOK else text[:PART_CHARACTERS]


class Watched:
    """Passes everything on; keeps what was sent and what came back."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.sent: list[Request] = []
        self.replies: list[Reply] = []
        self.facts: Capabilities | None = None

    async def capabilities(self) -> Capabilities:
        self.facts = await self.engine.capabilities()
        return self.facts

    async def send(self, request: Request, on_text: Callable[[str], None] | None = None) -> Reply:
        self.sent.append(request)
        reply = await self.engine.send(request, on_text)
        self.replies.append(reply)
        return reply

    def cancel(self, request_id: str) -> None:
        self.engine.cancel(request_id)

    async def close(self) -> None:
        await self.engine.close()


def leaves(part: Part) -> list[Part]:
    return [leaf for child in part.children for leaf in leaves(child)] or [part]


def check_summary(run: Run, book: str) -> None:
    """It finished, and its leaves are the book, end to end."""
    whole = run.result.whole
    assert whole.text
    covered = leaves(whole)
    assert len(covered) > 2
    assert [part.start for part in covered] == [0, *(part.stop for part in covered[:-1])]
    assert covered[-1].stop == len(book)
    assert all(part.text for part in covered)


def check_requests(engine: Watched, book: str) -> None:
    """None exceeded the window, and every chunk of the book was sent."""
    assert engine.facts is not None
    assert all(len(r.prompt) + r.sampling.max_tokens <= engine.facts.window for r in engine.sent)


def check_receipt(run: Run, engine: Watched, run_dir: Path) -> None:
    """The receipt adds up to the journal's rows and to what the engine reported."""
    receipt = run.receipt
    assert receipt.attempts == len(engine.sent)
    for name in COUNTS:
        told = sum(getattr(reply.usage, name) for reply in engine.replies)
        assert getattr(receipt, name) == told, name
    journal = Opened(run_dir / f"{run.name}.db", read_only=True)
    past = past_of(row for row in journal.rows if row[1] == 1)
    journal.close()
    usages = [outcome.usage for outcome in past.outcomes.values()]
    assert receipt.calls == len(usages)
    assert receipt.prompt_tokens == sum(usage[0] for usage in usages)
    assert receipt.completion_tokens == sum(usage[1] for usage in usages)
    assert past.attempts == receipt.attempts


def check_replay(run: Run, engine: Any, run_dir: Path, book: str) -> None:
    """No call, same bytes."""
    watched = Watched(engine)
    with Computer(watched, run_dir=run_dir) as computer:
        again = computer.resume(run.name, summarize_book, book, replay=True).wait()
        assert again.result.model_dump_json() == run.result.model_dump_json()
        assert again.receipt.calls == 0
        assert again.receipt.reused == run.receipt.calls
    assert watched.sent == []


def check_limits(run: Run) -> None:
    """The ops' limits leave room for what the model says: few calls were cut."""
    assert run.receipt.trimmed <= MOST_CUT * run.receipt.calls, str(run.receipt)


def do_the_job(make: Callable[[], Any], run_dir: Path, book: str) -> tuple[Run, Watched]:
    engine = Watched(make())
    with Computer(engine, run_dir=run_dir) as computer:
        run = computer.run(summarize_book, book)
        check_summary(run, book)
        print(run.receipt)
    check_requests(engine, book)
    check_receipt(run, engine, run_dir)
    check_replay(run, make(), run_dir, book)
    return run, engine


@pytest.mark.slow
@pytest.mark.local
@pytest.mark.timeout(3600)
def test_on_the_embedded_processor(tmp_path: Path) -> None:
    from nlpu.engines.embedded.engine import EmbeddedEngine

    book = the_book() if WHOLE_BOOK else ESSAY.read_text(encoding="utf-8")
    run, _ = do_the_job(EmbeddedEngine, tmp_path, book)
    check_limits(run)


def server_counts(served: Served) -> tuple[int, int, int]:
    """vLLM's own counts: requests finished, prompt tokens, generated tokens."""

    async def metrics() -> str:
        headers = {"Authorization": f"Bearer {served.api_key}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            return await (await session.get(f"{served.url}/metrics")).text()

    text = asyncio.run(metrics())

    def total(name: str) -> int:
        lines = re.findall(rf"^vllm:{name}(?:{{[^}}]*}})? ([0-9.e+]+)$", text, re.MULTILINE)
        return int(sum(map(float, lines)))

    return (
        total("request_success_total"),
        total("prompt_tokens_total"),
        total("generation_tokens_total"),
    )


@pytest.mark.vllm
@pytest.mark.timeout(3600)
def test_on_vllm(vllm_server: Served, tmp_path: Path) -> None:
    before = server_counts(vllm_server)
    run, _ = do_the_job(vllm_server.engine, tmp_path, the_book())
    after = server_counts(vllm_server)
    made = [b - a for a, b in zip(before, after, strict=True)]
    receipt = run.receipt
    assert made == [receipt.attempts, receipt.prompt_tokens, receipt.completion_tokens]
