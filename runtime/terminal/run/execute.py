"""From a program that is ready to start to a printed outcome and an exit code.

Theory of operation
-------------------
``carry_out`` opens the computer, begins the run, waits for it in the main thread while the display
shows its counts, and tells how it ended: the result on stdout, the receipt, the reason of a stop
and the command that resumes it on stderr; or all of it as one JSON object.

Rules
1. Every end but success and bad usage of a journaled run names the command that resumes it.
2. After an interrupt nothing is waited for: the run is stopped, its journal is committed, and the
   process leaves without closing engines.
"""

from __future__ import annotations

import json
import shlex
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from nlpu.errors import (
    BudgetExceeded,
    DeadlineExceeded,
    Diverged,
    Interrupted,
    MissingPart,
    NlpuError,
    ProgramError,
    UnknownProcessor,
    Usage,
    described,
)
from nlpu.runtime.computer import Computer
from nlpu.runtime.handle import Run, state_of
from nlpu.runtime.journal.where import Place
from nlpu.runtime.loop_thread import LeftBehind
from nlpu.runtime.observe.receipt import Receipt
from nlpu.runtime.settings import Settings
from nlpu.runtime.terminal.output import (
    as_text,
    json_of,
    said,
    say,
    say_error,
    tell_traceback,
    write,
    write_body,
    write_json,
)
from nlpu.runtime.terminal.run import interrupt as interrupting
from nlpu.runtime.terminal.run.dry import compare
from nlpu.runtime.terminal.run.live import Plain, display
from nlpu.runtime.terminal.run.person import TerminalPerson
from nlpu.runtime.terminal.run.streaming import Streamer
from nlpu.runtime.terminal.run.watchdog import GRACE_S, Watchdog
from nlpu.runtime.terminal.stdout import failure, is_paid

