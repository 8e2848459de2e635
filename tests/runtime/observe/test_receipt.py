"""The receipt: adds up to the journal, and its span, work and depth are those of the graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from journal_kit import Opened
from kit import count, echo, execute, merge, resumed, said, shorten, slow, yes
from pydantic import ValidationError

from nlpu import Limits, NlpuError, Price, Value
from nlpu.errors import ServerFault
from nlpu.runtime import Receipt, Run, spawn
from nlpu.runtime.graph.usage import Cost, cost_of
from nlpu.runtime.handle import state_of
from nlpu.testing.scripted import Say, Scripted, Seen
from nlpu.wire import COUNTS, Reply, Request, Usage

SECONDS = {"a": 2.0, "b": 5.0, "c": 1.0}


def timed(seen: Seen) -> Say:
    """Ten tokens a second; a, b and c take 2, 5 and 1 seconds, all else 1."""
    text = next(iter(seen.operands.values()))
    seconds = SECONDS.get(text[0], 1.0)
    return Say(said(seen), tokens=int(seconds * 10), seconds=seconds)


def timed_run(program: Any, **settings: Any) -> Receipt:
    run = execute(program, engine=Scripted(timed), **settings)
    assert run.status == "done", run.error
    return run.receipt


def shape(receipt: Receipt) -> tuple[float, float, int, float]:
    assert receipt.work_tokens == receipt.work_s * 10
    assert receipt.span_tokens == receipt.span_s * 10
    return receipt.work_s, receipt.span_s, receipt.depth, receipt.seconds


# -- sums ----------------------------------------------------------------------------------------


def busy() -> Any:
    failing = count("b")
    parts = echo.map(["a", "b", "c", "a"])
    inner = spawn(lambda: shorten("inner"))
    try:
        int(failing)
    except NlpuError:
        return echo.reduce(parts), inner


def troubled(seen: Seen) -> Any:
    troubled_calls.append(seen)
    if len(troubled_calls) in (2, 5):
        return ServerFault("hiccup")
    return timed(seen)


troubled_calls: list[Seen] = []


def busy_run(run_dir: Path) -> Run:
    troubled_calls.clear()
    price = {"main": Price(prompt=10.0, cached=1.0, completion=100.0)}
    run = execute(busy, engine=Scripted(troubled), run_dir=run_dir, prices=price)
    assert run.status == "done", run.error
    return run


PART_SUMS = (
    "calls",
    "attempts",
    "nlops",
    "wasted_nlops",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "thinking_tokens",
    "money",
    "asked_again",
)


def test_parts_add_up_to_totals(tmp_path: Path) -> None:
    receipt = busy_run(tmp_path).receipt
    for parts in (receipt.by_op, receipt.by_part):
        for name in PART_SUMS:
            total = sum(getattr(part, name) for part in parts)
            assert total == pytest.approx(getattr(receipt, name)), name
        assert sum(part.service_s for part in parts) == pytest.approx(receipt.work_s)
    assert {part.name for part in receipt.by_op} == {"count", "echo", "shorten"}


def test_it_adds_up_to_the_journal(tmp_path: Path) -> None:
    run = busy_run(tmp_path)
    journal = Opened(next(tmp_path.glob("*.db")), read_only=True)
    journal.close()
    rows = journal.rows
    receipt = run.receipt
    costs = [cost_of(row[4]) for row in rows if row[0] == "result"]
    costs += [cost_of(row[6]) for row in rows if row[0] == "failure"]
    assert receipt.calls == len(costs)
    attempts = sum(1 for row in rows if row[0] in ("issue", "attempt"))
    assert receipt.attempts == attempts == receipt.calls + 2
    assert receipt.prompt_tokens == sum(cost.prompt_tokens for cost in costs)
    assert receipt.completion_tokens == sum(cost.completion_tokens for cost in costs)
    assert receipt.money == pytest.approx(sum(cost.money for cost in costs))
    assert receipt.work_s == pytest.approx(sum(cost.service_s for cost in costs), abs=0.01)
    assert receipt.shared == sum(1 for row in rows if row[0] == "shared")
    ended = rows[-1]
    assert (ended[0], ended[2]) == ("end", "done")
    assert Receipt(**ended[5]) == receipt


def test_it_adds_up_to_what_the_engine_counted(tmp_path: Path) -> None:
    engine = Scripted(lambda seen: Say(said(seen), cached_tokens=3))
    receipt = execute(lambda: echo.map(["a", "bb", "ccd"]), engine=engine).receipt
    assert receipt.prompt_tokens == sum(len(seen.request.prompt) for seen in engine.seen)
    assert (receipt.cached_tokens, receipt.completion_tokens, receipt.nlops) == (9, 3, 0.03)


@pytest.mark.parametrize("name", COUNTS)
def test_each_count_of_a_reply_reaches_row_and_receipt(name: str, tmp_path: Path) -> None:
    """So a count that is new in ``Usage`` needs an engine that tells it and a receipt's line."""

    class Counting(Scripted):
        async def send(self, request: Request, on_text: Any = None) -> Reply:
            reply = await super().send(request, on_text)
            return reply._replace(usage=Usage(**dict.fromkeys(COUNTS, 0) | {name: 7}))

    run = execute(lambda: echo.map(["a", "b"]), engine=Counting("yes"), run_dir=tmp_path)
    assert [getattr(run.receipt, each) for each in COUNTS] == [
        14 * (each == name) for each in COUNTS
    ]
    assert getattr(run.receipt.by_op[0], name) == getattr(run.receipt.by_part[0], name) == 14
    met = resumed(tmp_path, run, lambda: echo.map(["a", "b"]), replay=True)
    assert [node.call_cost for node in state_of(met).root.subtree() if node.call_cost] == [
        Cost(**{name: 7}, attempts=1, how="reused")
    ] * 2


