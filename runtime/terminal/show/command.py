"""``nlpu runs`` and ``nlpu show``."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nlpu.errors import Usage
from nlpu.printing import columns, counted, figure, folded, one_line, safe
from nlpu.runtime.terminal import options as o
from nlpu.runtime.terminal.output import console, say, write, write_json

if TYPE_CHECKING:
    from nlpu.runtime.journal.where import Place
    from nlpu.runtime.terminal.show.archive import Record
    from nlpu.runtime.terminal.show.run_folder import Summary

_WIDTH = 300  # of arguments and a result
_MOST_CALLS = 12  # shown of one part, unless all are asked for


app = typer.Typer(invoke_without_command=True)


@app.callback()
def runs(
    asked: typer.Context,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="The newest N alone.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Each run of a batch, too, and not their sum alone.")
    ] = False,
    run_dir: o.RunDir = None,
    as_json: o.Json = False,
) -> int:
    """All runs, newest first, with what they were given and what they gave."""
    if asked.invoked_subcommand is not None:
        if run_dir is not None or limit is not None or every or as_json:
            raise typer.BadParameter(
                "options of prune stand behind it: nlpu runs prune --older 30d"
            )
        return 0
    return list_runs(o.run_dir_of(run_dir), limit, as_json, every=every)


@app.command("prune")
def prune_runs(
    older: Annotated[str, typer.Option("--older", metavar="AGE", help="Than that: 30d, 12h, 90m.")],
    keep: Annotated[
        str | None, typer.Option("--keep", metavar="failed", help="Keep what is not done.")
    ] = None,
    dry: Annotated[
        bool, typer.Option("--dry", help="Say what would go, and remove nothing.")
    ] = False,
    run_dir: o.RunDir = None,
    as_json: o.Json = False,
) -> int:
    """Remove journals that did not change for so long, with all their runs."""
    from nlpu.runtime.terminal.show.pruning import age_s, prune, told_of

    if keep not in (None, "failed"):
        raise Usage(f"--keep takes failed (what is not done), not {keep!r:.40}")
    place = o.run_dir_of(run_dir)
    done = prune(place, age_s(older), keep is not None, dry)
    if as_json:
        write_json(told_of(done, dry))
        return 0
    for stem in done.removed if dry else ():
        write(stem + "\n")
    gone, left = counted(len(done.removed), "journal"), sum(done.kept.values())
    say(f"{'would remove' if dry else 'removed'} {gone}, {_size(done.freed)}")
    why = ", ".join(f"{count:,} {reason}" for reason, count in sorted(done.kept.items()))
    say(f"kept {counted(left, 'journal')}, {_size(done.left)}{f' ({why})' * bool(why)}")
    return 0


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def list_runs(
    place: Place,
    limit: int | None = None,
    as_json: bool = False,
    *,
    every: bool = False,
    of: str = "",
) -> int:
    """List the runs of a place, or of one journal there."""
    from nlpu.runtime.terminal.show.run_folder import summaries

    found, unread = summaries(place, limit, every=every, of=of)
    if as_json:
        write_json([_listed(each) for each in found])
        return 0
    if not found:
        say(f"no runs in {place}; start one: nlpu run ask 'What is a loom?'")
        return 0
    _print_runs(found)
    if unread:
        say(f"{unread:,} more journals were not read (--limit {limit})")
    return 0


def _listed(found: Summary) -> dict[str, Any]:
    more = {"arguments": found.arguments, "result": found.result, "error": found.error}
    summary = _summary(found.record, found.calls, found.nlops)
    return {**summary, **{name: fact for name, fact in more.items() if fact}}


def _summary(record: Record, calls: int, nlops: float) -> dict[str, Any]:
    started = datetime.fromtimestamp(record.started_s).astimezone()
    summary = {
        "id": safe(record.name),  # a file's name, which may be no text
        "program": record.program,
        "status": record.status,
        "calls": calls,
        "nlops": round(nlops, 4),
        "started": started.isoformat("T", "seconds"),
        "seconds": record.seconds,
    }
    more = {"from": record.origin, "error": safe(record.damage)}
    return {**summary, **{name: fact for name, fact in more.items() if fact}}


def _print_runs(found: list[Summary]) -> None:
    """A line of facts for each, and one of what it was given and gave."""
    edited = ["from"] if any(each.record.origin for each in found) else []
    rows = [["run", "program", "status", "calls", "nlops", "started", "seconds", *edited]]
    for each in found:
        record, line = each.record, _listed(each)
        rows.append(
            [
                record.name,
                one_line(record.title, 12 if edited else 24),
                record.status,
                f"{each.calls:,}",
                figure(each.nlops),
                line["started"][:16].replace("T", " "),
                figure(record.seconds),
                *(record.origin for _ in edited),
            ]
        )
    width = console().width
    head, *facts = columns(rows, right=(3, 4, 6), most=width, whole=1)
    write(head + "\n")
    for each, fact in zip(found, facts, strict=True):
        write(fact + "\n")
        gave = f"= {each.result}" if each.result else each.error
        if each.arguments or gave:
            told = f"({one_line(each.arguments, width // 2)}) {gave}"
            write(f"    {one_line(told, width - 4)}\n")
    for each in found:
        if each.record.damage:
            say(one_line(f"{each.record.name}: {each.record.damage}", 1000))


def show(
    names: Annotated[
        list[str], typer.Argument(metavar="RUN [OTHER]", help="A run, or two to be compared.")
    ],
    every: Annotated[bool, typer.Option("--all", help="Every call, however many.")] = False,
    live: Annotated[
        bool, typer.Option("--live", help="Follow a run until it ends; with --json: as it is now.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a report that any browser opens.")
    ] = None,
    trace: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a trace for ui.perfetto.dev.")
    ] = None,
    dag: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write its requests as AIPerf's dag_jsonl.")
    ] = None,
    program: Annotated[
        bool, typer.Option("--program", help="Write the run as a program: nlpu run FILE.nl.")
    ] = False,
    labels: Annotated[
        bool, typer.Option("--labels", help="Whose word each value is, and why a call was refused.")
    ] = False,
    otel: Annotated[
        str | None,
        typer.Option(metavar="URL|FILE", help="Send OpenTelemetry spans to a collector, or file."),
    ] = None,
    trust: o.Trust = False,
    file: o.File = None,
    run_dir: o.RunDir = None,
    as_json: o.Json = False,
) -> int:
    """One run: its calls by program part, and its receipt. Or where two runs first differ.

    Of a batch (NAME.*) all runs are listed.
    --html, --trace, --dag, --program and --labels replay the program, without any call.
    """
    from nlpu.runtime.terminal.show.archive import find

    files = {"html": html, "trace": trace, "dag": dag, "otel": otel}
    wanted = {kind: where for kind, where in files.items() if where is not None}
    place, stem = o.run_dir_of(run_dir), names[0].removesuffix(".*")
    if [f"{stem}.*"] == names and not (live or wanted or program or labels or file):
        find(place, stem)  # it is there
        return list_runs(place, as_json=as_json, every=True, of=stem)
    found = [find(place, name) for name in names]
    found[0] = found[0].moved(file)
    _check_asked(len(found), live, wanted, program + labels)
    _admit_look(found[0], trust, program or labels or dag is not None, wanted)
    if program:
        from nlpu.runtime.terminal.show.program_text import write_out  # the scheduler, too

        write_out(found[0], as_json)
    elif labels:
        from nlpu.runtime.terminal.show.labels import show_labels  # the scheduler, too

        show_labels(found[0], every, as_json)
    elif wanted:
        from nlpu.runtime.terminal.show.export import (
            export,  # the scheduler, only where it is needed
        )

        export(found[0], wanted, as_json)
    elif len(found) == 2:
        _compare(found[0], found[1], every, as_json)
    elif live:
        _watch(found[0], as_json)
    elif as_json:
        write_json(_details(found[0]))
    else:
        _print_details(found[0], every)
    return 0


def _check_asked(runs: int, live: bool, wanted: dict[str, Any], others: int) -> None:
    """Raise Usage for what show does not do at once."""
    if runs > 2 or (runs == 2 and (live or wanted or others)):
        raise Usage("show takes one run, or two alone, to be compared; see: nlpu show --help")
    if live and wanted:
        raise Usage(f"--live watches and --{next(iter(wanted))} writes a file: ask for one of them")
    if live + others + bool(wanted) > 1:
        raise Usage("--live, --program, --labels and files are asked for one at a time")


def _admit_look(record: Record, trust: bool, asks: bool, wanted: dict[str, Any]) -> None:
    """Ask, if need be, before a program is replayed. Raises NeedsPerson."""
    if asks or wanted:
        from nlpu.runtime.terminal.run.trust import admit_look

        admit_look(record, trust=trust, asks=asks)


def _watch(record: Record, as_json: bool) -> None:
    from nlpu.runtime.terminal.show.watch import picture_of, watch

    if as_json:
        write_json(asdict(picture_of(record, time.time())))
    else:
        watch(record)


def _compare(one: Record, other: Record, every: bool, as_json: bool) -> None:
    """Both ways end with 0: that runs differ is no failure."""
    from nlpu.runtime.terminal.show.difference import difference_of, lines_of

    found, width = difference_of(one, other), console().width
    if as_json:
        write_json(found)
    else:
        for line in lines_of(found, None if every else _MOST_CALLS):
            write("\n    ".join(folded(safe(line), width - 4)) + "\n")


def _details(record: Record) -> dict[str, Any]:
    from nlpu.runtime.journal.own import MARK
    from nlpu.runtime.terminal.show.calltree import calls_of

    details: dict[str, Any] = _summary(record, record.calls, record.nlops)
    header = dict(record.past.header)
    for inner in ("args", "args_name", MARK):
        header.pop(inner, None)
    details["header"] = header
    details["calls_made"] = [call.details() for call in calls_of(record)]
    details |= {name: _parsed(text) for name, text in _given_and_gave(record).items()}
    details["receipt"] = record.receipt
    end = record.past.end
    if end is not None and end.error:
        details["error"] = dict(zip(("type", "message"), end.error, strict=True))
    return details


def _parsed(text: str) -> Any:
    """A JSON text's content; the text where Python does not read it, or it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _print_details(record: Record, every: bool) -> None:
    from nlpu.runtime.terminal.show.calltree import calls_of, sums_of, tree_of

    out = console()
    for line in _heading(record):
        write("\n    ".join(folded(line, out.width - 4)) + "\n")
    out.print(tree_of(record, None if every else _MOST_CALLS, out.width))
    if record.receipt is not None:
        made_s = sum((part["service_s"] for part in record.receipt["by_op"]), 0.0)  # no reused ones
        last = [*record.receipt["by_op"], {**record.receipt, "name": "all", "service_s": made_s}]
        if record.past.lives > 1:
            write("all lives' calls\n" + _cost_table(sums_of(calls_of(record)), out.width) + "\n")
        write("the last life's calls\n" + _cost_table(last, out.width) + "\n")
        for each in record.receipt.get("chosen", ()):
            write(safe(f"{each['op']} for {each['asked']}: {each['why']}") + "\n")
        _compare_forecast(record.past.header.get("forecast"), record.receipt)


