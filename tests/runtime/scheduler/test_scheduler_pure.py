"""The scheduler alone: no loop, no journal, no graph; what it is told, and what it answers."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from kit import echo, shorten

from nlpu import op
from nlpu.errors import (
    BadOperand,
    BudgetExceeded,
    Cancelled,
    ConnectionLost,
    HostError,
    Malformed,
    Overloaded,
    Quarantined,
    ServerFault,
    TimedOut,
    Unreachable,
)
from nlpu.label import USER
from nlpu.ops.op import Call, Op
from nlpu.processor import FREE, Limits, Processor, scripted_frame
from nlpu.prompt.codec import Codec
from nlpu.prompt.complaint import Invalid
from nlpu.prompt.convention import DEFAULT
from nlpu.runtime import Budget
from nlpu.runtime.graph.node import Node
from nlpu.runtime.graph.stage import Stage
from nlpu.runtime.graph.usage import Counts
from nlpu.runtime.scheduler.breakpoints import Gate
from nlpu.runtime.scheduler.budget import Amount, BudgetLedger
from nlpu.runtime.scheduler.events import (
    AskedAgain,
    AtBreakpoint,
    Done,
    Dropped,
    Failed,
    Follows,
    Lost,
    RetryAfter,
    Shared,
    StopRun,
)
from nlpu.runtime.scheduler.queue import Attempt
from nlpu.runtime.scheduler.run_calls import RunCalls
from nlpu.runtime.scheduler.scheduler import Scheduler
from nlpu.testing.scripted import Scripted
from nlpu.tokens import CharTokenizer, Tokenizer
from nlpu.wire import Capabilities, Reply, Usage

count = op("Count the words.", int, name="count")


class Table:
    """A scheduler, a run on it, and a hand that only settles nodes."""

    def __init__(
        self,
        max_in_flight: int = 2,
        budget: Budget | None = None,
        gate: Gate | None = None,
        tokenizer: Tokenizer | None = None,
    ) -> None:
        self.scheduler = Scheduler(Random(7))
        self.scheduler.default = "main"
        able = Capabilities("m", 10_000, max_in_flight, tokenizer="chars")
        codec = Codec(tokenizer or CharTokenizer(), scripted_frame())
        limits = Limits(attempts=3, timeout_s=10.0, patience_s=60.0)
        self.scheduler.add(Processor("main", Scripted(), able, codec, FREE, limits))
        (self.queue,) = self.scheduler.queues.values()
        self.ledger, self.counts = BudgetLedger(budget or Budget()), Counts()
        run = RunCalls(1, self.ledger, self.counts, DEFAULT, {}, gate)
        self.scheduler.runs[1] = run
        self.scope: Any = SimpleNamespace(
            run=SimpleNamespace(number=1),
            path="main",
            issued=0,
            label=USER,
            control=None,
            origin=None,
            going=True,
        )
        self.seq, self.now = 0, 0.0

    def issue(self, text: str, *reads: Node, op: Op[Any] = echo) -> Node:
        """A call that is not ready yet."""
        node = Node(self.scope, Call(op), reads or (text,))
        self.seq += 1
        node.issue_seq, node.operand_texts = self.seq, (text,)
        node.call_key = f"{op.name} {text}".encode()
        self.scheduler.issued(node)
        return node

    def ready(self, text: str, op: Op[Any] = echo) -> Node:
        """A call whose operands are there."""
        node = self.issue(text, op=op)
        self.scheduler.submit(node, self.now)
        return node

    def schedule(self) -> list[Attempt]:
        """What is to be sent, and is."""
        attempts = self.scheduler.schedule()
        self.scheduler.sent(attempts, self.now)
        for attempt in attempts:
            attempt.started = True
        return attempts

    def update(self, attempt: Attempt, outcome: Reply | BaseException | str) -> list[Any]:
        """What comes of an outcome; a text is a reply of that."""
        reply = Reply(outcome, "stop", Usage(5, 1)) if isinstance(outcome, str) else outcome
        self.scheduler.update(attempt, reply, self.now)
        return self.told()

    def told(self) -> list[Any]:
        """The events since, applied as far as the graph is concerned."""
        events = self.scheduler.take()
        for event in events:
            match event:
                case Done(node, decoded, _):
                    node.take_outcome(decoded.content, None, USER)
                case Failed(node, error, _):
                    node.take_outcome(None, error, USER)
                case Follows(leader, sharer) if sharer.work_stage is not Stage.SETTLED:
                    sharer.take_outcome(leader._content, leader._error, USER)
        return events

    def cancel(self, node: Node) -> list[Any]:
        """What comes of it that nothing needs a call any more."""
        self.scheduler.cancel(node)
        events = self.told()
        if node.work_stage is not Stage.SETTLED:
            node.take_outcome(None, Cancelled("not needed"), USER)
        return events


def texts(attempts: list[Attempt]) -> list[str]:
    texts = [attempt.node.operand_texts for attempt in attempts]
    return [each[0] for each in texts if each is not None]


def kinds(events: list[Any]) -> list[type]:
    return [type(event) for event in events]


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
