"""``python -m benchmarks.tower``: a tower of dependent calls, killed and gone on with on the way.

    python -m benchmarks.tower --sheet add.json --model qwen2.5-coder-1.5b --kills 100
    python -m benchmarks.tower --sheet add.json --simulated --digits 100000

The tower stands in a process of its own, which is killed (SIGKILL) after so many more calls, drawn
with a seed, and begun anew: it goes on from its journal. Killed itself, this command goes on, too,
with ``--run-dir``: what there was, kills included, is in the journal.

Rules
1. All figures but time and memory are the journal's: of all lives, not of the last one.
2. A call is made again where a question that has an answer got another one. What had been asked and
   was not yet answered when the process was killed is told apart (``lost``).
3. Simulated, answers are drawn as the sheet's model was measured to give them: no model is asked,
   and the figures say so. There the measured shares are the true ones, and planned with as such.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from benchmarks.command import carry_out
from nlpu import Computer, Scripted, Usage
from nlpu.eval.datasheet import sheet_in
from nlpu.programs import tower as towers
from nlpu.runtime.bench.report import circumstances
from nlpu.runtime.bench.results import AsJson, Model, Output, Where, deliver, processor
from nlpu.runtime.terminal.output import as_text
from nlpu.runtime.terminal.show.archive import records

_KNOWN = 200  # times that each draw is taken to have been made
app = typer.Typer(add_completion=False)


@app.command(help="A tower of dependent calls, killed and gone on with on the way.")
def command(
    sheet: Annotated[str, typer.Option(metavar="FILE[,FILE]", help="The datasheet of add_digits.")],
    digits: Annotated[int, typer.Option(min=1, metavar="N")] = 1000,
    kills: Annotated[int, typer.Option(min=0, metavar="N", help="How often it is killed.")] = 0,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the numbers and the kills.")] = 0,
    reliability: Annotated[float, typer.Option(metavar="SHARE")] = 0.95,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="Draw answers from the sheet: no model is asked.")
    ] = False,
    run_dir: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where its journal is, to go on with.")
    ] = None,
    climbs: Annotated[bool, typer.Option("--climbs", hidden=True)] = False,
    engine: Where = None,
    model: Model = None,
    as_json: AsJson = False,
    output: Output = None,
) -> None:
    at: tuple[str | None, str | None] = (None, None) if simulated else processor(engine, model)
    if climbs:
        assert run_dir is not None
        climb(at, run_dir, (digits, seed, reliability, sheet))
        return
    begun = time.monotonic()
    with TemporaryDirectory() as made:
        folder = run_dir or Path(made)
        child = [sys.executable, "-m", "benchmarks.tower", *sys.argv[1:], "--climbs"]
        said = last_of([*child, "--run-dir", str(folder)], folder, kills, seed, digits)
        found = {**json.loads(said), **figures_of(folder)}
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024  # of the largest life
    asked = "simulated" if simulated else at[1]
    figures = {
        **circumstances(model=asked, digits=digits, seed=seed, sheet=sheet),
        **found,
        "ratio": round(found["calls"] / found["forecast"], 3),
        "seconds": round(time.monotonic() - begun, 1),
        "memory_mb": round(most),
    }
    deliver("tower", figures, lambda each: print(as_text(each)), as_json=as_json, output=output)


def climb(at: tuple[str | None, str | None], run_dir: Path, args: tuple[Any, ...]) -> None:
    """One life: begins the tower or goes on with it; prints its calls now and then, and its end."""
    given: Any = at[0]
    if given is None:
        args = (*args[:-1], str(exact(args[-1], run_dir / "exact.json")))
        given = Scripted(towers.simulated(args[-1], args[1]))
    before = records(run_dir)
    with Computer(given, model=at[1], run_dir=run_dir) as computer:
        if before:
            run = computer.resume(before[0].name, towers.tower, *args)
        else:
            run = computer.start(towers.tower, *args)
        while run.status == "running":
            print(run.counts.calls, flush=True)
            with suppress(TimeoutError):
                run.wait(0.1)
        found: towers.Tower = run.result
    print(found.model_dump_json(exclude={"total"}))


def exact(sheet: str, path: Path) -> Path:
    """Write the sheet of a model that is known to be what another was measured to be (rule 3)."""
    whole, (_, known) = sheet_in(sheet.split(",", maxsplit=1)[0]), towers.drawn_in(sheet)
    sums = tuple(case.model_copy(update={"draws": case.draws * _KNOWN}) for case in known.values())
    op = whole.ops["add_digits"].model_copy(update={"cases": sums})
    made = whole.model_copy(update={"ops": {op.op: op}})
    path.write_text(made.model_dump_json(), encoding="utf-8")
    return path


def last_of(child: list[str], run_dir: Path, kills: int, seed: int, digits: int) -> str:
    """Kill the child so often, spread over the steps, and give its last words. Raises Usage."""
    while True:
        left, said = kills - killed(run_dir), ""
        mean = max(1, digits // (kills + 1))  # of the calls of a life: fewer than there will be
        due = Random(f"{seed} {left}").randint(1, 2 * mean) if left > 0 else sys.maxsize
        with subprocess.Popen(child, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for said in process.stdout:
                if said.strip().isdigit() and int(said) >= due:
                    process.kill()
                    break
        if process.returncode > 0:
            raise Usage("the tower did not come to its end; why is said above")
        if process.returncode == 0:
            return said


def killed(run_dir: Path) -> int:
    """How many lives its journal has seen end."""
    return sum(record.past.lives for record in records(run_dir))


def figures_of(run_dir: Path) -> dict[str, Any]:
    """What the journal says of all lives (rules 1 and 2)."""
    (record,) = records(run_dir)
    kinds, past = Counter(row[0] for row in record.rows), record.past
    return {
        "kills": past.lives - 1,
        "calls": len(past.outcomes),
        "again": kinds["result"] - len(past.outcomes),
        "lost": kinds["issue"] + kinds["attempt"] - kinds["result"],
    }


if __name__ == "__main__":
    carry_out(app)
