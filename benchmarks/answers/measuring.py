"""The measuring of ``benchmarks.answers``: chunk by chunk, each result written as it comes.

Rules
1. A result is one line of JSON. A line that a killed run left half-written is passed over, and so
   is one that was asked in other words (``what``).
2. What has a line is not asked again. Time that is up ends the measuring between two chunks.
3. Seconds are those of a chunk, divided by its items: they are asked at once, eight at a time.
4. What was answered before is kept beside this file, packed (``results/*.jsonl.xz``): the answers
   of a table can be looked at and scored again, and a measuring goes on where all others ended.
"""

from __future__ import annotations

import json
import lzma
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.answers.arms import DERIVED, Line, ask, rescored, scored, style_of, what_of
from benchmarks.answers.data import Chunk, Family, chunks
from benchmarks.answers.dspy_arm import DspyPeer
from nlpu import Computer, Usage
from nlpu.eval.scores import Row

Tell = Callable[[str], None]
KEPT = Path(__file__).parent / "results"


class Results:
    """The lines of a results' file, old and new (None: kept in memory alone)."""

    def __init__(self, path: Path | None, kept: Path | None = None) -> None:
        """Read what is there, and what a folder keeps (rule 4). Raises Usage."""
        self._path = path
        packed = sorted(kept.glob("*.jsonl.xz")) if kept else []
        self.lines = [line for each in packed for line in _lines(_unpacked(each))]
        self.lines += [] if path is None else _read(path)

    def add(self, new: Iterable[Line]) -> None:
        """Keep lines, on disk before anything else is asked. Raises Usage."""
        lines = list(new)
        self.lines += lines
        if self._path is None:
            return
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(line._asdict()) + "\n" for line in lines)
        except OSError as error:
            raise Usage(
                f"cannot write {self._path}: {error.strerror}; give another --out"
            ) from None

    def current(self, found: Sequence[Family], arms: Sequence[str]) -> list[Line]:
        """The lines of these families and arms that were asked in the words of the day.

        Their scores are those of today's metrics (``rescored``).
        """
        asked = {DERIVED.get(arm, arm) for arm in arms}
        words = {(each.name, arm): what_of(arm, each) for each in found for arm in asked}
        mine = (line for line in self.lines if words.get((line.family, line.arm)) == line.what)
        return rescored(found, mine)

    def known(self, model: str, half: str, family: str, arm: str, what: str) -> set[str]:
        """The ids that have a line."""
        key = (model, half, family, arm, what)
        return {
            each.id
            for each in self.lines
            if (each.model, each.half, each.family, each.arm, each.what) == key
        }


def _unpacked(path: Path) -> str:
    with lzma.open(path, "rt", encoding="utf-8") as file:
        return file.read()


def _read(path: Path) -> Iterator[Line]:
    try:
        text = path.read_text("utf-8") if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise Usage(f"{path} cannot be read: {error}; give another --out") from None
    if text and not text.endswith("\n"):
        with path.open("a", encoding="utf-8") as file:
            file.write("\n")
    yield from _lines(text)


def _lines(text: str) -> Iterator[Line]:
    for line in text.split("\n"):
        try:
            yield Line(**json.loads(line))
        except (ValueError, TypeError):  # rule 1
            continue


class Asker:
    """Asks chunks of one model, whatever the arm."""

    def __init__(self, model: str, computer: Computer, dspy: DspyPeer | None) -> None:
        self._model, self._computer, self._dspy = model, computer, dspy

    def lines(self, chunk: Chunk) -> list[Line]:
        """The lines of a chunk."""
        start = time.perf_counter()
        dspy = style_of(chunk.arm) == "dspy"
        found = (
            self._of_dspy(chunk)
            if dspy
            else ask(self._computer, chunk.arm, chunk.family, chunk.cases)
        )
        seconds = (time.perf_counter() - start) / len(chunk.cases)
        return [self._line(chunk, row, chance, seconds) for row, chance in found]

    def _of_dspy(self, chunk: Chunk) -> list[tuple[Row, None]]:
        assert self._dspy is not None
        told = self._dspy.ask(chunk.arm, chunk.family, chunk.cases)
        share = {name: told[name] / len(chunk.cases) for name in ("tokens_in", "tokens_out")}
        rows = scored(chunk.family, chunk.cases, told["told"])
        return [(row.model_copy(update=share), None) for row in rows]

    def _line(self, chunk: Chunk, row: Row, chance: float | None, seconds: float) -> Line:
        return Line(
            self._model,
            chunk.half,
            chunk.family.name,
            row.id,
            chunk.arm,
            what_of(chunk.arm, chunk.family),
            row.score,
            row.answer,
            row.expected,
            row.error,
            chance,
            round(row.tokens_in, 1),
            round(row.tokens_out, 1),
            round(seconds, 3),
        )


def measure(
    asker: Asker,
    model: str,
    found: Sequence[Family],
    arms: Sequence[str],
    half: str,
    items: int,
    results: Results,
    until: float,
    tell: Tell,
) -> bool:
    """Ask all that has no line yet; whether it came to its end before ``until`` (monotonic)."""
    asked = [arm for arm in arms if arm not in DERIVED]
    calibrate = [DERIVED[arm] for arm in arms if arm in DERIVED]
    asked += [arm for arm in calibrate if arm not in asked]
    work = list(chunks(found, asked, half, items, calibrate))
    for number, chunk in enumerate(work, 1):
        left = _left(model, chunk, results)
        if not left:
            continue
        if time.monotonic() >= until:
            return False
        lines = asker.lines(chunk._replace(cases=left))
        results.add(lines)
        right = sum(line.score == 1 for line in lines)
        tell(
            f"{number} of {len(work)}: {model} {chunk.family.name} {chunk.arm} "
            f"({chunk.half}): {right} of {len(lines)} right, {lines[0].seconds:.2f} s each"
        )
    return True


def _left(model: str, chunk: Chunk, results: Results) -> tuple[Any, ...]:
    """The cases of a chunk that have no line."""
    what = what_of(chunk.arm, chunk.family)
    known = results.known(model, chunk.half, chunk.family.name, chunk.arm, what)
    return tuple(case for case in chunk.cases if case.id not in known)
