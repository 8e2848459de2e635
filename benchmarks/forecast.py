"""``python -m benchmarks.forecast``: forecasts against what runs took, for the standard programs.

Each program runs on twenty inputs. Then each of its runs is forecast from the journals of the
other nineteen, and held against what it took: the median of |forecast - actual| / actual, and how
many of the actual figures lie in the interval that is meant to hold 90 % of them.

Rules
1. No run is forecast from itself.
2. Inputs are cuts of one text at places and of lengths drawn with a seed, and fixed questions.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path
from random import Random
from statistics import median
from typing import Annotated, Any

import typer

from benchmarks.command import carry_out
from benchmarks.gates import at_least, at_most
from nlpu import Computer, Receipt, Usage
from nlpu.engines.registry import named_engine
from nlpu.runtime.bench.report import circumstances, show, show_circumstances
from nlpu.runtime.bench.results import processor
from nlpu.runtime.loader import Program, load
from nlpu.runtime.observe.forecast import Forecast, forecast
from nlpu.runtime.observe.samples import Experience
from nlpu.runtime.terminal.options import Engine, Json, Model
from nlpu.runtime.terminal.show.archive import Record, records
from nlpu.wire import Capabilities

INPUTS = 20
CALLS_ERROR, TOKENS_ERROR, COVERED = 0.10, 0.25, 0.80
_CHUNK_TOKENS = 160  # several chunks even of short inputs
_CHARS = (1_500, 6_000)  # of one input
_UNITS = ("calls", "completion_tokens", "prompt_tokens", "nlops", "seconds")
_THINGS = (
    "loom mill clock bridge kite lamp ship wheel book bell map lens plough compass printer engine "
    "telegraph library school computer"
)

app = typer.Typer(add_completion=False)


@app.command(help="Forecasts against actual runs of the standard programs.")
def command(
    text: Annotated[Path, typer.Option(metavar="FILE", help="A long text to cut inputs of.")],
    engine: Engine = None,
    model: Model = None,
    inputs: Annotated[int, typer.Option(min=3, metavar="N")] = INPUTS,
    run_dir: Annotated[Path | None, typer.Option(help="Keep the runs' journals there.")] = None,
    as_json: Json = False,
) -> None:
    from nlpu.runtime.terminal.output import write_json

    with tempfile.TemporaryDirectory() as made:
        figures = measure(*processor(engine, model), text, inputs, run_dir or Path(made))
    if as_json:
        write_json(figures)
    else:
        _print(figures)


def measure(
    engine: str, model: str | None, text: Path, inputs: int, run_dir: Path
) -> dict[str, Any]:
    """Everything the command prints."""
    try:
        whole = text.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Usage(f"{text} cannot be read as text: {error}") from None
    facts = circumstances(engine=engine, inputs=inputs, text=text.name)
    known = asyncio.run(_capabilities(engine, model))
    at = {"engine": engine, "model": model}
    programs = {
        name: _measured(name, _cases(name, whole, inputs), at, known, run_dir / name)
        for name in ("ask", "summarize_book", "answer")
    }
    rows = [row for program in programs.values() for row in program["runs"]]
    return {**facts, "programs": programs, "all": _summary(rows)}


async def _capabilities(engine: str, model: str | None) -> Capabilities:
    opened = named_engine(engine, model)
    try:
        return await opened.capabilities()
    finally:
        await opened.close()


def _cases(name: str, text: str, inputs: int) -> list[dict[str, Any]]:
    """The program's arguments on each input (rule 2)."""
    chance, things = Random(name), _THINGS.split()
    cases: list[dict[str, Any]] = []
    for number in range(inputs):
        question = f"What is a {things[number % len(things)]}?"
        length = chance.randint(*_CHARS)
        start = chance.randrange(max(1, len(text) - length))
        cut, chunks = text[start : start + length], {"chunk_tokens": _CHUNK_TOKENS}
        case: dict[str, dict[str, Any]] = {
            "ask": {"question": question},
            "answer": {"question": question, "text": cut, **chunks},
            "summarize_book": {"book": cut, **chunks},
        }
        cases.append(case[name])
    return cases


def _measured(
    name: str, cases: list[dict[str, Any]], at: dict[str, Any], known: Capabilities, run_dir: Path
) -> dict[str, Any]:
    program = load(name)
    if not records(run_dir):
        with Computer(**at, run_dir=run_dir) as computer:  # one at a time: each has its seconds
            for case in cases:
                computer.run(program.function, **case)
    runs = sorted(records(run_dir), key=_number)
    rows = []
    for case, record in zip(cases, runs, strict=True):
        made = _forecast_without(record, runs, program, case, known)
        assert record.receipt is not None  # it has ended
        rows.append(_row(made, Receipt.model_validate(record.receipt)))
    return {"runs": rows, **_summary(rows)}


def _number(record: Record) -> int:
    return int(record.name.partition(".")[2] or 1)


def _forecast_without(
    record: Record,
    runs: list[Record],
    program: Program,
    case: Mapping[str, Any],
    known: Capabilities,
) -> Forecast:
    experience = Experience()
    for other in runs:
        if other.name != record.name:
            for identity in other.past.processors.values():
                experience.add(other.name, other.past, other.texts, identity)
    return forecast(program.function, (), case, known=known, experience=experience)


def _row(made: Forecast, receipt: Receipt) -> dict[str, Any]:
    row = {}
    for unit in _UNITS:
        figure, actual = getattr(made, unit), float(getattr(receipt, unit))
        row[unit] = {
            "expected": figure.expected,
            "least": figure.least,
            "most": figure.most,
            "actual": actual,
            "error": abs(figure.expected - actual) / max(actual, 1e-9),
            "covered": figure.least <= actual <= figure.most,
        }
    return row


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "median_error": {u: round(median(row[u]["error"] for row in rows), 4) for u in _UNITS},
        "covered": {u: sum(row[u]["covered"] for row in rows) / len(rows) for u in _UNITS},
    }


def _print(figures: dict[str, Any]) -> None:
    show_circumstances(figures)
    rows = []
    for name, program in {**figures["programs"], "all three": figures["all"]}.items():
        for unit in _UNITS:
            error, covered = program["median_error"][unit], program["covered"][unit]
            gate = {"calls": CALLS_ERROR}.get(unit, TOKENS_ERROR if "tokens" in unit else None)
            rows.append(
                (
                    f"{name}, {unit.replace('_', ' ')}",
                    f"{error:.3f}" if gate is None else at_most(round(error, 3), gate),
                    at_least(round(covered, 2), COVERED),
                )
            )
    show(
        f"Forecast against actual, {figures['inputs']} inputs, each forecast from the others",
        ("figure", "median error (<= 0.1, tokens 0.25)", "in the interval (>= 0.8)"),
        rows,
    )


if __name__ == "__main__":
    carry_out(app)
