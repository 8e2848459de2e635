"""``nlpu bench memory``: how much of the evidence memory finds, in long conversations.

Theory of operation
-------------------
A LoCoMo file is a conversation of many sessions and questions about it, each naming the turns that
hold its evidence. Every turn is a page, every session a source. A question's recall at k is the
share of its evidence among the first k pages; the figure is the mean over all questions that have
evidence.

The weights that ``hybrid`` ships were rounded from a fit on these files. So the gate is on ``hybrid
(held out)``: for each file, weights fitted on the others alone. ``valued`` rates each page by its
novelty as it is written; there are no outcomes here, so nothing has credit. What needs a model is
measured on a sample, if one is asked for (``memory_model``).

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

from benchmarks.memory_answers import LOOKS, ask, sampled
from benchmarks.memory_answers import figures as answer_figures
from benchmarks.memory_fit import Fit, fitted
from nlpu import Computer, Memory, Usage
from nlpu.memory.firmware import Found, open_firmware
from nlpu.memory.store.levels import Levels
from nlpu.runtime.bench.locomo import (
    CONTEXT_TOKENS,
    CUTS,
    Result,
    Talk,
    context,
    read_talk,
    score,
    words_there,
)
from nlpu.runtime.bench.report import at_least, circumstances, show, show_circumstances
from nlpu.runtime.bench.results import processor
from nlpu.runtime.terminal.options import Engine, Json, Model

GATE = 0.62  # recall at 10
HELD_OUT = "hybrid (held out)"

app = typer.Typer(add_completion=False)
Look = Callable[[Levels, str, int, float], list[Found]]


@app.command(help="Recall of evidence in long conversations, by firmware.")
def command(
    data: Annotated[Path, typer.Option("--data", metavar="DIR", help="LoCoMo's JSON files.")],
    sample: Annotated[
        int, typer.Option("--sample", metavar="N", min=0, help="Questions asked with a model, too.")
    ] = 0,
    engine: Engine = None,
    model: Model = None,
    as_json: Json = False,
) -> None:
    from nlpu.runtime.terminal.output import write_json

    figures = measure(data, sample, *processor(engine, model))
    if as_json:
        write_json(figures)
    else:
        _print(figures)


def measure(
    data: Path, sample: int = 0, engine: str = "local", model: str | None = None
) -> dict[str, Any]:
    """Everything the command prints."""
    talks = [read_talk(path) for path in sorted(data.glob("*.json"))]
    if not talks:
        raise Usage(f"there are no .json files in {data}: name a directory of LoCoMo conversations")
    results: dict[str, list[Result]] = {}
    fits, asked = [], []
    for talk, questions in zip(talks, sampled(talks, sample), strict=True):
        with _holding(talk, "hybrid") as memory:
            for name, look in looks().items():
                results.setdefault(name, []).append(_asked(memory, talk, look))
            fits.append(Fit(memory, talk))
            if questions:
                with Computer(engine, model=model) as computer:
                    asked.append(ask(computer, memory, talk, questions))
        with _holding(talk, "valued") as memory:
            results.setdefault("valued", []).append(_asked(memory, talk, memory.firmware.search))
    if len(fits) > 1:
        results[HELD_OUT] = [
            fit.result(fitted([other for other in fits if other is not fit])) for fit in fits
        ]
    rows = [_figures(name, found) for name, found in results.items()]
    for name in LOOKS if asked else ():
        nlops = sum(part.nlops[name] for part in asked)
        rows.append(_figures(f"{name} (sample)", [part.results[name] for part in asked], nlops))
    return {
        **circumstances("chromadb", "torch"),
        "files": [talk.name for talk in talks],
        "questions": sum(len(talk.questions) for talk in talks),
        "firmware": rows,
        **({"engine": engine, "answers": answer_figures(asked)} if asked else {}),
    }


@contextmanager
def _holding(talk: Talk, firmware: str) -> Iterator[Memory]:
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


def _figures(name: str, results: list[Result], nlops: float = 0.0) -> dict[str, Any]:
    def mean(values: Iterator[float]) -> float:
        return round(statistics.fmean(values), 4)

    row: dict[str, Any] = {"name": name}
    for cut in CUTS:
        row[f"recall_at_{cut}"] = mean(v for r in results for v in r.recall[cut])
    row["by_file"] = [mean(iter(result.recall[10])) for result in results]
    times = [ms for result in results for ms in result.ms]
    row["ms_per_query"] = round(statistics.median(times), 2) if times else None
    row["questions"] = sum(len(result.recall[10]) for result in results)
    row["nlops_per_query"] = round(nlops / row["questions"], 2)
    answered = [share for result in results for share in result.answered]
    row["answer_words_in_context"] = mean(iter(answered)) if answered else None
    return row


def _print(figures: dict[str, Any]) -> None:
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
    if "answers" in figures:
        f1 = ", ".join(f"{name} {f1:.3f}" for name, f1 in figures["answers"]["token_f1"].items())
        print(
            f"token F1 of {figures['engine']} on {figures['answers']['questions']} questions, "
            f"{CONTEXT_TOKENS:,} tokens of context: {f1}"
        )
    for row in rows:
        if row["name"] == HELD_OUT:
            print(f"{HELD_OUT}, recall at 10 (>= {GATE}): {at_least(row['recall_at_10'], GATE)}")


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.3f}"
