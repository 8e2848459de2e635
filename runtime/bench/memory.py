"""``nlpu bench memory``: how much of the evidence memory finds, in long conversations.

Theory of operation
-------------------
A LoCoMo file is a conversation of many sessions and questions about it, each naming the turns that
hold its evidence. Every turn is a page, every session a source. A question's recall at k is the
share of its evidence among the first k pages; the figure is the mean over all questions that have
evidence.

The weights that ``hybrid`` ships were rounded from a fit on such files (``benchmarks.memory_fit``
holds one out). ``valued`` rates each page by its novelty as it is written; there are no outcomes
here, so nothing has credit.

Rules
1. Evidence that the file does not hold counts as not found.
2. The time of a question is the end of its conversation.
3. Milliseconds are those of one query, its embedding included, the store's opening not.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from nlpu import Memory, Usage
from nlpu.memory.firmware import Found, open_firmware
from nlpu.memory.store.levels import Levels
from nlpu.runtime.bench.locomo import CUTS, Result, Talk, context, read_talk, score, words_there
from nlpu.runtime.bench.report import circumstances, show, show_circumstances
from nlpu.runtime.bench.results import AsJson, deliver

app = typer.Typer(add_completion=False)
Look = Callable[[Levels, str, int, float], list[Found]]
Data = Annotated[Path, typer.Option("--data", metavar="DIR", help="LoCoMo's JSON files.")]


@app.command(help="Recall of evidence in long conversations, by firmware.")
def command(data: Data, as_json: AsJson = False) -> None:
    deliver("memory", measure(data), tables, as_json=as_json)


def talks_in(data: Path) -> list[Talk]:
    """The conversations of a directory. Raises Usage where there are none."""
    talks = [read_talk(path) for path in sorted(data.glob("*.json"))]
    if not talks:
        raise Usage(f"there are no .json files in {data}: name a directory of LoCoMo conversations")
    return talks


def measure(data: Path) -> dict[str, Any]:
    """Everything the command prints."""
    results: dict[str, list[Result]] = {}
    talks = talks_in(data)
    for talk in talks:
        with holding(talk, "hybrid") as memory:
            for name, look in looks().items():
                results.setdefault(name, []).append(_asked(memory, talk, look))
        with holding(talk, "valued") as memory:
            results.setdefault("valued", []).append(_asked(memory, talk, memory.firmware.search))
    return report(talks, [row(name, found) for name, found in results.items()])


def report(talks: list[Talk], rows: list[dict[str, Any]], **facts: Any) -> dict[str, Any]:
    """Rows with when and on what they were measured."""
    return {
        **circumstances("chromadb", "torch", **facts),
        "files": [talk.name for talk in talks],
        "questions": sum(len(talk.questions) for talk in talks),
        "firmware": rows,
    }


@contextmanager
def holding(talk: Talk, firmware: str) -> Iterator[Memory]:
    """A store of a conversation, its clock at the end of it; pages came one by one."""
    now_s = max(page.time_s for page in talk.pages.values())
    with (
        TemporaryDirectory() as directory,
        Memory(directory, firmware=firmware, clock=lambda: now_s) as memory,
    ):
        for page in talk.pages.values():
            memory.write_pages([page])
        memory.levels.index.follow()
        yield memory


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


def _asked(memory: Memory, talk: Talk, look: Look) -> Result:
    ids = {page.address: name for name, page in talk.pages.items()}
    now_s = max(page.time_s for page in talk.pages.values())
    result = Result({cut: [] for cut in CUTS}, [], [])
    for question in talk.questions:
        start = time.perf_counter()
        found = look(memory.levels, question.text, 100, now_s)
        result.ms.append(1000 * (time.perf_counter() - start))
        score(result, question, [ids[each.page.address] for each in found])
        result.answered.append(words_there(question.answer, context(found)))
    return result


# -- figures ---------------------------------------------------------------------------------------


def row(name: str, results: list[Result], nlops: float = 0.0) -> dict[str, Any]:
    """The figures of one firmware, of all files."""

    def mean(values: Iterator[float]) -> float:
        return round(statistics.fmean(values), 4)

    found: dict[str, Any] = {"name": name}
    for cut in CUTS:
        found[f"recall_at_{cut}"] = mean(v for r in results for v in r.recall[cut])
    found["by_file"] = [mean(iter(result.recall[10])) for result in results]
    times = [ms for result in results for ms in result.ms]
    found["ms_per_query"] = round(statistics.median(times), 2) if times else None
    found["questions"] = sum(len(result.recall[10]) for result in results)
    found["nlops_per_query"] = round(nlops / found["questions"], 2)
    answered = [share for result in results for share in result.answered]
    found["answer_words_in_context"] = mean(iter(answered)) if answered else None
    return found


def tables(figures: dict[str, Any]) -> None:
    """Everything, on stdout."""
    show_circumstances(figures)
    rows = figures["firmware"]
    show(
        f"Recall of evidence: {figures['questions']} questions on {len(figures['files'])} files",
        (
            "firmware",
            "questions",
            "at 5",
            "at 10",
            "at 25",
            "files at 10",
            "ms",
            "nlops",
            "words there",
        ),
        [
            (
                row["name"],
                row["questions"],
                *(f"{row[f'recall_at_{cut}']:.3f}" for cut in CUTS),
                f"{min(row['by_file']):.3f} to {max(row['by_file']):.3f}",
                "-" if row["ms_per_query"] is None else f"{row['ms_per_query']:.1f}",
                f"{row['nlops_per_query']:g}",
                _share(row["answer_words_in_context"]),
            )
            for row in rows
        ],
    )


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.3f}"
