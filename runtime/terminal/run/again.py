"""``nlpu resume`` and ``nlpu replay``: runs that there are, from their journals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlpu.errors import Usage
from nlpu.runtime.terminal import options as o
from nlpu.runtime.terminal.run.command import Changed, Trace
from nlpu.runtime.terminal.run.earlier import again_of, found, loaded_again, machine_of
from nlpu.runtime.terminal.run.job import Job
from nlpu.runtime.terminal.run.machine import Machine
from nlpu.runtime.terminal.stdout import lead_prints_to_stderr

if TYPE_CHECKING:
    from nlpu.runtime.computer import Computer
    from nlpu.runtime.handle import Run


def resume(
    name: o.RunName,
    engine: o.Engine = None,
    model: o.Model = None,
    nlops: o.Nlops = None,
    calls: o.Calls = None,
    tokens: o.Tokens = None,
    money: o.Money = None,
    seconds: o.Seconds = None,
    changed: Changed = False,
    trust: o.Trust = False,
    file: o.File = None,
    sheets: o.Sheets = None,
    html: o.Html = None,
    run_dir: o.RunDir = None,
    trace: Trace = False,
    as_json: o.Json = False,
) -> int:
    """Go on with a run that was stopped or killed; no journaled call is made again."""
    options = locals().copy()
    from nlpu.runtime.terminal.eval.outcome import ends_of
    from nlpu.runtime.terminal.run.execute import carry_out
    from nlpu.runtime.terminal.run.trust import admit
    from nlpu.runtime.terminal.show.archive import EVALUATION

    lead_prints_to_stderr()
    # All else is as the run was begun; seconds count from each start anew.
    now = o.settings_in(options, ("run_dir", "seconds"))
    record = found(now.run_dir, name, file=file)
    files = admit(record, trust=trust, changed=changed, names_engine=engine is not None)
    loaded = loaded_again(record, files)
    args, kwargs = record.arguments(loaded.function)
    header = record.past.header

    def begin(computer: Computer, stream: bool) -> Run:
        return computer.resume(
            record.name,
            loaded.function,
            *args,
            **kwargs,
            budget=o.budget_of(now, header["budget"]),
            changed=changed,
            stream=stream,
        )

    machine = machine_of(record, Machine(engine, model, now.run_dir, sheets=sheets))
    is_evaluation = record.program == EVALUATION
    if html is not None and not is_evaluation:
        raise Usage(f"--html is of evaluations; nlpu show {record.name} --html FILE draws this run")
    more = ends_of(loaded, now.run_dir, record, html) if is_evaluation else {}
    job = Job(
        loaded,
        begin,
        machine,
        as_json,
        traces=trace,
        again=again_of(engine, model),
        name=record.name,
        seconds=now.seconds,
        forecast=header.get("forecast"),
        **more,
    )
    return carry_out(job)


def replay(
    name: o.RunName,
    engine: o.Engine = None,
    model: o.Model = None,
    trust: o.Trust = False,
    file: o.File = None,
    run_dir: o.RunDir = None,
    trace: Trace = False,
    as_json: o.Json = False,
) -> int:
    """Run a finished program again from its journal, making no call: the same bytes."""
    from nlpu.runtime.terminal.run.execute import carry_out
    from nlpu.runtime.terminal.run.recorded_engine import engines_of
    from nlpu.runtime.terminal.run.trust import admit

    lead_prints_to_stderr()
    place = o.settings(("run_dir",), engine=engine, model=model, run_dir=run_dir).run_dir
    record = found(place, name, replays=True, file=file)
    files = admit(record, trust=trust, names_engine=engine is not None)
    loaded = loaded_again(record, files)
    args, kwargs = record.arguments(loaded.function)
    recorded = engines_of(record.past.header) if engine is None and model is None else None
    machine = Machine(recorded, record.past.header.get("model"), place)
    if recorded is None:
        machine = machine_of(record, Machine(engine, model, place))

    def begin(computer: Computer, stream: bool) -> Run:
        return computer.resume(record.name, loaded.function, *args, **kwargs, replay=True)

    job = Job(loaded, begin, machine, as_json, replay=True, traces=trace, name=record.name)
    return carry_out(job)
