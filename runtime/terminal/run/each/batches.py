"""``nlpu run PROGRAM --each INPUTS``: a run for each input, its results as lines of JSON.

Theory of operation
-------------------
All inputs of a file or folder are looked at before the first call, so that what is no input costs
nothing; so is stdin, where workers share the batch: it is read to its end. The batch's name follows
from the command: the same command goes on with the same batch.

Rules
1. What a batch is given by a file is nobody's word, as with ``--input``.
2. Inputs that changed since are told of, and gone on with only where that is asked for. Even then
   each result is that of its own input.
3. stdout has the results, or with --json one object; all else is on stderr.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import tempfile
import threading
import time
from base64 import b32encode
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from hashlib import blake2b
from math import inf
from pathlib import Path
from typing import Any

from nlpu.errors import DeadlineExceeded, Interrupted, NlpuError, Usage
from nlpu.printing import counted
from nlpu.reliability import promised
from nlpu.runtime.fleet.plan import Entry, Plan, Steps
from nlpu.runtime.journal.header import args_text
from nlpu.runtime.journal.where import Database
from nlpu.runtime.terminal.download import have_model
from nlpu.runtime.terminal.output import say
from nlpu.runtime.terminal.run import interrupt as interrupting
from nlpu.runtime.terminal.run.each.batch_job import Asked, BatchJob
from nlpu.runtime.terminal.run.each.inputs import Record, check_source, listed, records
from nlpu.runtime.terminal.run.each.results import Results
from nlpu.runtime.terminal.run.each.shown import Shown
from nlpu.runtime.terminal.run.each.told import Ended, note, tell
from nlpu.runtime.terminal.run.job import place_words

_TICK_S = 0.1
_OVERDUE_S = 2.0
_MOST_WRONG = 5  # inputs


def run_each(job: BatchJob) -> int:
    """Carry out a batch and tell of it; gives the exit code. Raises Usage."""
    _check(job)
    if job.asked.inputs == "-" and isinstance(job.machine.run_dir, Database):
        with tempfile.TemporaryFile() as whole:
            shutil.copyfileobj(sys.stdin.buffer, whole)
            return _run(replace(job, asked=replace(job.asked, whole=whole)))
    return _run(job)


def _run(job: BatchJob) -> int:
    asked, machine = job.asked, job.machine
    comes = asked.inputs == "-" and asked.whole is None
    looked = None if comes else _look(job)
    results = Results(asked.out)
    try:
        have_model(machine.engine, machine.model)
        plan = Plan(
            _name(job),
            asked.at_once,
            not asked.as_they_come,
            job.budget,
            retry=asked.retry,
            changed=asked.changed,
            facts=job.facts(),
            waits=comes,
        )
        used: Any
        batch: Steps
        if isinstance(machine.run_dir, Database):
            from nlpu.runtime.terminal.run.each.workers import crew  # it needs psycopg

            used = batch = crew(job, _entries(job), plan)
        else:
            used = computer = machine.computer()
            batch = computer.batch(job.program.function, _entries(job), plan)
        where = f" {shlex.join(place_words(machine.run_dir))}".rstrip()
        ended = Ended(plan.name, looked and looked[0], where=where)
        with used:
            return _carry_out(job, batch, results, ended, looked)
    finally:
        results.close()


# -- before the first call -----------------------------------------------------------------------


def _check(job: BatchJob) -> None:
    asked, in_database = job.asked, isinstance(job.machine.run_dir, Database)
    if asked.workers and not in_database:
        raise Usage(
            "--workers: they share a batch in a database: --store postgresql://USER@HOST/NAME; one "
            "process alone has many runs at once, too (--at-once)"
        )
    if asked.ray is not None and not in_database:
        raise Usage("--ray places --workers N, of a batch in a database: --store postgresql://...")
    check_source(asked.inputs)
    if job.as_json and asked.out is None:
        raise Usage("with --json stdout is one object: name a file for the results with --out")
    source = Path(asked.inputs)
    if asked.out is None or asked.inputs == "-":
        return
    if asked.out.exists() and source.samefile(asked.out):
        raise Usage(f"--out: {asked.out} is the file of the inputs; name another")
    if source.is_dir() and Path(os.path.realpath(asked.out)).is_relative_to(source.resolve()):
        raise Usage(f"--out: {asked.out} lies among the inputs; name a place outside of {source}")


def _look(job: BatchJob) -> tuple[int, str]:
    """Read all inputs once: how many, and a digest. Raises Usage for those that are none."""
    asked = job.asked
    digest, number, wrong = blake2b(digest_size=16), 0, list[str]()
    with closing(_records(asked)) as source:
        for record in filter(None, source):
            try:
                entry = job.inputs.entry(record)
            except Usage as error:
                wrong.append(str(error))
                if len(wrong) == _MOST_WRONG:
                    break
                continue
            number += 1
            text = args_text(entry.args, entry.kwargs) or ""
            digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    if wrong:
        more = "" if len(wrong) < _MOST_WRONG else "; and perhaps more"
        raise Usage("\n".join(wrong) + more)
    _, hidden, links = listed(Path(asked.inputs)) if Path(asked.inputs).is_dir() else ([], 0, 0)
    if hidden:
        say(f"note: {counted(hidden, 'hidden file')} in {asked.inputs} left out")
    if links:
        say(f"note: {counted(links, 'symbolic link')} to folders or out of {asked.inputs} left out")
    if not number:
        raise Usage(f"--each: {asked.inputs} holds no inputs")
    return number, digest.hexdigest()


def _records(asked: Asked) -> Generator[Record | None, None, None]:
    if asked.whole is not None:
        asked.whole.seek(0)
    return records(asked.inputs, asked.whole or sys.stdin.buffer)


def _entries(job: BatchJob) -> Iterator[Entry | None]:
    return map(lambda record: record and job.inputs.entry(record), _records(job.asked))


def _name(job: BatchJob) -> str:
    """The batch's name: another command is another batch."""
    asked, machine = job.asked, job.machine
    source = None if asked.inputs == "-" else asked.inputs
    places = [each and os.path.realpath(each) for each in (asked.out, source)]
    what = [
        job.program.spec,
        args_text((), job.inputs.fixed),
        *places,
        machine.model,
        machine.system,
        machine.convention,
        *promised(asked.reliability, ()).values(),
    ]
    digest = blake2b(json.dumps(what).encode(), digest_size=5).digest()
    return b32encode(digest).decode().lower()


