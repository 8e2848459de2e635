"""Cutting texts into chunks that fit a processor, with their extents in the source.

Theory of operation
-------------------
A text is cut at the best border that keeps a chunk within its size: between paragraphs, else
between sentences, else between words (clauses, where a script sets no
blanks), else between characters. Chunks are contiguous: each starts
where the one before it stopped, so together they are the text.

Rules
1. ``"".join(split(text)) == text``.
2. No chunk has more than ``tokens`` tokens, by the processor's own count.
3. The cut depends on the text and the tokenizer alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from nlpu.checks import ANY_TEXT, WHOLE, check, maybe
from nlpu.errors import BadOperand
from nlpu.lifting import check_text
from nlpu.sentences import BORDER, CLAUSE
from nlpu.value import Value, current

_DEFAULT_TOKENS = 1024  # a few pages: small enough for a weak model, large enough for few calls
_BORDERS = (re.compile(r"\n\s*\n\s*"), BORDER, CLAUSE)


class Chunk(str):
    """A piece of a text that knows where it was: ``source[start:stop] == chunk``.

    Attributes:
        limit: Most tokens of a chunk, if it was cut by ``split``.
        start: Its first character in the source.
        stop: The character behind its last.
    """

    __slots__ = ("limit", "start", "stop")
    limit: int
    start: int
    stop: int

    @staticmethod
    def of(source: str, start: int, stop: int) -> Chunk:
        """Give the chunk of that extent, in characters."""
        chunk = Chunk(source[start:stop])
        chunk.start, chunk.stop = start, stop
        return chunk


def split(text: str | Value[str], tokens: int | None = None) -> list[Chunk]:
    """Cut a text into contiguous chunks; together they are the text.

    Waits for a Value. Raises BadOperand for an empty text, NotInRun outside a run.

    Args:
        text: The text, or a Value of one.
        tokens: Most tokens of a chunk, 8 at least (None: 1,024, or half the window of the run's
            default processor if that is less).
    """
    source = text.value if isinstance(text, Value) else text
    given = {"text": source, "tokens": tokens}
    check("split", given, {"text": ANY_TEXT, "tokens": maybe(WHOLE)}, BadOperand)
    check_text(source, "the text to split")
    if not source.strip():
        raise BadOperand("there is no text to split: it is empty or blank")
    processor = current().processor(None)
    limit = tokens if tokens is not None else min(_DEFAULT_TOKENS, processor.window // 2)
    if limit < 8:
        raise BadOperand(f"chunks need at least 8 tokens, not {limit}")
    found = list(chunks(source, limit, processor.count))
    for chunk in found:
        chunk.limit = limit
    return found


def chunks(source: str, limit: int, count: Callable[[str], int]) -> Iterator[Chunk]:
    """The chunks of a text, in order, for any way of counting tokens."""
    start = 0
    for stop in _packed(source, 0, len(source), limit=limit, count=count, level=0):
        yield Chunk.of(source, start, stop)
        start = stop


def _packed(
    source: str, start: int, stop: int, limit: int, count: Callable[[str], int], level: int
) -> Iterator[int]:
    """Where to cut source[start:stop]: greedy over its pieces, splitting what is too large."""
    begin, size = start, 0
    for left, right in _pieces(source, start, stop, level):
        piece = count(source[left:right])
        if size + piece > limit and begin < left:
            yield left
            begin, size = left, 0
        if piece > limit:
            *inner, last = _packed(source, left, right, limit=limit, count=count, level=level + 1)
            yield from inner
            begin = inner[-1] if inner else left
            size = count(source[begin:last])
        else:
            size += piece
    if begin < stop:
        yield stop


def _pieces(source: str, start: int, stop: int, level: int) -> Iterator[tuple[int, int]]:
    """source[start:stop] cut behind each border of a level; halves below the last."""
    if level >= len(_BORDERS):
        middle = (start + stop) // 2
        yield from ((start, middle), (middle, stop)) if middle > start else ((start, stop),)
        return
    left = start
    for match in _BORDERS[level].finditer(source, start, stop):
        if match.end() > left:
            yield left, match.end()
            left = match.end()
    if left < stop:
        yield left, stop
