"""How often whole programs are right: answer, react, kin, compile and converse on known answers.

    .venv/bin/python -m benchmarks.known_answers --out FILE.jsonl \\
        [--models A,B] [--programs A,B] [--items N] [--minutes M] [--markdown | --json]

Run it where the project is. Each program is asked its cases (``benchmarks/known_answers/``), as
``nlpu eval`` asks them, on embedded models one after the other.

Rules
1. A few cases are asked at once, then their rows are written. What has a row in the file is not
   asked again, so the same command goes on where one ended, or was killed.
2. A row goes by a digest of its case, of the program and of the check: after a change it is asked
   anew.
3. Time that is up ends the measuring between two chunks. Seconds of a case are those that passed
   for its chunk, divided by the cases in it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from nlpu import Computer
from nlpu.engines.embedded.engine import EmbeddedEngine
from nlpu.eval.cases import Case, cases_of
from nlpu.eval.scores import Report, Row
from nlpu.programs.answer import answer
from nlpu.programs.compile import compile
from nlpu.programs.kin import kin
from nlpu.prompt.convention import DEFAULT
from nlpu.runtime.bench.report import circumstances, show, show_circumstances
from nlpu.wire import Engine

HERE = Path(__file__).with_suffix("")
PROGRAMS = Path(__file__).parents[1] / "programs"
MODELS = "qwen2.5-coder-0.5b,qwen2.5-coder-1.5b"
AT_ONCE, WINDOW = 12, 4096
BESIDE = ("checks.py", "subjects.py", "authors.md")
COLUMNS = ("program", "model", "right", "of", "95 %", "failed", "calls", "tokens in", "out", "s")


class Subject(NamedTuple):
    """A program as it is asked, its cases, and what holds its answers against them."""

    program: Callable[..., Any]
    cases: tuple[Case, ...]
    metric: Any
    digest: str


def main() -> None:
    """Ask what has no row yet, and print the table."""
    options = _options()
    out, found = Path(options.out), subjects()
    until = time.monotonic() + 60 * options.minutes
    names = options.programs.split(",")
    for model in options.models.split(","):
        for name in names:
            measure(out, model, name, found[name], options.items, until, opened)
    reports = list(told(out, options.models.split(","), {name: found[name] for name in names}))
    if options.json:
        facts = circumstances(reports=[each.model_dump(mode="json") for each in reports])
        sys.stdout.write(json.dumps(facts, indent=1) + "\n")
    elif options.markdown:
        sys.stdout.write(markdown(reports))
    else:
        show_circumstances(circumstances())
        show("How often programs are right", COLUMNS, [cells(each) for each in reports])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", required=True, help="rows; what is there is not asked again")
    parser.add_argument("--models", default=MODELS, help="embedded models, divided by commas")
    parser.add_argument("--programs", default=",".join(subjects()), help="default: all")
    parser.add_argument("--items", type=int, help="the first so many cases; default: all")
    parser.add_argument("--minutes", type=float, default=240.0, help="stop after so many")
    parser.add_argument("--markdown", action="store_true", help="the table for the documentation")
    parser.add_argument("--json", action="store_true", help="all rows")
    return parser.parse_args()


def subjects() -> dict[str, Subject]:
    """All programs by name."""
    checks, asked = _module("checks"), _module("subjects")
    programs = {
        "answer": answer,
        "react": asked.react,
        "kin": kin,
        "compile": compile,
        "converse": asked.converse,
    }
    return {
        name: Subject(
            program,
            cases_of(HERE / f"{name}.jsonl"),
            getattr(checks, name, "predicate"),
            _digest(PROGRAMS / f"{name}.py", *(HERE / each for each in BESIDE)),
        )
        for name, program in programs.items()
    }


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"known_{name}", HERE / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _digest(*files: Path) -> str:
    words = DEFAULT.version.encode() + b"".join(file.read_bytes() for file in files)
    return blake2b(words, digest_size=8).hexdigest()


def what_of(subject: Subject, case: Case) -> str:
    """What a row goes by (rule 2)."""
    words = f"{subject.digest} {case.model_dump_json()}"
    return blake2b(words.encode(), digest_size=8).hexdigest()


def opened(model: str) -> Engine:
    """The engine of a model."""
    return EmbeddedEngine(model, window=WINDOW)


def measure(
    out: Path,
    model: str,
    name: str,
    subject: Subject,
    items: int | None,
    until: float,
    engine: Callable[[str], Engine],
) -> None:
    """Ask a program the cases that have no row, and write them chunk by chunk."""
    known = {(each["model"], each["what"]) for each in rows_in(out)}
    asked = [c for c in subject.cases[:items] if (model, what_of(subject, c)) not in known]
    if not asked or time.monotonic() > until:
        return
    with Computer(engine(model)) as computer:
        for start in range(0, len(asked), AT_ONCE):
            chunk, began = asked[start : start + AT_ONCE], time.monotonic()
            if began > until:
                break
            report = computer.evaluate(subject.program, chunk, metric=subject.metric)
            share_s = (time.monotonic() - began) / len(chunk)
            what = {case.id: what_of(subject, case) for case in chunk}
            _add(
                out,
                [
                    {
                        "model": model,
                        "program": name,
                        "what": what[row.id],
                        "row": _bare(row, share_s),
                    }
                    for row in report.rows
                ],
            )
            print(f"{model} {name}: {report!r}", file=sys.stderr)


def _bare(row: Row, seconds: float) -> dict[str, Any]:
    """A row without what was asked, which the cases have."""
    update = {"asked": {}, "seconds": round(seconds, 3)}
    return row.model_copy(update=update).model_dump(mode="json")


def _add(out: Path, lines: list[dict[str, Any]]) -> None:
    """Write lines, behind one that a kill has cut off."""
    cut = out.exists() and not out.read_bytes().endswith(b"\n")
    with out.open("a", encoding="utf-8") as file:
        file.write("\n" * cut + "".join(json.dumps(line) + "\n" for line in lines))


def rows_in(out: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file; a line that a kill has cut off is passed over."""
    for line in out.read_text("utf-8").splitlines() if out.exists() else ():
        try:
            yield json.loads(line)
        except ValueError:
            continue


def told(out: Path, models: list[str], found: dict[str, Subject]) -> Iterator[Report]:
    """A report of each program and model of which there are rows."""
    rows = {(each["model"], each["what"]): each["row"] for each in rows_in(out)}
    for name, subject in found.items():
        for model in models:
            keys = [(model, what_of(subject, case)) for case in subject.cases]
            mine = tuple(Row(**rows[key]) for key in keys if key in rows)
            if mine:
                yield Report(name=name, model=model, cases=len(subject.cases), rows=mine)


def cells(report: Report) -> tuple[Any, ...]:
    """A line of the table."""
    low, high = report.interval
    return (
        report.name,
        report.model,
        report.right,
        len(report.rows),
        f"{low:.0%} - {high:.0%}",
        report.failed,
        report.calls,
        f"{report.tokens_in:,}",
        f"{report.tokens_out:,}",
        f"{sum(row.seconds for row in report.rows):,.0f}",
    )


def markdown(reports: list[Report]) -> str:
    """The table for the documentation."""
    lines = [COLUMNS, ("---",) * len(COLUMNS), *map(cells, reports)]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


if __name__ == "__main__":
    main()
