"""The three programs, end to end on the scripted engine: well-formed whatever the model says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import from_json, to_json

from nlpu.programs.answer import NOTES, NOTHING_FOUND, Answer, answer, with_marks
from nlpu.programs.ask import ask
from nlpu.programs.summarize_book import NEIGHBOURS, Part, Summary, summarize_book
from nlpu.programs.support import supporting
from nlpu.runtime import Computer, Run
from nlpu.testing.scripted import Say, Scripted, Seen

ESSAY = (Path(__file__).parents[2] / "docs" / "essay.txt").read_text()
STRANGE = ["", " ", "[1] [99] [0]", "```\n````", "<|im_end|>", "\x1b[2J", "no.", "é" * 400, "[]"]


def run(script: Any, program: Callable[..., Any], *args: Any, **options: Any) -> Run:
    with Computer(Scripted(script), **options) as computer:
        return computer.run(program, *args)


def leaves(part: Part) -> list[Part]:
    return [leaf for child in part.children for leaf in leaves(child)] or [part]


def check_tree(part: Part, book: str) -> None:
    """Children lie in their parent in order, without a gap and without overlap."""
    at = part.start
    for child in part.children:
        assert child.start == at
        at = child.stop
        check_tree(child, book)
    assert not part.children or at == part.stop
    assert part.text.strip() and 0 <= part.start < part.stop <= len(book)


# -- ask -----------------------------------------------------------------------------------------


def test_ask_is_one_call_and_its_pieces_are_its_text() -> None:
    with Computer(Scripted("A loom weaves. It is old.")) as computer:
        started = computer.start(ask, "What is a loom?", stream=True)
        assert "".join(started.stream()) == started.result == "A loom weaves. It is old."
        assert started.receipt.calls == 1


# -- summarize_book --------------------------------------------------------------------------------


def test_a_summary_covers_every_chunk() -> None:
    ended = run(None, summarize_book, ESSAY, 600)
    whole = ended.result.whole
    check_tree(whole, ESSAY)
    assert "".join(ESSAY[leaf.start : leaf.stop] for leaf in leaves(whole)) == ESSAY
    engine_calls = len(leaves(whole)) + sum(1 for part in parts(whole) if part.children)
    assert ended.receipt.calls == engine_calls
    assert ended.receipt.depth == depth(whole)


def parts(part: Part) -> list[Part]:
    return [part, *(below for child in part.children for below in parts(child))]


def depth(part: Part) -> int:
    return 1 + max((depth(child) for child in part.children), default=0)


def test_no_chunk_is_left_over_by_the_merges() -> None:
    level = [run("Short.", summarize_book, ESSAY, 600).result.whole]
    while level[0].children:
        sizes = [len(part.children) for part in level]
        assert min(sizes) > 1 and max(sizes) <= NEIGHBOURS and max(sizes) - min(sizes) <= 1
        level = [child for part in level for child in part.children]
    assert not any(part.children for part in level)


def test_every_chunk_is_really_read() -> None:
    engine = Scripted("Short.")
    with Computer(engine) as computer:
        computer.run(summarize_book, ESSAY, 600)
    read = [seen.operands["text"] for seen in engine.seen if "text" in seen.operands]
    assert "".join(sorted(set(read), key=ESSAY.index)) == ESSAY


def test_a_merge_starts_before_the_level_is_finished() -> None:
    """The last chunk is slow; the merge of the first four does not wait for it."""
    last = ESSAY[-200:]

    def script(seen: Seen) -> Say:
        slow = last in seen.operands.get("text", "")
        return Say("Some words.", seconds=0.5 if slow else 0.0)

    engine = Scripted(script)
    order: list[str] = []
    with Computer(engine) as computer:
        started = computer.start(summarize_book, ESSAY, 600, stream=True)
        computer_seen = engine.seen
        started.wait()
        order = [next(iter(seen.operands)) for seen in computer_seen]
    assert "summaries" in order
    graph = started.graph
    merges = [facts for _, facts in graph.nodes(data=True) if facts["op"] == "merge"]
    leaf = [facts for _, facts in graph.nodes(data=True) if facts["op"] == "summarize"]
    slowest = max(facts["start_s"] + facts["service_s"] for facts in leaf)
    assert min(facts["start_s"] for facts in merges) < slowest - 0.3


def test_a_short_text_is_one_call() -> None:
    ended = run("All of it.", summarize_book, "A short text.")
    assert ended.result == Summary(whole=Part(text="All of it.", start=0, stop=13))
    assert ended.receipt.calls == 1


@pytest.mark.parametrize("seed", range(12))
def test_programs_stay_well_formed_whatever_the_model_says(seed: int) -> None:
    dice = Random(seed)
    said: dict[tuple[str, ...], str] = {}

    def script(seen: Seen) -> str:
        asked = (seen.instruction, *seen.operands.values(), str(seen.request.sampling.temperature))
        if seen.request.constraint is not None:
            return said.setdefault(asked, dice.choice(["yes", "no", "maybe"]))
        return said.setdefault(asked, dice.choice(STRANGE))

    summary = run(script, summarize_book, ESSAY, 900).result
    check_tree(summary.whole, ESSAY)
    assert Summary.model_validate(from_json(to_json(summary))) == summary
    assert str(summary)
    found = run(script, answer, "Who?", ESSAY, 900).result
    check_answer(found)
    assert Answer.model_validate(from_json(to_json(found))) == found


# -- answer ----------------------------------------------------------------------------------------


def check_answer(found: Answer) -> None:
    assert found.text.strip()
    assert found.found == bool(found.citations) == (found.text != NOTHING_FOUND)
    for citation in found.citations:
        assert f"[{citation.number}]" in found.text
        assert 0 <= citation.start < citation.stop <= len(ESSAY)


def test_an_answer_cites_the_places_its_evidence_came_from() -> None:
    sentence = "Grace Hopper had one assembling routines from a\nlibrary in 1952"
    assert sentence in ESSAY

    def script(seen: Seen) -> str:
        if "passage" in seen.operands:
            return sentence if sentence in seen.operands["passage"] else "Nothing here."
        if "evidence" in seen.operands:
            return "yes" if "Hopper" in seen.operands["evidence"] else "no"
        return "Grace Hopper did [1], they say [7]."

    ended = run(script, answer, "Who assembled routines?", ESSAY)
    found = ended.result
    check_answer(found)
    assert found.text == "Grace Hopper did [1], they say ."
    (citation,) = found.citations
    assert ESSAY[citation.start : citation.stop] == sentence == citation.evidence
    assert "[1] Grace Hopper had one" in str(found)


def test_an_answer_says_when_nothing_is_relevant() -> None:
    found = run({"Copy": "A sentence.", "Does": "no"}, answer, "What is 1+1?", ESSAY).result
    assert found == Answer(text=NOTHING_FOUND, found=False, citations=[])


def test_much_evidence_is_read_in_calls_that_fit() -> None:
    script = {"Copy": "A fact.", "Does": "yes", "Answer": "So it is."}
    with Computer(Scripted(script, window=1000)) as computer:
        found = computer.run(answer, "Why?", ESSAY, 100).result
    check_answer(found)
    assert len(found.citations) == NOTES  # the model cited nothing: marks of all would not fit


def test_blank_passages_are_not_read() -> None:
    def script(seen: Seen) -> str:
        if "evidence" in seen.operands:
            return "yes"
        return seen.operands.get("passage", "So it is.").strip()

    engine = Scripted(script)
    with Computer(engine) as computer:
        found = computer.run(answer, "Why?", "A fact." + "\n" * 300 + "Another.", 16).result
    passages = [seen.operands["passage"] for seen in engine.seen if "passage" in seen.operands]
    check_answer(found)
    assert len(found.citations) == len(passages) and all(map(str.strip, passages))


def test_evidence_that_was_made_up_is_the_sentence_that_bears_it_out_or_none() -> None:
    text = (
        "The mill is old.\n\nTom Barrow built it in 1788. He made clocks, too. Nobody lives there."
    )
    said = iter(["It was built by Barrow (1788).", "Zzz!"])

    def script(seen: Seen) -> str:
        if "evidence" in seen.operands:
            return "yes"
        return next(said) if "passage" in seen.operands else "Barrow did [1]."

    engine = Scripted(script)
    with Computer(engine) as computer:
        found = computer.run(answer, "Who built the mill?", text).result
        (cited,) = found.citations
        assert cited.evidence == text[cited.start : cited.stop] == "Tom Barrow built it in 1788."
        none = computer.run(answer, "Who built it?", text).result
    assert none == Answer(text=NOTHING_FOUND, found=False, citations=[])
    assert sum("evidence" in seen.operands for seen in engine.seen) == 1  # nothing to be asked of


@settings(max_examples=50)
@given(st.text(max_size=60), st.text(max_size=20), st.text(max_size=200))
def test_what_bears_out_is_a_part_of_the_passage(said: str, question: str, passage: str) -> None:
    found = supporting(said, question, passage)
    if found is not None:
        start, stop = found
        assert 0 <= start < stop <= len(passage)
        assert passage[start:stop] == passage[start:stop].strip() != ""


def test_what_bears_out_is_found_in_scripts_without_blanks() -> None:
    passage = "磨坊建于1788年。巴罗兄弟是钟表匠。门票三英镑。"
    start, stop = supporting("门票要三英镑", "门票多少钱？", passage) or (0, 0)
    assert passage[start:stop] == "门票三英镑。"


def test_marks_that_stand_for_nothing_are_taken_out() -> None:
    assert with_marks("It is so [2] and [9].", [1, 2]) == "It is so [2] and ."
    assert with_marks("It is so.", [1, 2]) == "It is so. [1][2]"
    assert with_marks("So.", list(range(1, 100))) == "So. [1][2][3][4][5][6]"
    assert with_marks(" [7] ", [1]) == "The notes say: [1]"


# -- replay ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("program", "args"),
    [(ask, ("Why?",)), (summarize_book, (ESSAY, 600)), (answer, ("Why?", ESSAY))],
)
def test_a_replay_gives_the_same_bytes(
    program: Callable[..., Any], args: tuple[Any, ...], tmp_path: Path
) -> None:
    first = run(None, program, *args, run_dir=tmp_path)
    engine = Scripted("never asked")
    with Computer(engine, run_dir=tmp_path) as computer:
        again = computer.resume(first.name, program, *args, replay=True).wait()
        assert to_json(again.result) == to_json(first.result)
        assert json.loads(to_json(first.result)) is not None
    assert engine.seen == []
