"""A run in two lives: its process is killed half-way, and another process goes on with it.

Theory of operation
-------------------
The program is started as a person would start it, by a command, in a run directory of its own. Its
journal is read while it grows; when enough calls have an answer, the process gets SIGKILL. The
command that resumes a run does the rest. What is told of both lives is counted in the journal.

Rules
1. What is killed is what was started here, by its id. It also ends when this process does, however
   that ends: it reads a pipe that is open as long as this process is there.
2. The journal goes to the other runs at the end, so that it can be looked at and replayed.
3. A model so fast that all is done before the kill is not killed, and that is what is told.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from signal import SIGKILL
from typing import Any, Protocol

from pydantic import BaseModel

from nlpu import ProgramError, StorageFailed
from nlpu.runtime.graph.usage import cost_of
from nlpu.runtime.journal.moments import lives_of, moments_of
from nlpu.runtime.journal.records import Past, fold
from nlpu.runtime.observe.forecast import forecast
from nlpu.runtime.observe.samples import Experience
from nlpu.runtime.terminal.run.recorded_engine import Recorded, remembered
from nlpu.runtime.terminal.show.archive import Record, records

_PAUSE_S = 0.1
_MORTAL = """
import os, threading
threading.Thread(target=lambda: os.read(0, 1) or os.kill(os.getpid(), 9), daemon=True).start()
from nlpu.runtime.terminal.__main__ import main
main()
"""  # rule 1


class Told(Protocol):
    """Who is told how it goes."""

    def lives(self, run: Record) -> None:
        """The run goes on; said again and again."""

    def killed(self, run: Record) -> None:
        """Its process was killed; this is what is on the disk."""


class Took(BaseModel):
    """What a run took, or is thought to take. ``bound_s``: no schedule takes less."""

    calls: float
    nlops: float
    prompt_tokens: float
    completion_tokens: float
    seconds: float | None
    parallelism: float | None = None
    bound_s: float | None = None


class Lives(BaseModel):
    """A run that was killed and resumed, and its result as JSON.

    first, second: calls that each life made and that have an answer. lost: under way at the kill.
    again: calls of the second life that had an answer from the first.
    """

    run: str
    model: str
    killed: bool
    first: int
    lost: int
    second: int
    again: int
    forecast: Took | None
    receipt: Took
    result: Any


def in_two_lives(
    program: Callable[..., Any], options: Sequence[str], run_dir: Path, most: int, told: Told
) -> Lives:
    """Start a program of ``programs``, kill it when ``most`` of its calls are answered, resume it.

    ``options`` are the terminal's. Raises ProgramError where a process ends without a result, and
    StorageFailed.
    """
    with _apart(run_dir) as place:
        half = _life(["run", program.__name__, *options], place, most, told)
        if not half.past.finished:
            told.killed(half)
        foretold = _foretold(program, half)
        whole = _life(["resume", half.name, "--trust"], place, None, told)
    return _lives(whole, foretold)


# -- processes -----------------------------------------------------------------------------------


@contextmanager
def _apart(run_dir: Path) -> Iterator[Path]:
    """A run directory of its own, whose journals go to the other runs at the end (rule 2)."""
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix="demo-", dir=run_dir))
    except OSError as error:
        raise StorageFailed(f"cannot write to {run_dir}: {error.strerror}") from error
    try:
        yield place
    finally:
        for file in place.iterdir():
            file.rename(run_dir / file.name)
        place.rmdir()


def _life(command: list[str], place: Path, most: int | None, told: Told) -> Record:
    """One process: its run as it was at its end, or when it was killed."""
    words = [sys.executable, "-c", _MORTAL, *command, "--run-dir", str(place)]
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=said, stderr=said)
        try:
            _watch(child, place, most, told)
        finally:
            child.kill()
            child.communicate()
        found = records(place)
        killed = most is not None and child.returncode == -SIGKILL
        if not found or not (killed or found[0].past.finished):
            said.seek(0)
            raise ProgramError(_reason(said.read().decode(errors="replace"), command[0]))
    return found[0]


def _watch(child: subprocess.Popen[bytes], place: Path, most: int | None, told: Told) -> None:
    """Look at the run until it ends, or has got far enough."""
    ended = False
    while not ended:
        ended = child.poll() is not None  # asked before looking: what it did last is seen
        for record in records(place):
            told.lives(record)
            if most is not None and len(record.past.outcomes) >= most:
                return
        time.sleep(0 if ended else _PAUSE_S)


def _reason(said: str, verb: str) -> str:
    """Why a command ended, in its own words."""
    lines = [line for line in said.splitlines() if line.strip()]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (errors or lines or [f"nlpu {verb} ended without a word"])[-1]


# -- what is told of them ------------------------------------------------------------------------


def _lives(whole: Record, foretold: Took | None) -> Lives:
    """Count both lives in the rows of the journal."""
    past, before, lost, again = Past(), None, 0, 0
    for number, life in enumerate(lives_of(whole.rows)):
        if number:
            before, lost = set(past.outcomes), len(past.under_way)
        fold(past, life)
        sent = [each.number for each in moments_of(life) if each.kind in ("issue", "attempt")]
        if before is not None:
            again += sum(past.numbered[each].key in before for each in sent)
    assert past.end is not None  # it was waited for
    first = len(past.outcomes if before is None else before)
    return Lives(
        run=whole.name,
        model=next(iter(whole.past.processors.values())).partition("|")[0],
        killed=before is not None,
        first=first,
        lost=lost,
        second=len(past.outcomes) - first,
        again=again,
        forecast=foretold,
        receipt=_took(whole),
        result=json.loads(whole.texts[past.end.text]),
    )


def _took(record: Record) -> Took:
    """The receipt of all lives together."""
    costs = [cost_of(outcome.usage) for outcome in record.past.paid]
    last: dict[str, Any] = record.receipt or {}
    return Took(
        calls=len(costs),
        nlops=record.nlops,
        prompt_tokens=sum(cost.prompt_tokens for cost in costs),
        completion_tokens=sum(cost.completion_tokens for cost in costs),
        seconds=_until_killed_s(record) + last["seconds"],
        parallelism=last["parallelism"],
        bound_s=max(  # Brent: longest path, work / slots
            last["span_s"],
            last["work_s"] / record.past.header.get("can", {}).get("max_in_flight", len(costs)),
        ),
    )


def _until_killed_s(record: Record) -> float:
    """Seconds from the start to the last sign of life before the kill."""
    last_ms = killed_ms = 0
    for moment in moments_of(record.rows):
        if moment.kind == "resume":
            killed_ms = last_ms
        last_ms = moment.ms
    return killed_ms / 1000


def _foretold(program: Callable[..., Any], half: Record) -> Took | None:
    """What the whole would take, from the calls that are answered; None if nobody can say."""
    can: Any = half.past.header.get("can")
    if not Recorded.serves(can) or not half.past.outcomes:
        return None
    seen = Experience()
    for identity in set(half.past.processors.values()):
        seen.add(half.name, half.past, half.texts, identity)
    made = forecast(program, [], {}, known=remembered(can), experience=seen)
    spans = {unit: getattr(made, unit) for unit in Took.model_fields}
    return Took(**{unit: span and span.expected for unit, span in spans.items()})
