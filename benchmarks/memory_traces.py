"""``benchmarks.memory_traces``: what a cache of pages would hit on programs' own traces, by policy.

Theory of operation
-------------------
``summarize_book`` and ``converse`` run for real, on a scripted model: which pages a call reads does
not depend on how good its words are. The trace is taken from what the model was asked, in order:

    summarize_book   a summary reads its chunk and writes a page; a merge reads the summaries of its
                     few parts, each a page, and writes one
    converse         a reply reads the pages that its look-up found, and what was said and the reply
                     are written; a reflection or condensate reads some pages and is written

Messages are one speaker's turns of a LoCoMo conversation, at their times, then questions about it.

Rules
1. The model's words are the beginnings of what it read, behind a number that tells texts apart.
2. ``converse`` looks up by ``valued``: that firmware then ranks its pages well is no surprise, and
   the table is to be read so.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from benchmarks.command import carry_out
from benchmarks.memory_replay import Access, Uses, firmware_hits, hits
from nlpu import Computer, FakeClock, Memory
from nlpu.runtime.bench.locomo import read_talk
from nlpu.runtime.bench.report import circumstances, show, show_circumstances
from nlpu.runtime.loader import load
from nlpu.runtime.terminal.options import Json
from nlpu.testing.scripted import Scripted, Seen

SIZES = (8, 16, 32, 64)
FIRMWARE = ("hybrid", "valued")
_CHUNK = 2048  # characters, the scripted model's tokens: 512 of others
_AT_ONCE = 8
_WORDS, _PARTS, _LONGEST = 6, 4, 120  # of the scripted model's replies; the last in characters
_DAY_S = 86_400.0

app = typer.Typer(add_completion=False)


@app.command(help="Hit rates of page caches on programs' own traces, against the optimum.")
def command(
    book: Annotated[Path, typer.Option(metavar="FILE")],
    talk: Annotated[Path, typer.Option(metavar="FILE", help="A LoCoMo file.")],
    messages: Annotated[int, typer.Option(metavar="N", help="Turns said to converse.")] = 120,
    embedder: Annotated[str, typer.Option(metavar="NAME")] = "static",
    as_json: Json = False,
) -> None:
    from nlpu.runtime.terminal.output import write_json

    figures = measure(book, talk, messages, embedder)
    if as_json:
        write_json(figures)
    else:
        _print(figures)


def measure(book: Path, talk: Path, messages: int, embedder: str) -> dict[str, Any]:
    """Everything the command prints."""
    traces = {
        "summarize_book": book_trace(book.read_text(encoding="utf-8")),
        "converse": talk_trace(talk, messages, embedder),
    }
    return {
        **circumstances("chromadb"),
        "inputs": [book.name, talk.name],
        "traces": {name: _replayed(trace, embedder) for name, trace in traces.items()},
    }


def _replayed(trace: list[Access], embedder: str) -> dict[str, Any]:
    uses = Uses(trace)
    rows = []
    for size in SIZES:
        found = {
            "recency": hits(trace, size, uses.recency),
            "lru": hits(trace, size, uses.lru),
            **{name: firmware_hits(trace, size, name, embedder) for name in FIRMWARE},
            "belady": hits(trace, size, uses.belady),
        }
        rates = {name: round(hit / max(again, 1), 4) for name, (hit, again) in found.items()}
        rows.append({"cache_pages": size, **rates})
    pages = len({access.page for access in trace})
    return {"accesses": len(trace), "pages": pages, "hit_rates": rows}


# -- traces ----------------------------------------------------------------------------------------


class Reader:
    """A scripted model that notes which pages it was given, and which it made."""

    def __init__(self) -> None:
        self.trace: list[Access] = []
        self._numbers = count(1)

    def __call__(self, seen: Seen) -> str:
        operands = list(seen.operands.values())
        if "statement" in seen.operands:
            return str(min(10, 1 + len(operands[0]) // 20))  # a longer one matters more
        reply = f"({next(self._numbers)}) {_gist(operands[-1])}"[:_LONGEST].rstrip()
        for page in _pages(seen.operands, reply):
            self.trace.append(Access(page, operands[-1]))
        return reply


def _gist(text: str) -> str:
    parts = [part for part in text.split("\n") if part.strip()][:_PARTS]
    return " / ".join(" ".join(part.split()[:_WORDS]) for part in parts)


def _pages(operands: dict[str, str], reply: str) -> list[str]:
    """What a call read and wrote, by how its program put its operands together."""
    if "text" in operands:
        return [operands["text"], reply]
    if "summaries" in operands:
        return [*operands["summaries"].split("\n\n"), reply]
    if "notes" in operands:
        return [*operands["notes"].split("\n"), reply]
    lines = [line for line in operands["memories"].split("\n") if line != "(none yet)"]
    return [*lines, f"Person: {operands['message']}", f"Friend: {reply}"]


def book_trace(book: str) -> list[Access]:
    """What ``summarize_book`` accesses."""
    reader = Reader()
    with Computer(Scripted(reader, max_in_flight=_AT_ONCE)) as computer:
        computer.run(load("summarize_book").function, book, chunk_tokens=_CHUNK)
    return reader.trace


def talk_trace(talk: Path, messages: int, embedder: str) -> list[Access]:
    """What ``converse`` accesses, one run for each message."""
    reader, clock = Reader(), FakeClock()
    with TemporaryDirectory() as store, Computer(Scripted(reader), clock=clock) as computer:
        with Memory(store) as memory:
            memory.levels.disk.set_fact("embedder", embedder)
        for time_s, message in said(talk, messages):
            clock.start_s = time_s - clock.now_s
            computer.run(load("converse").function, message, store=store)
    return reader.trace


def said(path: Path, messages: int) -> Sequence[tuple[float, str]]:
    """The first speaker's turns and a third as many questions, each with its time."""
    talk = read_talk(path)
    speaker = next(iter(talk.pages.values())).text.partition(":")[0]
    turns = [
        (page.time_s, " ".join(page.text.partition(": ")[2].split()))
        for page in talk.pages.values()
        if page.text.startswith(f"{speaker}:")
    ][:messages]
    asked_s = turns[-1][0] + _DAY_S
    return [*turns, *((asked_s, question.text) for question in talk.questions[: messages // 3])]


def _print(figures: dict[str, Any]) -> None:
    show_circumstances(figures)
    rows = []
    for name, trace in figures["traces"].items():
        for row in trace["hit_rates"]:
            size, *rates = row.values()
            rows.append((f"{name}, {size} pages", *(f"{rate:.3f}" for rate in rates)))
    traces = "; ".join(
        f"{name}: {trace['accesses']} accesses, {trace['pages']} pages"
        for name, trace in figures["traces"].items()
    )
    show(f"Hit rates. {traces}", ("trace, cache", "recency", "lru", *FIRMWARE, "belady"), rows)


if __name__ == "__main__":
    carry_out(app)