NEEDS_PERSON = 4
_TICK_S = 0.1
_OVERDUE_S = 2.0  # beyond its deadline a run is left to its journal


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be carried out.

    begin: starts the run on the computer. model: the one asked for, if one was.
    again: options that the resume command has to repeat.
    name: the run that is gone on with, where it is not a new one.
    shows: the result is the text of one call and is shown as it is written.
    seconds: the deadline, for a program that keeps the scheduler from seeing it.
    person: who is asked, if somebody is there.
    forecast: what a dry run said that it would take.
    partial: what a run that ended without a result can tell all the same. ended: told of its end.
    traces: what led to the result is printed with it, where a program tells it.
    follows: the engine's pieces are counted, for a live rate (they cost a server's client time).
    """

    computer: Computer
    begin: Callable[[Computer, bool], Run]
    run_dir: Place
    model: str | None = None
    again: tuple[str, ...] = ()
    shows: bool = False
    traces: bool = False
    follows: bool = False
    as_json: bool = False
    replay: bool = False
    name: str | None = None
    seconds: float | None = None
    forecast: Any = None
    person: TerminalPerson | None = None
    partial: Callable[[Run], Any] | None = None
    ended: Callable[[Run], None] | None = None


def carry_out(job: Job) -> int:
    """Run it, print its outcome, and give the exit code (errors before the run are raised)."""
    try:
        return _carry_out(job)
    except KeyboardInterrupt:
        step = "went on" if job.name else "began"
        _interrupted(job, f"as the run {step}; if there is one, nlpu runs lists it", job.name)
        interrupting.leave(Interrupted.exit_code)
        raise
    except NlpuError as error:
        if job.as_json and not is_paid():
            write_json(failure(type(error).__name__, said(error), job.name))
        raise


def _carry_out(job: Job) -> int:
    streamer, run, code = Streamer(shows=job.shows and not job.as_json), None, 1
    told = False
    with interrupting.Interrupts():
        try:
            with display(streamer.shows) as shown, Watchdog(job.seconds is not None) as watchdog:
                job.computer.begins = lambda run: _watched(job, run, watchdog)
                run = _begin(job, shown, streamer)
                cut = _attend(job, run, shown, streamer)
            try:
                _note_weaknesses(job.computer)
                code, told = _tell(job, run, cut or run.error, streamer), True
                if job.ended is not None:
                    job.ended(run)
            finally:  # telling may fail: stdout may be full, or a result unprintable
                if cut is not None:
                    interrupting.leave(code)  # rule 2
                _close(job.computer)
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


def _begin(job: Job, shown: Plain, streamer: Streamer) -> Run:
    shown.note("opening the processor ...")
    follows = streamer.shows or job.follows
    try:
        run = job.begin(job.computer, follows)
    except UnknownProcessor as error:
        raise Usage(str(error)) from None
    except MissingPart as error:
        if job.model is not None:
            raise Usage(str(error)) from None
        raise
    if streamer.shows:
        shown.note("waiting for the first words ...")
    if follows:
        streamer.start(run)
    return run


def _attend(job: Job, run: Run, shown: Plain, streamer: Streamer) -> NlpuError | None:
    """Wait for the run; why it was cut off, if it was."""
    overdue_s = inf if job.seconds is None else time.monotonic() + job.seconds + _OVERDUE_S
    try:
        while time.monotonic() < overdue_s:
            try:
                run.wait(_TICK_S)
                return None
            except TimeoutError:
                if job.person is not None:
                    job.person.attend(shown.aside)
                shown.update(run.counts, streamer.pieces)
    except KeyboardInterrupt:
        if not interrupting.stop(run):
            say("the program is busy in Python and was left behind")
        return Interrupted("interrupted")
    return _deadline(job.seconds or 0.0)


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
    more = "" if job.replay else f"{_resume_command(job, run.name, error)}\n"
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


# -- telling -----------------------------------------------------------------------------------


def _tell(job: Job, run: Run, error: BaseException | None, streamer: Streamer) -> int:
    receipt, cut = run.receipt, error
    try:
        body = _written(job, run, error)
    except Exception as failed:  # a result's own __str__ or serialiser may raise anything
        if error is not None:  # what there is of it, beside its error
            raise
        error = ProgramError(
            f"the run is done and kept, but its result cannot be printed: {described(failed)}; let "
            "the program return text, numbers, lists, dicts or pydantic models that can"
        )
        body = _written(job, run, error)
    if job.as_json:
        write_body(body)
    elif error is None:
        _print_result(run.result, body, streamer)
    else:
        streamer.abandon()
        if job.partial is not None:
            say(as_text(job.partial(run)))
    if run.divergence:
        say(f"note: {run.divergence}")
    if error is not None:
        tell_traceback(error)
        say_error(said(error))
    say(f"run {run.name}: {receipt}")
    compare(job.forecast, receipt)
    if cut is not None and not job.replay and not isinstance(cut, Usage):  # rule 1
        say(_resume_command(job, run.name, cut))
    if run.status == "needs_person":
        return NEEDS_PERSON
    return 0 if error is None else getattr(error, "exit_code", 1)


def _written(job: Job, run: Run, error: BaseException | None) -> str:
    """What goes to stdout."""
    if job.as_json:
        whole = _object(run, error, run.receipt, job.forecast)
        if error is not None and job.partial is not None:
            whole["partial"] = job.partial(run)
        return json_of(whole)
    if error is not None:
        return ""
    if job.traces and not hasattr(run.result, "trace"):
        say(f"note: this program tells no trace; its calls: nlpu show {run.name}")
        return as_text(run.result)
    return as_text(run.result.trace() if job.traces else run.result)


def _print_result(result: Any, text: str, streamer: Streamer) -> None:
    if streamer.shows and isinstance(result, str):
        streamer.finish(result)
    elif text:
        write(text if text.endswith("\n") else text + "\n")


def _object(run: Run, error: BaseException | None, receipt: Receipt, forecast: Any) -> Any:
    """The outcome as one object."""
    stopped = isinstance(error, Interrupted | DeadlineExceeded)
    unprintable = error is not None and run.status == "done"
    whole: dict[str, Any] = {
        "run_id": run.name,
        "status": "stopped" if stopped else "failed" if unprintable else run.status,
        "result": run.result if error is None else None,
        "receipt": receipt.model_dump(mode="json"),
    }
    if forecast is not None:
        whole["forecast"] = forecast
    if error is not None:
        whole["error"] = {"type": type(error).__name__, "message": said(error)}
    if run.divergence:
        whole["divergence"] = run.divergence
    return whole


def place_words(run_dir: Place) -> list[str]:
    """Options by which a command finds the runs that are there."""
    if run_dir == Settings().run_dir:
        return []
    return ["--run-dir" if isinstance(run_dir, Path) else "--store", str(run_dir)]


def _resume_command(job: Job, name: str, error: BaseException) -> str:
    """The command that goes on with the run, and what to change for it to get further."""
    words = ["nlpu", "resume", name, *job.again]
    words += place_words(job.run_dir)
    if isinstance(error, Diverged):
        words.append("--changed")
    more = " with a larger --nlops or --calls" if isinstance(error, BudgetExceeded) else ""
    return f"to resume it{more}: {shlex.join(words)}"
