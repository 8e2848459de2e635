"""The scheduler alone: what budgets, faults and breakpoints hold back, and what goes on later."""

from __future__ import annotations

from typing import Any

from kit import shorten
from scheduler_kit import Table, count, kinds, texts

from nlpu.errors import (
    BudgetExceeded,
    ConnectionLost,
    Overloaded,
    Quarantined,
    ServerFault,
    TimedOut,
    Unreachable,
)
from nlpu.prompt.complaint import Invalid
from nlpu.runtime import Budget
from nlpu.runtime.graph.stage import Stage
from nlpu.runtime.scheduler.breakpoints import Gate
from nlpu.runtime.scheduler.events import (
    AskedAgain,
    AtBreakpoint,
    Failed,
    Lost,
    RetryAfter,
    StopRun,
)

# -- budgets ---------------------------------------------------------------------------------------


def test_what_the_budget_refuses_is_tried_when_something_settles() -> None:
    table = Table(max_in_flight=8, budget=Budget(calls=3))
    for text in "abcd":
        table.ready(text)
    attempts = table.schedule()
    assert texts(attempts) == ["a", "b", "c"]
    assert table.told() == attempts  # none of them has to stop the run
    table.scheduler.due = False
    table.update(attempts[0], Overloaded("full"))
    assert table.scheduler.due
    assert texts(table.schedule()) == ["d"]
    assert StopRun not in kinds(table.told())


def test_a_call_that_never_fits_stops_the_run() -> None:
    table = Table(budget=Budget(calls=1))
    table.ready("a")
    (attempt,) = table.schedule()
    table.update(attempt, "x")
    refused = table.ready("b")
    assert table.schedule() == []
    ((node, error),) = table.told()
    assert node is refused and isinstance(error, BudgetExceeded)


def test_where_the_one_that_is_tried_is_cancelled_the_next_is() -> None:
    table = Table(max_in_flight=8, budget=Budget(calls=1))
    table.ready("a")
    (attempt,) = table.schedule()
    tried, after = table.ready("b"), table.ready("c")
    assert table.schedule() == []
    table.update(attempt, Overloaded("full"))  # it took nothing
    table.cancel(tried)
    assert [attempt.node for attempt in table.schedule()] == [after]


def test_what_settles_lets_as_many_go_as_fit() -> None:
    table = Table(max_in_flight=8)
    for text in ("x" * 600, "a"):
        table.ready(text)
    big, small = (attempt.most.tokens for attempt in table.schedule())
    table = Table(max_in_flight=8, budget=Budget(tokens=big + small - 1))
    table.ready("x" * 600)
    (attempt,) = table.schedule()
    table.ready("b"), table.ready("c")
    assert table.schedule() == []
    table.update(attempt, "short")
    assert texts(table.schedule()) == ["b", "c"]


# -- faults ----------------------------------------------------------------------------------------


def test_a_fault_backs_off_and_the_last_is_final() -> None:
    table = Table(budget=Budget(calls=9))
    node = table.ready("a")
    for n in (1, 2):
        (attempt,) = table.schedule()
        table.told()
        lost, later = table.update(attempt, ServerFault("no"))
        assert isinstance(lost, Lost) and isinstance(later, RetryAfter)
        assert 0 <= later.seconds <= 0.25 * 2**n
        table.issue(f"reader {n}", *[node] * n)
        assert table.schedule() == []  # it waits, whoever waits for it
        table.scheduler.retry(later.node, later.queue)
    (attempt,) = table.schedule()
    table.told()
    assert kinds(table.update(attempt, ServerFault("no"))) == [Lost, Failed]
    assert isinstance(node._error, ServerFault)
    assert table.ledger.spent.calls == 3  # each may have generated


def test_a_refusal_is_no_attempt_of_those_that_it_may_have() -> None:
    table = Table()
    table.ready("a")
    for _ in range(5):
        (attempt,) = table.schedule()
        table.told()
        (later,) = table.update(attempt, Overloaded("full"))
        assert isinstance(later, RetryAfter)
        table.scheduler.retry(later.node, later.queue)