def test_a_resumed_run_counts_what_it_made_and_what_it_met(tmp_path: Path) -> None:
    run = busy_run(tmp_path)
    again = resumed(tmp_path, run, busy, replay=True).receipt
    before = run.receipt
    assert (again.calls, again.attempts, again.nlops, again.money) == (0, 0, 0, 0)
    assert again.reused == before.calls
    assert again.work_tokens == before.work_tokens
    assert (again.span_s, again.depth) == (pytest.approx(before.span_s), before.depth)


def test_wasted_and_trimmed_are_counted() -> None:
    def program() -> Any:
        cut = echo.using(at_limit="trim", max_tokens=3)("x")
        try:
            int(count("y"))
        except NlpuError:
            return cut

    receipt = execute(program, engine={"many": "several words", "Repeat": "One. Two three"}).receipt
    assert (receipt.trimmed, receipt.failed) == (1, 1)
    assert receipt.nlops == pytest.approx(0.03 + 2 * 0.02)  # "several words" is asked again once
    assert (receipt.wasted_nlops, receipt.asked_again) == (2 * 0.02, 1)
    assert "1 cut at their limit; 1 asked again; 1 failed" in str(receipt)


def test_money() -> None:
    price = Price(prompt=2.0, cached=1.0, completion=10.0)
    assert price.of(1_000_000, 500_000, 100_000) == pytest.approx(1.0 + 0.5 + 1.0)
    engine = Scripted(Say("x" + " x" * 49, cached_tokens=20))
    run = execute(lambda: echo("x"), engine=engine, prices={"main": price})
    fresh = len(engine.seen[0].request.prompt) - 20
    assert run.receipt.money == pytest.approx((fresh * 2 + 20 * 1 + 50 * 10) / 1e6)


def test_queue_and_service_are_apart() -> None:
    receipt = timed_run(lambda: echo.map(["c1", "c2", "c3"]), limits=Limits(max_in_flight=1))
    assert (receipt.queue_s, receipt.work_s, receipt.seconds) == (0 + 1 + 2, 3.0, 3.0)


