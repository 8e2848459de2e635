"""Pages, words and phrases as the statements take them: rows and columns."""

from __future__ import annotations

from typing import Any, Final

from nlpu.label import label_text
from nlpu.memory.store.page import Page, blob_hash
from nlpu.memory.store.postgres import statements as asked

_LAST: Final = "\U0010ffff"  # behind every word that begins as asked


def row_of(number: int, page: Page, words: dict[str, list[int]]) -> tuple[Any, ...]:
    """Lay out a new page."""
    place = (page.source, page.start, page.stop, float(page.time_s), label_text(page.label))
    worth = (float(page.importance), float(page.credit), list(page.links), size_of(words))
    return (number, page.address, blob_hash(page.text), *place, *worth)


def size_of(words: dict[str, list[int]]) -> int:
    """Count the words of a page."""
    return sum(map(len, words.values()))


def copy_words(cursor: Any, words: dict[int, dict[str, list[int]]]) -> None:
    """Write the words of new pages, and where they stand."""
    with cursor.copy(asked.WORDS) as copy:
        for number, terms in words.items():
            for term, places in terms.items():
                copy.write_row((term, number, places))


def columns_of(phrases: list[tuple[list[str], bool]]) -> dict[str, list[Any]]:
    """Lay out phrases: those of one word, and of several."""
    one = [(n, stems[0], begins) for n, (stems, begins) in enumerate(phrases) if len(stems) == 1]
    many = [
        (n, step, term, len(stems))
        for n, (stems, _) in enumerate(phrases)
        for step, term in enumerate(stems)
        if len(stems) > 1
    ]
    return {
        "one": [n for n, _, _ in one],
        "low": [low for _, low, _ in one],
        "high": [low + _LAST * begins for _, low, begins in one],
        "many": [n for n, _, _, _ in many],
        "step": [step for _, step, _, _ in many],
        "term": [term for _, _, term, _ in many],
        "size": [size for _, _, _, size in many],
    }
