"""``nlpu run --dry``: the forecast of a run, kept so that the run can be held against it.

Theory of operation
-------------------
Earlier runs are those of the run directory that were made on the same engine and model. What the
processor can do is taken from the newest of them; only where there is none is the engine asked.
A forecast is kept in the run directory under a name made of program, arguments and processor; the
run that is started with the same takes it into its header and is compared with it at its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from hashlib import blake2b
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nlpu.engines.registry import named_engine
from nlpu.owner_only import make_dir, make_file
from nlpu.processor import FREE
from nlpu.reliability import Reliability
from nlpu.runtime.journal.header import result_text
from nlpu.runtime.journal.places import local
from nlpu.runtime.observe.forecast import Forecast, Interval, forecast
from nlpu.runtime.observe.receipt import Receipt
from nlpu.runtime.observe.samples import Experience
from nlpu.runtime.scheduler.budget import Budget
from nlpu.runtime.settings import api_key
from nlpu.runtime.terminal.download import have_model
from nlpu.runtime.terminal.output import console, say
from nlpu.runtime.terminal.run.machine import Machine
from nlpu.runtime.terminal.run.recorded_engine import Recorded, remembered
from nlpu.runtime.terminal.show.archive import Record, find
from nlpu.runtime.terminal.show.run_folder import summaries
from nlpu.wire import Capabilities

_NEWEST = 50  # earlier runs that are read
Bound = tuple[list[Any], dict[str, Any]]
_UNITS = (
    "calls",
    "nlops",
    "prompt_tokens",
    "completion_tokens",
    "seconds",
    "parallelism",
    "bound_s",
    "money",
)


def made(
    program: Callable[..., Any],
    bound: Bound,
    machine: Machine,
    budget: Budget,
    asked: Reliability | None = None,
) -> Forecast:
    """The forecast. Raises what opening the engine raises, and what every dry run raises."""
    listed = [each.record for each in summaries(machine.run_dir, every=True)[0]]
    same = [record for record in listed if _is_on(record, machine)]
    known = _known(same, machine)
    experience = Experience()
    for record in (find(machine.run_dir, each.name) for each in same[:_NEWEST]):  # one at a time
        for identity in set(record.past.processors.values()):
            if identity.split("|")[0] == known.model:
                experience.add(record.name, record.past, record.texts, identity)
    args, named = bound
    return forecast(
        program,
        args,
        named,
        known=known,
        experience=experience,
        price=machine.price or FREE,
        budget=budget,
        sheets=machine.sheets,
        reliability=asked,
    )


def _is_on(record: Record, machine: Machine) -> bool:
    header = record.past.header
    return (header.get("engine"), header.get("model")) == (machine.engine, machine.model)


def _known(same: list[Record], machine: Machine) -> Capabilities:
    for record in same:
        can = record.past.header.get("can")
        if can is not None and Recorded.serves(can):
            return remembered(can)
    return asyncio.run(_asked(machine))


async def _asked(machine: Machine) -> Capabilities:
    have_model(machine.engine, machine.model)
    engine = named_engine(machine.engine, machine.model, api_key())
    try:
        return await engine.capabilities()
    finally:
        await engine.close()


# -- keeping and comparing ---------------------------------------------------------------------


def keep(machine: Machine, spec: str, bound: Bound, made: Forecast) -> None:
    """Remember it for the run that is forecast; where that cannot be, say so."""
    path = _path(machine, spec, bound)
    try:
        make_dir(path.parent)
        make_file(path)
        path.write_text(made.model_dump_json(), "utf-8")
    except OSError as error:
        say(
            "no run will be held against this forecast: it cannot be kept in "
            f"{path.parent}: {error.strerror}"
        )


def kept(machine: Machine, spec: str, bound: Bound) -> Any:
    """The forecast of such a run as plain data; None if none was made that can be read."""
    try:
        made = Forecast.model_validate_json(_path(machine, spec, bound).read_text("utf-8"))
        return made.model_dump(mode="json")
    except (OSError, ValueError):
        return None


def _path(machine: Machine, spec: str, bound: Bound) -> Path:
    price = None if machine.price is None else asdict(machine.price)
    whole = result_text([spec, bound, str(machine.engine), machine.model, price])
    digest = blake2b(whole.encode(), digest_size=12).hexdigest()
    return local(machine.run_dir) / "forecasts" / f"{digest}.json"


def tell(made: Forecast) -> None:
    """Print it as a table."""
    out = console()
    rests = f"{made.earlier_runs} earlier runs, {made.earlier_calls} calls"
    out.print(_table(made, None))
    out.print(f"from {made.dry_runs} dry runs, answered from {rests}", soft_wrap=True)
    for line in _notes(made):
        out.print(line, soft_wrap=True)


def _notes(made: Forecast) -> Iterator[str]:
    """What it does not know."""
    for op in made.unknown_ops:
        yield f"never called before, so guessed: {op}"
    for name in made.refused_drivers:
        yield f"has an effect, so refused in a dry run; a run may take more: {name}"
    if made.cut_at_calls:
        yield f"cut after {made.cut_at_calls:,} calls: a run takes more, or does not end by itself"


def compare(
    foretold: Mapping[str, Any] | None, receipt: Receipt, *, to_stderr: bool = True
) -> None:
    """Print forecast beside actual, if there was a forecast that this version can read."""
    try:
        made = Forecast.model_validate(foretold)
    except ValidationError:
        return
    out = console(to_stderr=to_stderr)
    out.print("forecast beside actual:")
    out.print(_table(made, receipt))
    for line in _notes(made):
        out.print(line, soft_wrap=True)


def _table(made: Forecast, receipt: Receipt | None) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("", "expected", "90 % of runs", *(("actual",) if receipt else ())):
        table.add_column(title, justify="left" if not title else "right")
    for unit in _UNITS:
        figure: Interval | None = getattr(made, unit)
        if figure is None or (unit == "money" and not figure.most):
            continue
        span = f"{_round(figure.least)} to {_round(figure.most)}"
        took: float | None = getattr(receipt, unit, None)  # a receipt knows no bound of slots
        actual = ("" if took is None else _round(took),) if receipt else ()
        table.add_row(unit.replace("_", " "), _round(figure.expected), span, *actual)
    return table


def _round(figure: float) -> str:
    return f"{figure:.3g}" if figure < 1000 else f"{figure:,.0f}"
