"""``nlpu show RUN --live``: what a run is doing now, seen from outside through its journal.

Theory of operation
-------------------
The journal of a run that another process executes is read again and again, each time only what is
new, and folded into a picture: totals, rates over the last seconds, a table of ops. The journal
does not hold everything at every moment, so:

    in flight       sent and not ended; one that waits for another attempt counts here
    waiting, path   as the scheduler last noted them, at most a second ago while calls end
                    ("pulse" rows; a run of less than a second has none)
    budget left     of the limits in the header, less what calls took and those in flight may take
    faults          calls that failed for good; retries: calls sent again

Rules
1. Nothing is written: the run does not know that it is watched.
2. Rates of a run that has ended are means over all its time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from rich.live import Live
from rich.text import Text

from nlpu.printing import columns, figure
from nlpu.runtime.graph.usage import Cost, amount_of, cost_of
from nlpu.runtime.scheduler.budget import TOKENS_PER_NLOP, Amount
from nlpu.runtime.terminal.output import console
from nlpu.runtime.terminal.show.archive import Record, followed
from nlpu.runtime.terminal.show.calltree import calls_of, sums_of
from nlpu.runtime.terminal.show.timeline import Timeline, timeline_of

_WINDOW_MS = 20_000
_PAUSE_S = 0.5
_REST = 4  # pauses are so many times as long as what was done: a run of 100,000 calls takes long
_COLUMNS = (
    "calls",
    "open",
    "failed",
    "retries",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "service_s",
)


@dataclass(frozen=True, slots=True)
class Picture:
    """A run at one moment. Rates are per second; None is what the journal does not say."""

    run: str
    status: str
    seconds: float
    in_flight: int
    waiting: int | None
    calls_per_s: float
    nlops_per_s: float
    tokens_in_per_s: float
    tokens_out_per_s: float
    cached_share: float
    path_tokens: int | None
    path_expected_tokens: int | None
    budget_left: dict[str, float]
    failed: int
    retries: int
    by_op: list[dict[str, Any]]


def picture_of(record: Record, date_s: float) -> Picture:
    """The run as it is at that date (seconds since 1970)."""
    running, timeline = record.status == "running", timeline_of(record)
    last_ms = max((flight.end_ms for flight in timeline.flights), default=0)
    now_ms = timeline.now_ms(date_s) if running else max(last_ms, int(record.seconds * 1000))
    window_ms = min(_WINDOW_MS, now_ms) if running else now_ms
    costs = _costs_since(record, timeline, now_ms - window_ms)
    per_s = 1000 / window_ms if window_ms else 0.0
    out = sum(cost.completion_tokens for cost in costs)
    sums = sums_of(calls_of(record))
    whole = sums[-1]
    pulse = record.past.pulse if running else None
    waiting, done, expected, _ = (None, None, None, 0) if pulse is None else pulse
    return Picture(
        run=record.name,
        status=record.status,
        seconds=now_ms / 1000,
        in_flight=len(record.past.under_way) if running else 0,
        waiting=waiting,
        calls_per_s=len(costs) * per_s,
        nlops_per_s=out / TOKENS_PER_NLOP * per_s,
        tokens_in_per_s=sum(cost.prompt_tokens for cost in costs) * per_s,
        tokens_out_per_s=out * per_s,
        cached_share=whole["cached_tokens"] / (whole["prompt_tokens"] or 1),
        path_tokens=done,
        path_expected_tokens=expected,
        budget_left=_left(record),
        failed=whole["failed"],
        retries=max(0, record.past.attempts - len(record.past.numbered) + len(record.past.taken)),
        by_op=sums,
    )


def _costs_since(record: Record, timeline: Timeline, since_ms: int) -> list[Cost]:
    return [
        cost_of(record.past.outcomes[flight.call.key].usage)
        for flight in timeline.flights
        if flight.ended in ("done", "failed") and flight.end_ms >= since_ms
    ]


def _left(record: Record) -> dict[str, float]:
    past = record.past
    took = [amount_of(cost_of(outcome.usage)) for outcome in past.paid]
    taken = [*took, *past.lost, *past.open]
    limits = past.header.get("budget", {})
    return {
        unit: max(0.0, limit - sum(getattr(amount, unit) for amount in taken))
        for unit in Amount._fields
        if (limit := limits.get(unit)) is not None
    }


def watch(record: Record) -> None:
    """Show the run until it ends; where stdout is no terminal, only how it ended."""

    out, took_s = console(), 0.0

    def pause() -> None:
        time.sleep(max(_PAUSE_S, _REST * took_s))

    with Live(console=out, auto_refresh=False, transient=True) as live:
        for now in followed(record, pause):
            began_s = time.monotonic()
            picture = _drawn(picture_of(now, time.time()), out.width)
            if out.is_terminal:
                live.update(picture, refresh=True)
            took_s = time.monotonic() - began_s
    out.print(picture)


def _drawn(picture: Picture, width: int) -> Text:

    rows = [["op", *(_TITLES.get(column, column) for column in _COLUMNS)]]
    rows += [[line["name"], *(figure(line[name]) for name in _COLUMNS)] for line in picture.by_op]
    table = columns(rows, right=range(1, len(_COLUMNS) + 1), most=width)
    return Text("\n".join([*lines_of(picture), *table]))


_TITLES = {
    "prompt_tokens": "tok in",
    "cached_tokens": "cached",
    "completion_tokens": "tok out",
    "service_s": "service s",
}


def lines_of(picture: Picture) -> list[str]:
    """The picture in words, but for its table."""
    waiting = "" if picture.waiting is None else f", {picture.waiting} waiting"
    lines = [
        f"run {picture.run}: {picture.status}, {picture.seconds:.1f} s",
        f"{picture.in_flight} calls in flight{waiting}; {picture.failed} failed, "
        f"{picture.retries} sent again",
        f"{picture.nlops_per_s:.2f} nlops/s, {picture.calls_per_s:.1f} calls/s; tokens/s: "
        f"{picture.tokens_in_per_s:.0f} in ({picture.cached_share:.0%} cached), "
        f"{picture.tokens_out_per_s:.0f} out",
    ]
    if picture.path_expected_tokens:
        done, expected = picture.path_tokens or 0, picture.path_expected_tokens
        filled = round(20 * done / expected)
        bar = "█" * filled + "░" * (20 - filled)
        lines.append(f"longest path {bar} {done:,} of about {expected:,} tokens")
    if picture.budget_left:
        left = (f"{figure(amount)} {unit}" for unit, amount in picture.budget_left.items())
        lines.append("budget left: " + ", ".join(left))
    return lines
