"""Research: plan, look, read and write, with citations that are really there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from kit import execute
from memory_kit import TALK, memory, talk
from terminal_fixture import Terminal, nlpu

from nlpu.label import UNTRUSTED, USER
from nlpu.memory.controller import Memory
from nlpu.programs.answer import NOTHING_FOUND
from nlpu.programs.research import Report, researched
from nlpu.testing.scripted import Scripted, Seen, default_answer

__all__ = ["nlpu"]
WHOLE = "\n".join(TALK)
QUESTION = "Tell me of bees and of pictures"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Memory]:
    with memory(tmp_path / "store") as opened:
        talk(opened)
        yield opened


def model(seen: Seen) -> str:
    """Takes the question apart in two, finds one fact for each, and writes with marks."""
    if "task" in seen.operands:
        return '["Who keeps bees?","What was painted?","Who keeps bees?"]'
    if "passage" in seen.operands:
        return seen.operands["passage"].partition(": ")[2]
    if "evidence" in seen.operands:
        asked = "bees" if "bees" in seen.operands["question"] else "painted"
        return "yes" if asked in seen.operands["evidence"] else "no"
    marks = [line.partition(" ")[0] for line in seen.operands["notes"].splitlines()]
    return f"{seen.operands['question']} {''.join(marks)}"


def check(report: Report) -> None:
    """Every mark is a citation, every citation is used, and stands where it says."""
    assert report.found == bool(report.citations) == (report.text != NOTHING_FOUND)
    texts = [report.text, *(part.text for part in report.parts)]
    for cited in report.citations:
        assert any(f"[{cited.number}]" in text for text in texts)
        assert cited.source == "talk" and 0 <= cited.start < cited.stop <= len(WHOLE)


def test_the_parts_and_the_whole_cite_pages_by_source_and_extent(store: Memory) -> None:
    run = execute(researched, store, QUESTION, engine=Scripted(model))
    report = run.result
    check(report)
    assert [part.question for part in report.parts] == [
        QUESTION,
        "Who keeps bees?",
        "What was painted?",
    ]
    quoted = {WHOLE[c.start : c.stop] for c in report.citations}
    assert quoted == {TALK[3].partition(": ")[2], TALK[2].partition(": ")[2]}
    assert len(report.citations) == 2  # what two parts rest on has one number
    assert report.text.startswith(QUESTION) and "[1] My brother keeps bees" in str(report)


def test_all_looks_and_readings_are_made_at_the_same_time(store: Memory) -> None:
    run = execute(researched, store, QUESTION, engine=Scripted(model, latency_s=1.0))
    assert run.receipt.calls > 25
    assert run.receipt.span_s < 6  # plan, read, judge, write, and the whole


def test_nothing_found_is_said(store: Memory) -> None:
    def useless(seen: Seen) -> str:
        return "no" if "evidence" in seen.operands else model(seen)

    report = execute(researched, store, QUESTION, engine=Scripted(useless)).result
    assert report == Report(text=NOTHING_FOUND, found=False, parts=[], citations=[])


@pytest.mark.parametrize("seed", range(8))
def test_a_report_is_well_formed_whatever_the_model_says(store: Memory, seed: int) -> None:
    dice = Random(seed)

    def wild(seen: Seen) -> str:
        return dice.choice(["", "[1] [77]", "yes", "[]", '["x"]', default_answer(seen)])

    run = execute(researched, store, QUESTION, engine=Scripted(wild))
    assert run.error is None
    check(run.result)


def test_a_report_is_as_trusted_as_its_pages(tmp_path: Path) -> None:
    def label(trusted: bool) -> object:
        with memory(tmp_path / str(trusted)) as opened:
            opened.write("Ann: I keep bees.", source="talk", label=USER if trusted else UNTRUSTED)
            seen = []

            def program() -> None:
                value = researched(opened, QUESTION)
                _ = value.value
                seen.append(value.label)

            execute(program, engine=Scripted(model))
            return seen[0]

    assert label(True) is USER and label(False) is UNTRUSTED


def test_a_memory_that_is_not_there_is_said(nlpu: Terminal) -> None:
    ended = nlpu("run", "research", "Why?", "store=none", "--engine", "scripted")
    assert ended.code == 2 and "there is no memory in none" in ended.err
