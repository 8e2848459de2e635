"""``nlpu bench memory``: how much of the evidence memory finds, in long conversations.

Theory of operation
-------------------
A LoCoMo file is a conversation of many sessions and questions about it, each naming the turns that
hold its evidence. Every turn is a page, every session a source. A question's recall at k is the
share of its evidence among the first k pages; the figure is the mean over all questions that have
evidence.

The weights that ``hybrid`` ships were rounded from a fit on these files. So the gate is on ``hybrid
(held out)``: for each file, weights fitted on the others alone.

Rules
1. Evidence that the file does not hold counts as not found.
2. The time of a question is the end of its conversation.
3. Milliseconds are those of one query, its embedding included, the store's opening not.
"""

from __future__ import annotations

import json
import re
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, NamedTuple

import typer

from memory.controller import Memory
from memory.firmware import Found, hybrid, open_firmware
from memory.levels import Levels, rough_tokens
from memory.pages import Page
from nlpu.errors import Usage
from nlpu.label import USER
from runtime.bench.report import at_least, circumstances, show, show_circumstances
from runtime.terminal.options import Json

GATE = 0.62  # recall at 10
CUTS = (5, 10, 25)
CONTEXT_TOKENS = 1000
HELD_OUT = "hybrid (held out)"
_DEEPEST = max(CUTS)
_FITTED = 150  # candidates of a question that the fit sees

app = typer.Typer(add_completion=False)
Look = Callable[[Levels, str, int, float], list[Found]]


class Question(NamedTuple):
    """A question, the turns that hold its evidence, and its answer."""

    text: str
    evidence: frozenset[str]
    answer: str


class Talk(NamedTuple):
    """One file: its turns' pages by turn name, and its questions."""

    name: str
    pages: dict[str, Page]
    questions: list[Question]


@app.command(help="Recall of evidence in long conversations, by firmware.")
def command(
    data: Annotated[Path, typer.Option("--data", metavar="DIR", help="LoCoMo's JSON files.")],
    as_json: Json = False,
) -> None:
    from runtime.terminal.output import write_json

    figures = measure(data)
    if as_json:
        write_json(figures)
    else:
        _print(figures)


def measure(data: Path) -> dict[str, Any]:
    """Everything the command prints."""
    talks = [read_talk(path) for path in sorted(data.glob("*.json"))]
    if not talks:
        raise Usage(f"there are no .json files in {data}: name a directory of LoCoMo conversations")
    results: dict[str, list[_Result]] = {}
    fits = []
    for talk in talks:
        with TemporaryDirectory() as directory, Memory(directory) as memory:
            memory.write_pages(talk.pages.values())
            memory.levels.index.follow()
            for name, look in looks().items():
                results.setdefault(name, []).append(_asked(memory, talk, look))
            fits.append(_Fit(memory, talk))
    results[HELD_OUT] = [
        fit.result(_fitted([other for other in fits if other is not fit])) for fit in fits
    ]
    return {
        **circumstances("chromadb", "torch"),
        "files": [talk.name for talk in talks],
        "questions": sum(len(talk.questions) for talk in talks),
        "firmware": [_figures(name, found) for name, found in results.items()],
    }


def read_talk(path: Path) -> Talk:
    """The pages and questions of one file."""
    talk = json.loads(path.read_text(encoding="utf-8"))
    pages = {}
    for number, session in enumerate(talk["sessions"], 1):
        start, when = 0, _seconds(session["when"])
        for turn in session["turns"]:
            text = f"{turn['speaker']}: {turn['text']}"
            stop = start + len(text)
            pages[turn["id"]] = Page(text, f"session {number}", start, stop, when, USER)
            start = stop + 1
    questions = [
        Question(entry["question"], frozenset(entry["evidence"]), str(entry.get("answer", "")))
        for entry in talk["qa"]
        if entry["evidence"]
    ]
    return Talk(path.name, pages, questions)


def _seconds(when: str) -> float:
    """ "1:56 pm on 8 May, 2023" in seconds since 1970."""
    moment = datetime.strptime(when.upper(), "%I:%M %p ON %d %B, %Y")
    return moment.replace(tzinfo=UTC).timestamp()


# -- the firmware ----------------------------------------------------------------------------------


def looks() -> dict[str, Look]:
    """What is compared: parts alone, their plain fusion, and the firmware that calls no model."""
    return {
        "recency": open_firmware("recency").search,
        "meaning alone": _by_meaning,
        "words alone": _by_words,
        "both by rank": _by_rank,
        "hybrid": open_firmware("hybrid").search,
    }


def _found(levels: Levels, scores: dict[int, float], most: int) -> list[Found]:
    best = sorted(scores, key=lambda number: (-scores[number], number))[:most]
    return [Found(number, page, scores[number]) for number, page in levels.pages(best).items()]


def _by_meaning(levels: Levels, question: str, most: int, now_s: float) -> list[Found]:
    return _found(levels, levels.by_meaning(question, most), most)


def _by_words(levels: Levels, question: str, most: int, now_s: float) -> list[Found]:
    return _found(levels, levels.by_words(question, most), most)


def _by_rank(levels: Levels, question: str, most: int, now_s: float) -> list[Found]:
    scores: dict[int, float] = {}
    for look in (levels.by_meaning, levels.by_words):
        for rank, number in enumerate(look(question, 100), 1):
            scores[number] = scores.get(number, 0.0) + 1 / (60 + rank)
    return _found(levels, scores, most)


# -- one file --------------------------------------------------------------------------------------


