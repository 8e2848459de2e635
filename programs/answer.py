"""Answer a question about a text of any length, with citations.

    nlpu run answer "Who built the first one?" --input essay.txt
    nlpu run answer "Who built the first one?" store=.nlpu/memory

Every chunk of the text is read for evidence at the same time. Where the model did not copy a
sentence but wrote one, the sentence that bears it out stands for it: all evidence is the text's, to
the character. A yes/no op drops what does not help. What is left is numbered, and the answer is
written from it in a tree of calls that each fit the window. Its marks [1], [2], ... are citations,
each with the extent ``text[start:stop]`` it came from. If nothing in the text helps, the answer
says so. Instead of a text it takes a memory, and reads the pages that fit the question best.
"""

from __future__ import annotations

import re
from textwrap import fill
from typing import TYPE_CHECKING

from pydantic import BaseModel

from nlpu import Chunk, DoesNotFit, ModelError, Usage, Value, lift, nlop, spawn, split
from nlpu.memory.store.page import Among
from nlpu.programs.calling import careful
from nlpu.programs.support import supporting

if TYPE_CHECKING:
    from nlpu import Memory

PAGES = 12  # read of a memory
NOTES = 6  # pieces of evidence in one call
NOTHING_FOUND = "The text says nothing that answers this question."


@nlop(max_tokens=64, at_limit="trim")
def find_evidence(question: str, passage: str) -> str:
    """Copy from the passage the one sentence that helps most to answer the question."""


@nlop
def helps(question: str, evidence: str) -> bool:
    """Does the evidence help to answer the question?"""


@nlop(max_tokens=128, at_limit="trim")
def write_answer(question: str, notes: str) -> str:
    """Answer the question from the numbered notes alone, in one to three sentences. After each
    statement put the number of its note in brackets, like [1]."""


Note = tuple[Value[str], list[int]]  # a text with marks, and the numbers it may cite


class Citation(BaseModel):
    """What a mark [number] in an answer stands for: ``text[start:stop]`` holds the evidence.

    Of evidence from a memory, ``source`` is the file or conversation that this is an extent of.
    """

    number: int
    evidence: str
    start: int
    stop: int
    source: str = ""

    def __str__(self) -> str:
        place = f"({self.source or 'characters'} {self.start} to {self.stop})"
        return fill(f"[{self.number}] {self.evidence} {place}", 88)


class Answer(BaseModel):
    """An answer and the evidence it cites; ``found`` says whether there was any."""

    text: str
    found: bool
    citations: list[Citation]

    def __str__(self) -> str:
        return "\n\n".join([fill(self.text, 88), *map(str, self.citations)])


def answer(
    question: str,
    text: str = "",
    chunk_tokens: int = 512,
    store: str = "",
    among: Among = "documents",
) -> Value[Answer]:
    """Answer a question from a text or a memory, citing the places the answer rests on.

    among: pages of the memory that are looked through: documents, own (what was said), or all.
    """
    if bool(text) == bool(store):
        raise Usage("answer needs a text or a store=DIR, one of them: give --input FILE or store=")
    passages = (
        from_store(question, store, among)
        if store
        else [(c, "") for c in split(text, chunk_tokens)]
    )
    searches = [(spawn(search, question, chunk), source) for chunk, source in passages]
    found = [(evidence, source) for s, source in searches if (evidence := s.value) is not None]
    if not found:
        return Value(Answer(text=NOTHING_FOUND, found=False, citations=[]))
    citations = [
        Citation(number=n, evidence=e, start=start, stop=stop, source=source)
        for n, ((e, start, stop), source) in enumerate(found, 1)
    ]
    notes: list[Note] = [(Value(f"[{c.number}] {c.evidence}"), [c.number]) for c in citations]
    return finished(compose(question, notes), citations)


def from_store(question: str, store: str, among: Among) -> list[tuple[Chunk, str]]:
    """The passages of a store that fit the question best."""
    from nlpu.memory.controller import Memory  # here: a text needs none of its libraries

    with Memory(store, new=False, among=among) as memory:
        return recalled(memory, question, PAGES)


def recalled(memory: Memory, question: str, most: int) -> list[tuple[Chunk, str]]:
    """The pages of a memory that fit the question best, and their sources."""
    pages = [found.page for found in memory.search(question, most=most)]
    return [(page_chunk(page.text, page.start), page.source) for page in pages]


def page_chunk(text: str, start: int) -> Chunk:
    """A page as a piece of its source."""
    chunk = Chunk(text)
    chunk.start, chunk.stop = start, start + len(text)
    return chunk


def search(question: str, chunk: Chunk) -> tuple[str, int, int] | None:
    """The evidence in one chunk with its extent, if there is any that helps."""
    if not chunk.strip():
        return None
    try:
        evidence, place = copied(find_evidence(question, chunk).value, question, chunk)
        if not evidence or not helps(question, evidence):
            return None
    except ModelError:  # no valid reply: no evidence
        return None
    except DoesNotFit:  # a page as long as the window
        parts = split(chunk)
        if len(parts) < 2:  # it is the question that is too long
            raise
        return search_parts(question, parts, chunk.start)
    return evidence, chunk.start + place, chunk.start + place + len(evidence)


def copied(said: str, question: str, chunk: Chunk) -> tuple[str, int]:
    """The words of the chunk that were copied, and where; the sentence that bears out what was
    said where that is not in it; "" where none does."""
    if said.strip() and (place := chunk.find(said)) >= 0:
        return said, place
    start, stop = supporting(said, question, chunk) or (0, 0)
    return chunk[start:stop], start


def search_parts(question: str, parts: list[Chunk], start: int) -> tuple[str, int, int] | None:
    """The first evidence in the parts of a chunk that is too long to be read at once."""
    looks = [spawn(search, question, page_chunk(part, start + part.start)) for part in parts]
    return next((found for look in looks if (found := look.value) is not None), None)


def compose(question: str, notes: list[Note]) -> Value[str]:
    """The answer from all notes: from groups of them first, where they are many."""
    groups = [notes[i : i + NOTES] for i in range(0, len(notes), NOTES)]
    written = [write(question, group) for group in groups]
    return written[0][0] if len(written) == 1 else compose(question, written)


def write(question: str, group: list[Note]) -> Note:
    """One answer from a few notes, citing some of them whatever the model wrote."""
    numbers = sorted({number for _, cited in group for number in cited})
    draft = careful(write_answer, question, lines(*(text for text, _ in group)))
    return lift(with_marks)(draft, numbers), numbers


def with_marks(draft: str, numbers: list[int]) -> str:
    """The draft without marks that stand for nothing; if it has none, with the first few.

    With all of them drafts would grow from level to level, until no call fits.
    """
    marks = {f"[{number}]" for number in numbers}
    kept = re.sub(r"\[\d+\]", lambda mark: mark[0] if mark[0] in marks else "", draft)
    kept = " ".join(kept.split()) or "The notes say:"
    if any(mark in kept for mark in marks):
        return kept
    return f"{kept} {''.join(f'[{number}]' for number in numbers[:NOTES])}"


@lift
def lines(*texts: str) -> str:
    """Texts, one a line."""
    return "\n".join(texts)


def finished(text: Value[str], citations: list[Citation]) -> Value[Answer]:
    """The Answer with those citations that its text uses."""

    def used(text: str) -> Answer:
        cited = [c for c in citations if f"[{c.number}]" in text]
        return Answer(text=text, found=True, citations=cited)

    return lift(used)(text)