def test_the_lower_bound_rests_on_the_processors_figures() -> None:
    limits = Limits(max_in_flight=1, unloaded_s_per_token=0.05, saturated_tokens_per_s=10.0)
    receipt = timed_run(lambda: merge(echo("a"), echo("b")), limits=limits)
    assert receipt.lower_bound_s == max(70 * 0.05, 90 / 10.0) == 9.0
    assert receipt.bound_ratio == 1.0
    assert timed_run(lambda: echo("a")).lower_bound_s is None


def test_forced_waits_name_file_and_line() -> None:
    def program() -> Any:
        for text in ("a", "b"):
            str(echo(text))  # here
        done: Value[str] = shorten("c")
        str(done), str(done)  # the second time it is there

    forced = timed_run(program).forced
    assert [(wait.times, wait.seconds) for wait in forced] == [(2, 7.0), (1, 1.0)]
    source = Path(__file__).read_text().splitlines()
    here = next(n for n, line in enumerate(source, start=1) if line.endswith("# here"))
    assert [wait.line for wait in forced] == [
        f"test_receipt.py:{here}",
        f"test_receipt.py:{here + 2}",
    ]


def test_awaited_values_are_forced_waits_too() -> None:
    async def program() -> Any:
        return await echo("a")

    (wait,) = timed_run(program).forced
    assert (wait.line.split(":")[0], wait.times, wait.seconds) == ("test_receipt.py", 1, 2.0)


def test_a_receipt_is_frozen_and_prints_as_one_line() -> None:
    receipt = timed_run(lambda: echo.map(["a", "b"]))
    with pytest.raises(ValidationError):
        receipt.calls = 3
    assert "\n" not in str(receipt)
    assert str(receipt).startswith("2 calls, 0.7 nlops, depth 1; ")
    assert str(receipt).endswith(" 5 s, parallelism 1.4")
    assert Receipt.model_validate_json(receipt.model_dump_json()) == receipt


# -- the graph -----------------------------------------------------------------------------------


def test_the_graph_has_it_as_attributes() -> None:
    def program() -> Any:
        if yes(echo("a")):
            return shorten.map(["b", "c"])
        return None

    answer = slow(1.0)
    run = execute(
        program,
        engine=Scripted(lambda s: Say("yes", 3, 1.0) if "so?" in s.instruction else answer(s)),
    )
    graph = run.graph
    calls = {p: facts for p, facts in graph.nodes(data=True) if facts["kind"] == "call"}
    assert [facts["op"] for facts in calls.values()] == ["echo", "yes", "shorten", "shorten"]
    assert (
        calls["main/1"]
        | {
            "completion_tokens": 3,
            "depth": 2,
            "state": "done",
            "label": "user",
            "attempts": 1,
            "how": "made",
        }
        == calls["main/1"]
    )
    kinds = {(a, b): facts["kind"] for a, b, facts in graph.edges(data=True)}
    assert kinds["main/0", "main/1"] == "data"
    assert kinds["main/1", "main/2"] == kinds["main/1", "main/2/0"] == "control"
    assert kinds["main/2/1", "main/2"] == "data"
    assert max(facts["path_s"] for facts in calls.values()) == run.receipt.span_s == 3.0


def test_the_table_has_a_row_for_each_op() -> None:
    run = execute(lambda: [echo("a"), shorten(echo("b"))])
    line, head, *rows = run.receipt.table().splitlines()
    assert line == str(run.receipt)
    assert head.split()[:2] == ["op", "calls"]
    assert [row.split()[:2] for row in rows] == [["echo", "2"], ["shorten", "1"]]


def test_large_figures_are_written_out() -> None:
    line = str(
        execute(lambda: echo("x")).receipt.model_copy(update={"nlops": 8180.4, "seconds": 1e6})
    )
    assert "8,180 nlops" in line and "1,000,000 s" in line
