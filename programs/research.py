"""Research a question in a memory: plan, look, read, and write with citations.

    nlpu memory ingest docs
    nlpu run research "How did computing machines change, and who changed them?"

The question is taken apart into smaller ones. For each of them the memory is searched, the pages
found are read for evidence, and a yes/no op drops what does not help: everything at the same time.
What is left is numbered, a part is written for each smaller question, and then the whole from the
parts. A mark [1] in the text is a citation: the file or conversation that the page is of, and the
extent of its evidence there.
"""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import fill

from pydantic import BaseModel

from nlpu import Memory, Value, lift, spawn
from nlpu.isa import decompose
from nlpu.memory.store.page import Among
from nlpu.programs.answer import NOTHING_FOUND, Citation, Note, compose, recalled, search
from nlpu.programs.calling import attempted
from nlpu.programs.opened import looked_up

QUESTIONS = 3  # the smaller ones
PAGES = 6  # read for each


class Part(BaseModel):
    """A smaller question and what the memory says about it, with marks."""

    question: str
    text: str


class Report(BaseModel):
    """What was found; ``found`` says whether there was anything."""

    text: str
    found: bool
    parts: list[Part]
    citations: list[Citation]

    def __str__(self) -> str:
        parts = [f"{part.question}\n{fill(part.text, 88)}" for part in self.parts]
        return "\n\n".join([fill(self.text, 88), *parts, *map(str, self.citations)])


def research(
    question: str, store: str = ".nlpu/memory", pages: int = PAGES, among: Among = "documents"
) -> Value[Report]:
    """Answer a question from a memory, part by part, citing the places the answer rests on.

    among: pages of the memory that are looked through: documents, own (what was said), or all.
    """
    with looked_up(store, among) as memory:
        return researched(memory, question, pages)


def researched(memory: Memory, question: str, pages: int = PAGES) -> Value[Report]:
    """The whole of it, with an open memory."""
    smaller = [each for each in attempted(decompose, question) or [] if len(each.split()) > 2]
    asked = dict.fromkeys([question, *smaller[:QUESTIONS]])
    looks = {each: spawn(look, memory, each, pages) for each in asked}
    citations: dict[tuple[str, int, int], Citation] = {}  # one for each place
    notes: dict[str, list[Note]] = {}  # by smaller question
    for each, found in looks.items():
        for text, start, stop, source in found.value:
            new = Citation(
                number=len(citations) + 1, evidence=text, start=start, stop=stop, source=source
            )
            cited = citations.setdefault((source, start, stop), new)
            note: Note = (Value(f"[{cited.number}] {cited.evidence}", found.label), [cited.number])
            notes.setdefault(each, []).append(note)
    if not notes:
        return Value(Report(text=NOTHING_FOUND, found=False, parts=[], citations=[]))
    written = [(compose(each, those), numbers(those)) for each, those in notes.items()]
    whole = compose(question, written) if len(written) > 1 else written[0][0]
    return finished(whole, notes, [text for text, _ in written], list(citations.values()))


def look(memory: Memory, question: str, most: int) -> list[tuple[str, int, int, str]]:
    """What the pages that fit the question say about it: evidence, its extent and its source."""
    reading = [
        (spawn(search, question, passage), source)
        for passage, source in recalled(memory, question, most)
    ]
    return [(*found, source) for each, source in reading if (found := each.value) is not None]


def numbers(notes: list[Note]) -> list[int]:
    """The numbers that a text made from the notes may cite."""
    return sorted({number for _, cited in notes for number in cited})


def finished(
    whole: Value[str], questions: Iterable[str], texts: list[Value[str]], citations: list[Citation]
) -> Value[Report]:
    """The Report, with those citations that its texts use."""

    def report(whole: str, *texts: str) -> Report:
        parts = [Part(question=q, text=t) for q, t in zip(questions, texts, strict=True)]
        used = [c for c in citations if any(f"[{c.number}]" in text for text in (whole, *texts))]
        return Report(text=whole, found=True, parts=parts, citations=used)

    return lift(report)(whole, *texts)