def test_what_was_in_flight_at_two_deaths_is_quarantined_and_its_company_goes_on() -> None:
    table = Table()
    poison, good = table.ready("poison"), table.ready("good")

    def back(events: list[Any]) -> None:
        for event in events:
            if isinstance(event, RetryAfter):
                table.scheduler.retry(event.node, event.queue)

    for _ in range(40):
        if poison.work_stage is good.work_stage is Stage.SETTLED:
            break
        table.now += 1.0
        together = table.schedule()
        table.told()
        dies = any(attempt.node is poison for attempt in together)
        assert len(together) == 1 or not (dies and table.queue.health.suspect(poison))
        for attempt in together:
            back(table.update(attempt, ConnectionLost("gone") if dies else "fine"))
        if dies:  # whoever is next finds it down
            table.now += 1.0
            for attempt in table.schedule():
                table.told()
                back(table.update(attempt, Unreachable("refused")))
    assert isinstance(poison._error, Quarantined)
    assert good._content == "fine"


def test_a_server_without_room_gets_half() -> None:
    table = Table(max_in_flight=8)
    for n in range(12):
        table.ready(f"{n}")
    attempts = table.schedule()
    assert len(attempts) == 8
    table.told()
    (later,) = table.update(attempts[0], Overloaded("full"))
    assert isinstance(later, RetryAfter)  # it is no fault of the call's, and costs nothing
    for attempt in attempts[1:6]:
        table.update(attempt, "x")
    assert len(table.schedule()) == 1  # of four: two under way, one that backs off


def test_what_takes_too_long_is_told_by_time_alone() -> None:
    table = Table()
    table.ready("a")
    (first,) = table.schedule()
    table.now = 4.0
    table.ready("b")
    (second,) = table.schedule()
    assert table.queue.expired(9.9) == ([], 10.0)
    assert table.queue.expired(10.0) == ([first], 14.0)
    assert table.queue.expired(14.0) == ([first, second], None)
    table.now = 10.0
    table.told()
    assert kinds(table.update(first, TimedOut("no answer"))) == [Lost, RetryAfter]


# -- asking again ----------------------------------------------------------------------------------


def test_a_reply_that_is_no_result_is_asked_again_with_what_is_wrong() -> None:
    table = Table()
    node = table.ready("some words", count.using(retries=1))
    (attempt,) = table.schedule()
    table.told()
    (again,) = table.update(attempt, "many")
    assert isinstance(again, AskedAgain) and again.invalid.text == "many"
    assert node.work_stage is Stage.READY
    (second,) = table.schedule()
    table.told()
    assert len(second.request.prompt) > len(attempt.request.prompt)
    (failed,) = table.update(second, "lots")
    assert "it was asked 2 times" in str(failed.error)
    assert failed.side == "model"


def test_what_was_answered_in_a_former_life_counts() -> None:
    table = Table()
    op = count.using(retries=1)
    node = table.issue("some words", op=op)
    table.scheduler.submit(node, 0.0, (Invalid("many", "it is not a whole number"),))
    (attempt,) = table.schedule()
    table.told()
    assert kinds(table.update(attempt, "lots")) == [Failed]


# -- breakpoints -----------------------------------------------------------------------------------


def test_a_breakpoint_holds_without_cost_and_is_told_once() -> None:
    gate = Gate(["shorten"])
    table = Table(max_in_flight=8, gate=gate)
    gate.attach(lambda step: step(), lambda nodes: [*map(table.scheduler.push, nodes)])
    table.ready("before")
    held, after = table.ready("at", shorten), table.ready("after")
    assert texts(table.schedule()) == ["before"]
    assert [e for e in table.told() if isinstance(e, AtBreakpoint)] == [AtBreakpoint(gate)] * 2
    assert table.counts.waiting == 2
    gate.step()
    assert [attempt.node for attempt in table.schedule()] == [held]
    gate.go()
    assert [attempt.node for attempt in table.schedule()] == [after]
    assert AtBreakpoint not in kinds(table.told())


def test_what_has_passed_once_is_not_held_when_it_is_tried_again() -> None:
    gate = Gate()
    table = Table(gate=gate)
    node = table.ready("a")
    (attempt,) = table.schedule()
    table.told()
    _, later = table.update(attempt, ServerFault("no"))
    gate.breakpoints.add("echo")
    table.scheduler.retry(later.node, later.queue)
    table.ready("b")
    assert [attempt.node for attempt in table.schedule()] == [node]
