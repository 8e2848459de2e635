"""``hybrid``: words and meaning fused, with who spoke, when, where, and what stands beside it.

Theory of operation
-------------------
Candidates are the best pages by words (BM25, stemmed), by meaning (cosine), the neighbours of those
found by words, and pages of a time the question names. Each has these signals:

    words    BM25, half of it to the pages beside, a quarter to those beside these: an answer
             stands next to its question
    meaning  cosine of question and page
    source   BM25 of the three best pages of its source: it is the place that speaks of it
    speaker  1 if the question names one speaker and the page is theirs ("Name: ...")
    time     1 in a span that the question names, a half just after it
    length   log of the bytes (a Chinese sign says more than a letter), up to those of a few turns:
             a longer page says more, and none comes first whatever is asked
    recency, importance, credit: as in generative agents; they decide between pages that fit alike

The first three are standardised over the candidates. The score is the weighted sum; a page that
holds the words best is put before those beside it, which have their share from it.

The weights are rounded from a logistic fit on the seven LoCoMo files of the benchmark; it reports
beside them what weights fitted without the tested file reach.

Rules
1. No model is called but the embedder.
2. Equal stores and questions give equal orders: ties go to the older page.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from nlpu.memory.firmware import Found, OpFree
from nlpu.memory.store.levels import Levels
from nlpu.memory.store.page import Page
from nlpu.memory.store.queries import words_of
from nlpu.memory.times import spans_of

# of words, meaning, source, speaker, time, length, recency, importance, credit
WEIGHTS = (0.4, 0.8, 0.5, 2.5, 4.0, 0.6, 0.2, 1.0, 1.0)
_LONG = 300  # bytes
_EACH = 100  # candidates by words, and by meaning
_SHARES = (0.5, 0.25)  # of a page's BM25, for those beside it
_BEST = 0.9  # of the best BM25, from where a page holds the words
_SPEAKER = re.compile(r"([^\W\d_][\w'’-]*(?: [^\W\d_][\w'’-]*)?)(?:: |：)")
_HOUR_DECAY = 0.995


class Firmware(OpFree):
    """The default."""

    def __init__(self, weights: Sequence[float] = WEIGHTS) -> None:
        self.weights = weights

    def look(self, levels: Levels, question: str, most: int, now_s: float) -> list[Found]:
        """The best candidates by the weighted sum of their signals."""
        words = levels.by_words(question, _EACH)
        pages, signals = candidates(levels, question, now_s, words)
        rated = [math.fsum(map(float.__mul__, self.weights, row)) for row in signals]
        scores = dict(zip(pages, rated, strict=True))
        _lift(levels, pages, words, scores)
        found = [Found(n, page, scores[n]) for n, page in pages.items()]
        return sorted(found, key=lambda each: (-each.score, each.number))[:most]


def candidates(
    levels: Levels, question: str, now_s: float, words: dict[int, float] | None = None
) -> tuple[dict[int, Page], list[list[float]]]:
    """Pages that may fit, and a row of signals for each. ``words``: what was found by words."""
    words = levels.by_words(question, _EACH) if words is None else words
    near = levels.by_meaning(question, _EACH)
    best = max(words.values(), default=1.0) or 1.0
    words = {number: score / best for number, score in words.items()}
    spread = _spread(levels, words)
    pages = levels.pages({*spread, *near})
    years = [datetime.fromtimestamp(page.time_s, UTC).year for page in pages.values()]
    spans = spans_of(question, now_s, range(min(years, default=0), max(years, default=-1) + 1))
    for span in spans:
        pages |= levels.between(span.start_s, span.stop_s, _EACH)
    near |= levels.cosines(question, pages.keys() - near.keys())
    sources = _by_source(words, pages)
    speaker = _speaker_asked(question, pages)
    rows = []
    for number, page in pages.items():
        age_h = max(0.0, now_s - page.time_s) / 3600
        rows.append(
            [
                spread.get(number, 0.0),
                near.get(number, 0.0),
                sources.get(page.source, 0.0),
                float(bool(speaker) and speaker == _speaker_of(page)),
                max((span.fit(page.time_s) for span in spans), default=0.0),
                math.log1p(min(len(page.text.encode(errors="replace")), _LONG)),
                _HOUR_DECAY**age_h,
                page.importance,
                page.credit,
            ]
        )
    for column in range(3):
        _standardise(rows, column)
    return pages, rows


def _spread(levels: Levels, words: dict[int, float]) -> dict[int, float]:
    """BM25 with what pages get from those beside them."""
    spread: dict[int, float] = defaultdict(float)
    reach = len(_SHARES)
    for number, page in levels.pages(words).items():
        left, right = levels.disk.neighbours(number, page, reach, reach)
        spread[number] += words[number]
        for side in (left, right):
            for other, share in zip(side, _SHARES, strict=False):
                spread[other] += words[number] * share
    return spread


def _lift(
    levels: Levels, pages: dict[int, Page], words: dict[int, float], scores: dict[int, float]
) -> None:
    """Put the pages that hold the words best just before those beside them that hold fewer."""
    least, before = _BEST * max(words.values(), default=0.0), dict(scores)
    for number in [n for n, score in words.items() if score >= least and n in pages]:
        sides = levels.disk.neighbours(number, pages[number], len(_SHARES), len(_SHARES))
        beside = {other for side in sides for other in side if other in before}
        poorer = [before[n] for n in beside if words.get(n, 0.0) < words[number]]
        above = max(poorer, default=-math.inf)
        if above >= before[number]:
            scores[number] = math.nextafter(max(above, scores[number]), math.inf)


def _by_source(words: dict[int, float], pages: dict[int, Page]) -> dict[str, float]:
    scores: dict[str, list[float]] = defaultdict(list)
    for number, score in words.items():
        if number in pages:  # another process may have forgotten it since
            scores[pages[number].source].append(score)
    return {source: sum(sorted(found)[-3:]) for source, found in scores.items()}


def _speaker_of(page: Page) -> str:
    found = _SPEAKER.match(page.text)
    return found[1].lower() if found else ""


def _speaker_asked(question: str, pages: dict[int, Page]) -> str:
    """The one speaker that the question names; nobody if it names several."""
    asked = " ".join(words_of(question))
    speakers = {speaker for page in pages.values() if (speaker := _speaker_of(page))}
    named = [s for s in sorted(speakers) if f" {' '.join(words_of(s))} " in f" {asked} "]
    return named[0] if len(named) == 1 else ""


def _standardise(rows: list[list[Any]], column: int) -> None:
    if not rows:
        return
    values = [row[column] for row in rows]
    mean = math.fsum(values) / len(values)
    deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / len(values))
    for row in rows:
        row[column] = (row[column] - mean) / deviation if deviation > 1e-9 else 0.0
