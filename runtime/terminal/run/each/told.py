"""How a batch ended: failures with their reasons, what it took, how to go on; and for --json."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpu.errors import NlpuError, Usage
from nlpu.printing import counted, figure, one_line
from nlpu.runtime.terminal.output import said, say, say_error, write_json
from nlpu.runtime.terminal.run.each.shown import cost_of
from nlpu.runtime.terminal.run.job import larger

if TYPE_CHECKING:
    from nlpu.runtime.fleet.item import Item
    from nlpu.runtime.fleet.plan import Counts, Steps

_MOST_TOLD = 10  # failures that are listed


@dataclass(slots=True)
class Ended:
    """What is told at the end.

    failures: the first of them. given: how many there were. where: options to find the runs.
    """

    name: str
    total: int | None
    failures: list[dict[str, Any]] = field(default_factory=list)
    given: int = 0
    error: NlpuError | None = None
    out: str = ""
    where: str = ""


def note(ended: Ended, given: list[Item]) -> None:
    """Remember the first items without a result."""
    for item in given:
        ended.given += item.status != "done"
        if item.status != "done" and len(ended.failures) < _MOST_TOLD:
            ended.failures.append(
                {
                    "index": item.index,
                    "id": item.id,
                    "run": item.run,
                    "status": item.status,
                    "type": item.why[0],
                    "message": item.why[1],
                }
            )


def tell(ended: Ended, batch: Steps, seconds: float, as_json: bool) -> int:
    """Tell it; gives the exit code."""
    counts, error = batch.counts, ended.error
    if as_json:
        write_json(_object(ended, batch, seconds))
    for each in ended.failures:
        called = f"input {each['index'] + 1}" + (f" ({each['id']})" if each["id"] else "")
        look = f"; nlpu show {each['run']}{ended.where}" if each["run"] else ""
        say(one_line(f"{called}: {each['type']}: {each['message']}", 300) + look)
    left = ended.given - len(ended.failures)
    if left > 0:
        say(f"and {left:,} more, each with its reason in its line of the results")
    if error is not None:
        say_error(said(error))
    parts = [f"{counts.done:,} done", *([f"{counts.failed:,} failed"] if counts.failed else [])]
    parts += [f"{counts.needs_person:,} need a person"] if counts.needs_person else []
    parts += [f"{counts.known:,} of them before"] if counts.known else []
    of = "" if ended.total is None else f" of {ended.total:,}"
    say(f"batch {ended.name}{of}: {', '.join(parts)}; {cost_of(counts.cost)}; {figure(seconds)} s")
    _tell_beside(ended.name, counts)
    if error is not None and not isinstance(error, Usage):
        part = Path(f"{ended.out}.part")
        is_there = ended.out and part.exists() and part.stat().st_size
        so_far = f"; the results so far are in {part}" if is_there else ""
        say(f"to go on{larger(error)}: the same command again{so_far}")
    elif counts.failed:
        say("to try those that failed again: the same command with --retry failed")
    if counts.needs_person:
        say(f"to be asked: nlpu resume RUN{ended.where}, then the same command again")
    if error is not None:
        return error.exit_code
    return 4 if counts.needs_person else 1 if counts.failed else 0


def _tell_beside(name: str, counts: Counts) -> None:
    """Tell what was lost, and who else is concerned."""
    if counts.lost.calls:
        say(
            f"beside these the answers of {counted(counts.lost.calls, 'attempt')} were lost; what "
            f"they may have taken counts against a budget: {figure(counts.lost.nlops)} nlops"
        )
    if counts.joined:
        joined = counted(counts.joined, "worker")
        say(f"{joined} that joined it will end, too; when it goes on: nlpu worker {name}")


def _object(ended: Ended, batch: Steps, seconds: float) -> dict[str, Any]:
    counts, error = batch.counts, ended.error
    stopped = "stopped" if error is not None else "failed" if counts.failed else "done"
    return {
        "batch": ended.name,
        "status": "needs_person" if counts.needs_person and error is None else stopped,
        "inputs": ended.total,
        "done": counts.done,
        "failed": counts.failed,
        "needs_person": counts.needs_person,
        "known": counts.known,
        "cost": {name: round(each, 9) for name, each in counts.cost._asdict().items()},
        "lost": {name: round(each, 9) for name, each in counts.lost._asdict().items()},
        "seconds": round(seconds, 3),
        "out": ended.out,
        "failures": ended.failures,
        "error": None if error is None else {"type": type(error).__name__, "message": said(error)},
    }
