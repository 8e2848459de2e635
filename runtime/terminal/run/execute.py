"""From a program that is ready to start to a printed outcome and an exit code.

Theory of operation
-------------------
``carry_out`` opens the computer, begins the run, waits for it in the main thread while the display
shows its counts, and has told how it ended (``tell``).

Rules
1. Every end but success and bad usage of a journaled run names the command that resumes it.
2. After an interrupt nothing is waited for: the run is stopped, its journal is committed, and the
   process leaves without closing engines.
"""

from __future__ import annotations

import json
import time
import warnings
from math import inf

from nlpu.errors import (
    DeadlineExceeded,
    Interrupted,
    MissingPart,
    NlpuError,
    UnknownProcessor,
    Usage,
)
from nlpu.runtime.computer import Computer
from nlpu.runtime.handle import Run, state_of
from nlpu.runtime.loop_thread import LeftBehind
from nlpu.runtime.terminal.download import have_model
from nlpu.runtime.terminal.output import (
    said,
    say,
    write_json,
)
from nlpu.runtime.terminal.run import interrupt as interrupting
from nlpu.runtime.terminal.run.job import Job
from nlpu.runtime.terminal.run.live import Plain, display
from nlpu.runtime.terminal.run.person import TerminalPerson, person
from nlpu.runtime.terminal.run.streaming import Streamer
from nlpu.runtime.terminal.run.tell import tell
from nlpu.runtime.terminal.run.watchdog import GRACE_S, Watchdog
from nlpu.runtime.terminal.stdout import failure, is_paid

_TICK_S = 0.1
_OVERDUE_S = 2.0  # beyond its deadline a run is left to its journal


def carry_out(job: Job) -> int:
    """Run it, print its outcome, and give the exit code (errors before the run are raised)."""
    for model in () if job.replay else job.machine.models or (job.machine.model,):
        have_model(job.machine.engine, model)
    asked = None if job.replay else person()
    computer = job.machine.computer(asked)
    try:
        return _carry_out(job, computer, asked)
    except KeyboardInterrupt:
        step = "went on" if job.name else "began"
        _interrupted(job, f"as the run {step}; if there is one, nlpu runs lists it", job.name)
        interrupting.leave(Interrupted.exit_code)
        raise
    except NlpuError as error:
        if job.as_json and not is_paid():
            write_json(failure(type(error).__name__, said(error), job.name))
        raise


def _carry_out(job: Job, computer: Computer, asked: TerminalPerson | None) -> int:
    streamer, run, code = Streamer(shows=job.shows), None, 1
    told = False
    with interrupting.Interrupts():
        try:
            with display(streamer.shows) as shown, Watchdog(job.seconds is not None) as watchdog:
                computer.begins = lambda run: _watched(job, run, watchdog)
                run = _begin(job, computer, shown, streamer)
                cut = _attend(run, job.seconds, asked, shown, streamer)
            try:
                _note_weaknesses(computer)
                code, told = tell(job, run, cut or run.error, streamer), True
                if job.ended is not None:
                    job.ended(run)
            finally:  # telling may fail: stdout may be full, or a result unprintable
                if cut is not None:
                    interrupting.leave(code)  # rule 2
                _close(computer)
        except KeyboardInterrupt:
            if run is None:
                raise
            if not told:
                code = Interrupted.exit_code
                where = "" if job.replay else f"; nlpu show {run.name} has it"
                what = f"as the outcome of the run {run.name} was told ({run.status}){where}"
                _interrupted(job, what, run.name, run.status)
            interrupting.leave(code)
    return code


def _interrupted(job: Job, what: str, name: str | None, status: str = "stopped") -> None:
    error = Interrupted(f"interrupted {what}")
    if job.as_json and not is_paid():
        write_json(failure("Interrupted", str(error), name, status))
    say(str(error))


def _close(computer: Computer) -> None:
    """Close it; what it warns of is said as all else is."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", LeftBehind)
        computer.close()
    for each in told:
        say(f"note: {each.message}")


def _begin(job: Job, computer: Computer, shown: Plain, streamer: Streamer) -> Run:
    shown.note("opening the processor ...")
    follows = streamer.shows or job.follows
    try:
        run = job.begin(computer, follows)
    except UnknownProcessor as error:
        raise Usage(str(error)) from None
    except MissingPart as error:
        if job.machine.model is not None:
            raise Usage(str(error)) from None
        raise
    if streamer.shows:
        shown.note("waiting for the first words ...")
    if follows:
        streamer.start(run)
    return run


def _attend(
    run: Run, seconds: float | None, asked: TerminalPerson | None, shown: Plain, streamer: Streamer
) -> NlpuError | None:
    """Wait for the run; why it was cut off, if it was."""
    overdue_s = inf if seconds is None else time.monotonic() + seconds + _OVERDUE_S
    try:
        while time.monotonic() < overdue_s:
            try:
                run.wait(_TICK_S)
                return None
            except TimeoutError:
                if asked is not None:
                    asked.attend(shown.aside)
                shown.update(run.counts, streamer.pieces)
    except KeyboardInterrupt:
        if not interrupting.stop(run):
            say("the program is busy in Python and was left behind")
        return Interrupted("interrupted")
    return _deadline(seconds or 0.0)


def _watched(job: Job, run: Run, watchdog: Watchdog) -> None:
    """From now on C code may let neither Ctrl-C nor the deadline through."""
    texts = {"interrupted": _last_words(job, run, Interrupted("interrupted"))}
    if job.seconds is not None:
        texts["overdue"] = _last_words(job, run, _deadline(job.seconds))
    due_s = None if job.seconds is None else job.seconds + _OVERDUE_S + GRACE_S
    state_of(run).on_end.append(lambda: watchdog.begins(None, texts))
    watchdog.begins(due_s, texts)


def _last_words(job: Job, run: Run, error: NlpuError) -> tuple[str, str]:
    """What is told, on stdout and stderr, of a run that cannot tell it any more."""
    told = failure(type(error).__name__, str(error), run.name, "stopped")
    more = "" if job.replay else f"{job.resumption(run.name, error)}\n"
    return json.dumps(told) + "\n" if job.as_json else "", f"error: {error}\n{more}"


def _deadline(seconds: float) -> DeadlineExceeded:
    return DeadlineExceeded(  # the scheduler would have said so, had the program let it
        f"the run's {seconds:g} seconds ran out while its program was busy in Python"
    )


def _note_weaknesses(computer: Computer) -> None:
    """Name what a server cannot promise that does not take token ids."""
    for processor in computer.processors.values():
        weaker = processor.capabilities.weaker
        if weaker and not processor.capabilities.token_prompts:
            say(f"note: a server with weaker guarantees: {' '.join(weaker)}")
