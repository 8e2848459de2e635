"""How a run is told of that has ended: its result on stdout, all else on stderr, an exit code.

With --json all of it is one object on stdout.
"""

from __future__ import annotations

from typing import Any

from nlpu.errors import DeadlineExceeded, Interrupted, ProgramError, Usage, described
from nlpu.runtime.handle import Run
from nlpu.runtime.observe.receipt import Receipt
from nlpu.runtime.terminal.output import (
    as_text,
    json_of,
    said,
    say,
    say_error,
    tell_traceback,
    write,
    write_body,
)
from nlpu.runtime.terminal.run.dry import compare
from nlpu.runtime.terminal.run.job import Job
from nlpu.runtime.terminal.run.streaming import Streamer

NEEDS_PERSON = 4


def tell(job: Job, run: Run, error: BaseException | None, streamer: Streamer) -> int:
    """Print what came of the run, and give the exit code."""
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
        say(job.resumption(run.name, cut))
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
