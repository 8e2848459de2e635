"""The whole story in two seconds: run, receipt, journal, resume, replay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kit import computer, finish

from nlpu import nlop, split
from nlpu.runtime import Budget
from nlpu.testing.scripted import Scripted, Seen

BOOK = "\n\n".join(f"Part {n}. " + "Some money changed hands. " * 20 for n in range(12))


@nlop
def summarize(text: str) -> str:
    """Summarise the text in at most three sentences."""


@nlop
def mentions(text: str, topic: str) -> bool:
    """Does the text mention the topic?"""


def digest(book: str, topic: str) -> Any:
    parts = summarize.map(split(book, tokens=600))
    whole = summarize.reduce(parts)
    return whole, mentions(whole, topic)


def script(seen: Seen) -> str:
    if "mention" in seen.instruction:
        return "yes" if seen.operands["topic"] in seen.operands["text"] else "no"
    return seen.operands["text"][:7] + " has money."


def test_run_receipt_journal_resume_replay(tmp_path: Path) -> None:
    engine = Scripted(script)
    with computer(engine, run_dir=tmp_path) as machine:
        run = finish(machine.start(digest, BOOK, topic="money"))
    assert run.result == ("Part 0. has money.", True)
    calls = run.receipt.calls
    assert calls == len(engine.seen) == 12 + 2 + 1 + 1  # leaves, two groups, the top, the question
    assert run.receipt.depth == 4
    assert str(run.receipt).startswith("16 calls, ")

    # A run that stops half-way goes on where it was.
    half, rest = Scripted(script), Scripted(script)
    with computer(half, run_dir=tmp_path) as machine:
        stopped = finish(machine.start(digest, BOOK, topic="money", budget=Budget(calls=7)))
    assert stopped.status == "stopped"
    assert len(half.seen) == 7
    with computer(rest, run_dir=tmp_path) as machine:
        again = finish(machine.resume(stopped.name, digest, BOOK, topic="money", budget=Budget()))
    assert again.result == run.result
    assert (again.receipt.calls, again.receipt.reused) == (calls - 7, 7)
    assert len(rest.seen) == calls - 7

    # A replay asks nobody and gives the same.
    silent = Scripted(script)
    with computer(silent, run_dir=tmp_path) as machine:
        replay = finish(machine.resume(run.name, digest, BOOK, topic="money", replay=True))
    assert (replay.result, replay.receipt.calls, silent.seen) == (run.result, 0, [])
    assert replay.receipt.reused == calls