def _compare_forecast(foretold: Any, receipt: dict[str, Any]) -> None:
    if foretold is not None:
        from nlpu.runtime.observe.receipt import Receipt  # the scheduler's; few runs were forecast
        from nlpu.runtime.terminal.run.dry import compare

        compare(foretold, Receipt.model_validate(receipt), to_stderr=False)


def _heading(record: Record) -> list[str]:

    line, header = _summary(record, record.calls, record.nlops), record.past.header
    faults = sum(bool(outcome.fault) for outcome in record.past.paid)
    failed = f", {faults:,} of them failed" if faults else ""
    engine = header.get("engine", "?")
    models = ", ".join(str(name).partition("|")[0] for name in header["processors"].values())
    lines = [
        f"run {line['id']}: {line['program']}, {line['status']}",
        f"started {line['started']}, {figure(line['seconds'])} s in {record.past.lives} "
        f"{'life' if record.past.lives == 1 else 'lives'}, on {engine} ({models})",
        f"{counted(line['calls'], 'call')}{failed}, {figure(line['nlops'])} nlops",
    ]
    for can in (header.get("cans") or {"": header.get("can", {})}).values():
        if can.get("weights"):
            lines.append(f"{can['model']}: {can.get('source', '')}, sha256 {can['weights']}")
    lines += [f"{name}: {one_line(text, _WIDTH)}" for name, text in _given_and_gave(record).items()]
    if record.origin:
        lines.append(f"edited from run {record.origin}: nlpu show {record.origin} {record.name}")
    limits = {name: most for name, most in header["budget"].items() if most is not None}
    if limits:
        whose = "limits" if record.past.lives == 1 else "limits of its first life"
        lines.append(f"{whose}: {', '.join(f'{most:g} {name}' for name, most in limits.items())}")
    end = record.past.end
    if end is not None and end.error:
        lines.append(": ".join(end.error))
    if record.status in ("stopped", "failed"):
        lines.append(f"to resume it: {record.resumption}")
    return [safe(" ".join(text.split())) for text in lines]  # no line of another


def _given_and_gave(record: Record) -> dict[str, str]:
    """Its arguments and its result, as the journal has them."""
    end = record.past.end
    kept = {"arguments": record.past.header.get("args", 0), "result": end.text if end else 0}
    return {name: record.texts[number] for name, number in kept.items() if number}


def _cost_table(parts: list[dict[str, Any]], width: int) -> str:
    """What the calls of each op took, and last what all took."""
    titles = ("calls", "attempts", "nlops", "prompt_tokens", "completion_tokens", "service_s")
    rows = [["op", *(title.replace("_tokens", " tok").replace("_", " ") for title in titles)]]
    for part in parts:
        rows.append([str(part["name"]), *(f"{round(part[title], 4):,}" for title in titles)])
    return "\n".join(columns(rows, right=range(1, 7), most=width))
