"""``python -m benchmarks.answers``: how often the default layout is right, against others.

Families of cases with known answers (``benchmarks/answers``) are asked in the layout of before, in
today's, in plain chat words and with DSPy, each without and with four examples. Results go to a
file line by line; the same command goes on where one ended.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.answers import figures
from benchmarks.answers.arms import ARMS, style_of
from benchmarks.answers.data import Family, families
from benchmarks.answers.dspy_arm import AT_ONCE, WINDOW, DspyPeer
from benchmarks.answers.measuring import KEPT, Asker, Results, Tell, measure
from benchmarks.answers.tables import markdown, tables
from benchmarks.command import carry_out
from nlpu import Computer, MissingPart, Usage
from nlpu.engines.embedded.engine import EmbeddedEngine
from nlpu.runtime.bench.report import circumstances
from nlpu.runtime.bench.results import AsJson, Output, deliver
from nlpu.wire import Engine

MODEL, ALL = "qwen2.5-coder-0.5b", ",".join(ARMS)
ITEMS, ITEMS_ELSEWHERE, MINUTES = 200, 60, 120.0
app = typer.Typer(add_completion=False)

Data = Annotated[
    Path,
    typer.Option(
        "--data", metavar="DIR", help="Where the families are.", show_default="this folder"
    ),
]
Half = Annotated[str, typer.Option(help="planning (to choose by) or checking (to judge by).")]
Models = Annotated[str, typer.Option(metavar="A,B", help="Embedded models.")]
Items = Annotated[
    int | None,
    typer.Option(min=1, help="Items a family. Default: 200 on the first model, 60 on others."),
]
Names = Annotated[str, typer.Option("--families", metavar="A,B", help="Default: all there are.")]
Arms = Annotated[str, typer.Option("--arms", metavar="A,B", help="Who is asked.")]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE.jsonl", help="Results; what is there is not asked again."),
]
Anew = Annotated[bool, typer.Option("--anew", help="Read no results but those of --out.")]
Minutes = Annotated[float, typer.Option(min=0, help="Stop after so many; the file can go on.")]
AsMarkdown = Annotated[bool, typer.Option("--markdown", help="Tables for the documentation.")]


@app.command(help="How often the default layout is right, against others, on the same items.")
def command(
    data: Data = Path(__file__).parent,
    half: Half = "checking",
    models: Models = MODEL,
    items: Items = None,
    names: Names = "",
    arms: Arms = ALL,
    out: Out = None,
    anew: Anew = False,
    minutes: Minutes = MINUTES,
    as_markdown: AsMarkdown = False,
    as_json: AsJson = False,
    output: Output = None,
) -> None:
    from nlpu.runtime.terminal.output import say, write

    found = everything(
        families(data, half, _listed(names)),
        half,
        _listed(models),
        _listed(arms),
        items=items,
        results=Results(out, None if anew else KEPT),
        minutes=minutes,
        tell=say,
    )
    if as_markdown and not as_json:
        deliver("answers", found, lambda told: write(markdown(told)), as_json=False, output=output)
    else:
        deliver("answers", found, tables, as_json=as_json, output=output)


def everything(
    found: Sequence[Family],
    half: str,
    models: Sequence[str],
    arms: Sequence[str],
    *,
    items: int | None,
    results: Results,
    minutes: float,
    tell: Tell,
) -> dict[str, Any]:
    """Everything the command prints. Raises Usage, MissingPart."""
    for arm in arms:
        style_of(arm)
    until, done = time.monotonic() + 60 * minutes, True
    for number, model in enumerate(models):
        most = items or (ITEMS if number == 0 else ITEMS_ELSEWHERE)
        with askers(model, arms, tell) as (asker, able):
            done &= measure(asker, model, found, able, half, most, results, until, tell)
    if not done:
        tell("the time is up; the same command with the same --out goes on")
    return {**circumstances(half=half, finished=done), **told(results, models, half, found, arms)}


def told(
    results: Results, models: Sequence[str], half: str, found: Sequence[Family], arms: Sequence[str]
) -> dict[str, Any]:
    """The figures of what is in the results now, in the words of the day."""
    lines = results.current(found, arms)
    return {
        "models": {
            model: figures.figures_of([line for line in lines if line.model == model], half)
            for model in models
            if any(line.model == model and line.half == half for line in lines)
        }
    }


@contextmanager
def askers(model: str, arms: Sequence[str], tell: Tell) -> Iterator[tuple[Asker, list[str]]]:
    """Who asks a model, and the arms that can be asked here."""
    peer = None
    if any(style_of(arm) == "dspy" for arm in arms):
        try:
            peer = DspyPeer(model)
        except MissingPart as error:
            tell(f"without DSPy: {error}")
    able = [arm for arm in arms if peer is not None or style_of(arm) != "dspy"]
    try:
        with Computer(opened(model)) as computer:
            yield Asker(model, computer, peer), able
    finally:
        if peer is not None:
            peer.close()


def opened(model: str) -> Engine:
    """The engine of a model, by itself where a test has none."""
    return EmbeddedEngine(model, window=WINDOW, max_in_flight=AT_ONCE)


def _listed(text: str) -> list[str]:
    """Names divided by commas, each once. Raises Usage."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if len(set(names)) < len(names):
        raise Usage(f"a name is there twice: {text}")
    return names


if __name__ == "__main__":
    carry_out(app)
