"""Summarise a text of any length, and keep for every part of the summary where it came from.

    nlpu run summarize_book --input book.txt
    nlpu run summarize_book --input book.txt --json | jq .result.whole.text

The book is cut into chunks. Each chunk is summarised; summaries of neighbours are merged into one,
those again, and so on up to one summary of the whole. Nothing waits for a level to be finished: a
merge starts as soon as its own few parts are there. The result is the tree of all these summaries,
each with its extent, ``book[start:stop]``. The leaves cover the book from its first character to
its last.

Wordings, chunks and limits are those of the embedded 135M-parameter model: asked for one sentence
about a short text it writes one to three and ends; asked for three it often goes on to its limit
(docs/log.md). A larger model has room for larger chunks: ``chunk_tokens=1024``.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from textwrap import fill, indent

from pydantic import BaseModel

from nlpu import Value, lift, nlop, split
from nlpu.programs.calling import careful

NEIGHBOURS = 6  # summaries merged in one call, at most


@nlop(max_tokens=192, at_limit="trim", repetition_penalty=1.05)
def summarize(text: str) -> str:
    """Summarise the text in one sentence."""


@nlop(max_tokens=256, at_limit="trim", repetition_penalty=1.05)
def merge(summaries: str) -> str:
    """Summarise these summaries in one sentence."""


class Part(BaseModel):
    """A summary of ``book[start:stop]``, and the parts it was made from."""

    text: str
    start: int
    stop: int
    children: list[Part] = []


class Summary(BaseModel):
    """The whole summary at the top of a tree of summaries."""

    whole: Part

    def __str__(self) -> str:
        parts = (
            f"characters {part.start} to {part.stop}:\n{indent(fill(part.text, 84), '  ')}"
            for part in self.whole.children
        )
        return "\n\n".join([fill(self.whole.text, 88), *parts])


@dataclass
class Draft:
    """A Part whose text may still be on its way."""

    text: Value[str]
    start: int
    stop: int
    children: list[Draft]


def summarize_book(book: str, chunk_tokens: int = 320) -> Value[Summary]:
    """Summarise a text of any length as a tree of summaries with their extents."""
    chunks = split(book, chunk_tokens)
    drafts = [Draft(careful(summarize, c), c.start, c.stop, []) for c in chunks]
    return finished(whole_of(drafts))


def whole_of(drafts: list[Draft]) -> Draft:
    """Merge neighbours, in groups of about the same size, until one is left."""
    if len(drafts) == 1:
        return drafts[0]
    count = ceil(len(drafts) / NEIGHBOURS)
    borders = [len(drafts) * number // count for number in range(count + 1)]
    return whole_of([merged(drafts[start:stop]) for start, stop in pairwise(borders)])


def merged(group: list[Draft]) -> Draft:
    """One draft of neighbouring ones."""
    text = careful(merge, paragraphs(*(draft.text for draft in group)))
    return Draft(text, group[0].start, group[-1].stop, group)


@lift
def paragraphs(*texts: str) -> str:
    """Texts below each other."""
    return "\n\n".join(texts)


def finished(draft: Draft) -> Value[Summary]:
    """The Summary, once all its texts are there."""
    drafts = list(walk(draft))

    def summary(*texts: str) -> Summary:
        written = iter(texts)

        def part(of: Draft) -> Part:
            text = next(written)
            return Part(
                text=text, start=of.start, stop=of.stop, children=list(map(part, of.children))
            )

        return Summary(whole=part(draft))

    return lift(summary)(*(each.text for each in drafts))


def walk(draft: Draft) -> list[Draft]:
    """The draft and all below it, parents first."""
    return [draft, *(below for child in draft.children for below in walk(child))]
