"""The scheduler alone: no loop, no journal, no graph; what it is told, and what it answers.

``test_scheduler_pure_held`` has what budgets, faults and breakpoints hold back.
"""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from scheduler_kit import Table, count, kinds, texts

from nlpu.errors import (
    BadOperand,
    Cancelled,
    ConnectionLost,
    HostError,
    Malformed,
    Overloaded,
    ServerFault,
    TimedOut,
    Unreachable,
)
from nlpu.runtime import Budget
from nlpu.runtime.graph.node import Node
from nlpu.runtime.graph.stage import Stage
from nlpu.runtime.scheduler.budget import Amount
from nlpu.runtime.scheduler.events import Done, Dropped, Failed, Follows, Lost, RetryAfter, Shared
from nlpu.runtime.scheduler.queue import Attempt
from nlpu.tokens import CharTokenizer

# -- which are sent ------------------------------------------------------------------------------


def test_what_the_longest_path_waits_for_goes_first() -> None:
    table = Table(max_in_flight=1)
    table.ready("alone")
    first = table.ready("first")
    table.issue("last", table.issue("middle", first))
    (attempt,) = table.schedule()
    assert attempt.node is first
    # for the server
    assert attempt.request.priority == -first.call_rank == -3 * first.estimated_tokens
    assert table.schedule() == []  # there is no room
    assert table.counts.in_flight == table.counts.waiting == 1


def test_a_rank_that_rises_moves_a_call_that_is_queued() -> None:
    table = Table(max_in_flight=1)
    table.ready("busy")
    (busy,) = table.schedule()
    early, late = table.ready("early"), table.ready("late")
    assert table.schedule() == []
    table.issue("reader", late)
    assert table.schedule() == []
    table.update(busy, "x")
    assert texts(table.schedule()) == ["late"]
    assert early.work_stage is Stage.READY


def test_a_call_whose_prompt_cannot_be_made_fails_alone() -> None:
    """Whatever a tokenizer raises: what else is chosen with it is sent."""

    class Picky(CharTokenizer):
        def encode(self, text: str, special: bool = False) -> list[int]:
            if text == "odd":
                raise ValueError("no such token")
            return super().encode(text, special)

    table = Table(tokenizer=Picky())
    before, odd, after = (table.ready(text) for text in ("before", "odd", "after"))
    attempts = table.schedule()
    assert texts(attempts) == ["before", "after"]
    (failed,) = [event for event in table.told() if isinstance(event, Failed)]
    assert failed.node is odd and "ValueError: no such token" in str(failed.error)
    assert (failed.side, table.counts.waiting, table.counts.in_flight) == ("host", 0, 2)
    for attempt in attempts:
        table.update(attempt, "x")
    assert table.queue.attempts == {} and before.ready and after.ready


def test_the_same_story_gives_the_same_answers() -> None:
    def story() -> list[str]:
        table = Table()
        for text in "abcd":
            table.ready(text)
        said = []
        for outcome in ("A", ServerFault("no"), Overloaded("full"), "B"):
            said += [f"{attempt.request}" for attempt in table.schedule()]
            attempt = next(iter(table.queue.attempts.values()))
            said += [type(e).__name__ + str(getattr(e, "seconds", "")) for e in table.told()]
            said += [type(e).__name__ for e in table.update(attempt, outcome)]
        return said

    assert story() == story()


# -- equal calls -----------------------------------------------------------------------------------


def test_equal_calls_are_one_attempt_and_get_one_outcome() -> None:
    table = Table()
    leader, sharer = table.ready("a"), table.ready("a")
    (attempt,) = table.schedule()
    assert table.told() == [Shared(sharer), attempt]
    events = table.update(attempt, "said")
    assert kinds(events) == [Done, Follows]
    assert (leader._content, sharer._content) == ("said", "said")
    late = table.ready("a")
    assert table.told() == [Shared(late), Follows(leader, late)]
    assert (table.counts.calls, table.counts.shared) == (1, 2)


def test_after_a_failure_of_the_host_an_equal_call_is_another_try() -> None:
    table = Table()
    table.ready("a")
    (attempt,) = table.schedule()
    (attempted, failed) = (table.told(), table.update(attempt, HostError("broken")))
    assert attempted == [attempt] and kinds(failed) == [Lost, Failed]
    again = table.ready("a")
    assert [attempt.node for attempt in table.schedule()] == [again]