def _check_same(
    batch: Steps, asked: Asked, looked: tuple[int, str] | None, results: Results
) -> None:
    """Raises Usage (rule 2)."""
    before = batch.facts()
    now = looked and list(looked)  # None: stdin, as it comes (see Batch)
    was = before.get("inputs", now)
    if was != now and was is not None and now is not None and not asked.changed:
        raise Usage(
            f"{asked.source} has changed since this batch began (it had {was[0]:,} inputs, and has "
            f"{now[0]:,}): with --changed it goes on, and asks those that are new; or name another "
            "--out to begin anew"
        )
    results.check(before.get("out", []))
    batch.note_facts(inputs=now)


def _check_stream(batch: Steps, asked: Asked) -> None:
    """Raises Usage for a stream that ended early: its results would take the place of more."""
    now, before = batch.counts.ended, batch.facts().get("streamed", 0)
    if not now:
        raise Usage("--each: stdin held no inputs; see what was to write them")
    if now < before and asked.out is not None and not asked.changed:
        raise Usage(
            f"stdin ended after {counted(now, 'input')}, and this batch had {before:,}: "
            f"{asked.out} stays as it was; with --changed it has these alone"
        )
    batch.note_facts(streamed=now)


# -- carrying it out -----------------------------------------------------------------------------


def _carry_out(
    job: BatchJob,
    batch: Steps,
    results: Results,
    ended: Ended,
    looked: tuple[int, str] | None,
) -> int:
    seconds = job.budget.seconds
    begun, begun_s = False, time.monotonic()
    with interrupting.Interrupts():
        try:
            with Shown(ended.total) as shown:
                batch.open()
                _check_same(batch, job.asked, looked, results)
                begun = True
                overdue_s = time.monotonic() + _OVERDUE_S + (inf if seconds is None else seconds)
                while not batch.ended:
                    if time.monotonic() > overdue_s:  # the scheduler would have said so
                        raise DeadlineExceeded(
                            "the batch's seconds ran out while a program was busy in Python"
                        )
                    given = batch.step(_TICK_S)
                    results.write([item.line() for item in given])
                    note(ended, given)
                    shown.update(batch.counts)
            ended.error = batch.error
            if ended.error is None:
                if looked is None:
                    _check_stream(batch, job.asked)
                made = results.sealed()  # noted first: a kill may come between
                batch.note_facts(out=[*batch.facts().get("out", [])[-1:], made])
                results.finish()
        except KeyboardInterrupt:
            ended.error = Interrupted("interrupted")
        except NlpuError as error:
            ended.error = error
            if not begun:
                raise
        finally:
            stopped = _stop(batch, ended.error or Interrupted("stdout is closed"))
            ended.out = str(results.path or "")
            if stopped:
                batch.close()
        code = tell(ended, batch, time.monotonic() - begun_s, job.as_json)
        if isinstance(ended.error, Interrupted) or not stopped:
            interrupting.leave(code)
    return code


def _stop(batch: Steps, error: NlpuError) -> bool:
    """Stop it; False if a program that is busy in Python keeps it, which is left to its journal."""

    def stop() -> None:
        with suppress(NlpuError):  # what could not be written is told of already
            batch.stop(error)

    stopping = threading.Thread(target=stop, daemon=True)
    stopping.start()
    stopping.join(interrupting.STOP_S)
    return not stopping.is_alive()