class _Result(NamedTuple):
    recall: dict[int, list[float]]  # by cut, one figure for each question
    ms: list[float]
    answered: list[float]  # share of the answer's words in the context


def _asked(memory: Memory, talk: Talk, look: Look) -> _Result:
    ids = {page.address: name for name, page in talk.pages.items()}
    now_s = max(page.time_s for page in talk.pages.values())
    result = _Result({cut: [] for cut in CUTS}, [], [])
    for question in talk.questions:
        start = time.perf_counter()
        found = look(memory.levels, question.text, 100, now_s)
        result.ms.append(1000 * (time.perf_counter() - start))
        _score(result, question, [ids[each.page.address] for each in found])
        result.answered.append(_words_there(question.answer, _context(found)))
    return result


def _score(result: _Result, question: Question, turns: list[str]) -> None:
    for cut in CUTS:
        share = len(question.evidence.intersection(turns[:cut])) / len(question.evidence)
        result.recall[cut].append(share)


def _context(found: list[Found]) -> str:
    texts, used = [], 0
    for each in found:
        used += rough_tokens(each.page.text)
        if used > CONTEXT_TOKENS:
            break
        texts.append(each.page.text)
    return "\n".join(texts)


def _words_there(answer: str, context: str) -> float:
    words, there = re.findall(r"\w+", answer.lower()), set(re.findall(r"\w+", context.lower()))
    return sum(word in there for word in words) / len(words) if words else 1.0


# -- weights without the tested file ---------------------------------------------------------------


class _Fit:
    """The signals of a file's candidates, the best of them by the shipped weights."""

    def __init__(self, memory: Memory, talk: Talk) -> None:
        import numpy as np

        ids = {page.address: name for name, page in talk.pages.items()}
        now_s = max(page.time_s for page in talk.pages.values())
        self.questions = talk.questions
        self.turns: list[list[str]] = []
        signals = []
        for question in talk.questions:
            pages, rows = hybrid.candidates(memory.levels, question.text, now_s)
            table = np.array(rows)
            best = np.argsort(-(table @ hybrid.WEIGHTS), kind="stable")[:_FITTED]
            names = [ids[page.address] for page in pages.values()]
            self.turns.append([names[row] for row in best])
            signals.append(np.pad(table[best], ((0, _FITTED - len(best)), (0, 0))))
        self.signals: Any = np.array(signals)
        self.there: Any = np.array(
            [
                [n < len(turns) and turns[n] in question.evidence for n in range(_FITTED)]
                for turns, question in zip(self.turns, self.questions, strict=True)
            ],
            float,
        )

    def result(self, weights: Any) -> _Result:
        result = _Result({cut: [] for cut in CUTS}, [], [])
        for question, turns, rows in zip(self.questions, self.turns, self.signals, strict=True):
            scores = rows[: len(turns)] @ weights
            order = sorted(range(len(turns)), key=lambda row: -scores[row])
            _score(result, question, [turns[row] for row in order])
        return result


def _fitted(fits: list[_Fit], steps: int = 200, rate: float = 0.5) -> Any:
    """Weights under which a softmax over the candidates is most likely to pick evidence."""
    import numpy as np

    signals = np.concatenate([fit.signals for fit in fits])
    there = np.concatenate([fit.there for fit in fits])
    some = there.sum(1) > 0
    signals, there = signals[some], there[some] / there[some].sum(1, keepdims=True)
    scale = signals.reshape(-1, signals.shape[2]).std(0)
    scale[scale < 1e-9] = np.inf  # a signal that these files do not have
    signals = signals / scale
    weights = np.zeros(signals.shape[2])
    for _ in range(steps):
        scores = signals @ weights
        chosen = np.exp(scores - scores.max(1, keepdims=True))
        chosen /= chosen.sum(1, keepdims=True)
        weights += rate * np.einsum("qc,qcs->s", there - chosen, signals) / len(there)
    return weights / scale


# -- figures ---------------------------------------------------------------------------------------


def _figures(name: str, results: list[_Result]) -> dict[str, Any]:
    def mean(values: Iterator[float]) -> float:
        return round(statistics.fmean(values), 4)

    row: dict[str, Any] = {"name": name}
    for cut in CUTS:
        row[f"recall_at_{cut}"] = mean(v for r in results for v in r.recall[cut])
    row["by_file"] = [mean(iter(result.recall[10])) for result in results]
    times = [ms for result in results for ms in result.ms]
    row["ms_per_query"] = round(statistics.median(times), 2) if times else None
    row["nlops_per_query"] = 0.0
    answered = [share for result in results for share in result.answered]
    row["answer_words_in_context"] = mean(iter(answered)) if answered else None
    return row


def _print(figures: dict[str, Any]) -> None:
    show_circumstances(figures)
    rows = figures["firmware"]
    show(
        f"Recall of evidence: {figures['questions']} questions on {len(figures['files'])} files",
        ("firmware", "at 5", "at 10", "at 25", "files at 10", "ms", "answer's words in context"),
        [
            (
                row["name"],
                *(f"{row[f'recall_at_{cut}']:.3f}" for cut in CUTS),
                f"{min(row['by_file']):.3f} to {max(row['by_file']):.3f}",
                "-" if row["ms_per_query"] is None else f"{row['ms_per_query']:.1f}",
                _share(row["answer_words_in_context"]),
            )
            for row in rows
        ],
    )
    gated = next(row for row in rows if row["name"] == HELD_OUT)
    print(f"{HELD_OUT}, recall at 10 (>= {GATE}): {at_least(gated['recall_at_10'], GATE)}")


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.3f}"