def test_after_a_failure_of_the_model_it_shares_that() -> None:
    table = Table()
    first, sharer = (table.ready("a", count.using(retries=0)) for _ in "12")
    (attempt,) = table.schedule()
    table.told()
    assert kinds(table.update(attempt, "many")) == [Failed, Follows]
    assert sharer._error is first._error is not None
    again = table.ready("a", count.using(retries=0))
    assert table.told() == [Shared(again), Follows(first, again)]
    assert isinstance(again._error, Malformed)


# -- cancelling ------------------------------------------------------------------------------------


def test_a_sharer_inherits_what_is_under_way() -> None:
    table = Table()
    leader, heir = table.ready("a"), table.ready("a")
    (attempt,) = table.schedule()
    table.told()
    assert table.cancel(leader) == []  # nothing is to be stopped
    assert attempt.node is heir and heir.work_stage is Stage.SENT
    assert (heir.call_cost.attempts, leader.call_cost.how) == (1, "shared")
    assert table.scheduler.leader(heir) is heir
    assert [event.node for event in table.update(attempt, "said")] == [heir]


def test_what_is_cancelled_under_way_is_stopped_and_paid_for() -> None:
    table = Table(budget=Budget(calls=5))
    node = table.ready("a")
    (attempt,) = table.schedule()
    table.told()
    assert table.cancel(node) == [Dropped(node, attempt)]
    assert table.update(attempt, "too late") == []
    assert (table.ledger.spent.calls, table.ledger.reserved.calls) == (1, 0)


def test_what_is_cancelled_before_it_began_costs_nothing() -> None:
    table = Table(budget=Budget(calls=5))
    node = table.ready("a")
    attempts = table.scheduler.schedule()
    table.scheduler.unsend(attempts)
    table.told()
    table.cancel(node)
    assert table.update(attempts[0], Cancelled("never sent")) == []
    assert (table.ledger.spent, table.ledger.reserved) == (Amount(0), Amount(0))
    assert table.counts.attempts == table.counts.in_flight == node.call_cost.attempts == 0


def test_a_queued_call_is_cancelled_and_never_sent() -> None:
    table = Table()
    node = table.ready("a")
    assert table.cancel(node) == [Dropped(node, None)]
    assert table.schedule() == []
    assert table.counts.waiting == 0


# -- whatever comes --------------------------------------------------------------------------------

OUTCOMES: list[Any] = [
    "fine",
    "",
    ServerFault("no"),
    Overloaded("full"),
    ConnectionLost("gone"),
    Unreachable("refused"),
    TimedOut("late"),
    BadOperand("odd"),
    HostError("broken"),
]
STEPS = st.one_of(
    st.tuples(st.just("call"), st.integers(0, 5)),
    st.tuples(st.just("schedule"), st.just(0)),
    st.tuples(st.just("outcome"), st.integers(0, 8)),
    st.tuples(st.just("retry"), st.integers(0, 3)),
    st.tuples(st.just("cancel"), st.integers(0, 9)),
)


@settings(max_examples=300, deadline=None)
@given(
    steps=st.lists(STEPS, max_size=40),
    calls=st.integers(0, 6),
    tokens=st.integers(0, 2_000),
    picks=st.randoms(use_true_random=False),
)
def test_no_order_of_things_overspends(
    steps: list[tuple[str, int]], calls: int, tokens: int, picks: Random
) -> None:
    table = Table(max_in_flight=3, budget=Budget(calls=calls, tokens=tokens))
    nodes: list[Node] = []
    waits: list[RetryAfter] = []
    flying: list[Attempt] = []

    def take() -> None:
        waits.extend(event for event in table.told() if isinstance(event, RetryAfter))
        spent, reserved = table.ledger.spent, table.ledger.reserved
        assert spent.calls + reserved.calls <= calls
        assert spent.tokens + reserved.tokens <= tokens
        assert table.counts.in_flight == len(flying) == len(table.queue.attempts) <= 3

    for what, which in steps:
        table.now += 1.0
        if what == "call":
            nodes.append(table.ready(f"{which}"))
        elif what == "schedule":
            flying += table.schedule()
        elif what == "outcome" and flying:
            attempt = flying.pop(picks.randrange(len(flying)))
            waits.extend(e for e in table.update(attempt, OUTCOMES[which]) if type(e) is RetryAfter)
        elif what == "retry" and waits:
            later = waits.pop(which % len(waits))
            table.scheduler.retry(later.node, later.queue)
        elif what == "cancel" and nodes:
            table.cancel(nodes[which % len(nodes)])
        take()
    while flying:
        table.update(flying.pop(), "fine")
    left = table.ledger.reserved
    assert (left.calls, left.tokens, round(left.nlops, 9)) == (0, 0, 0)
    assert table.counts.in_flight == 0
