"""The records of a run: what its journal rows look like, and what they say of its former lives.

Theory of operation
-------------------
``writer`` writes a run's rows as things happen. When the run is resumed, those of its former lives
are folded into a ``Past``, where they are found by position and by key. Rows name things by small
numbers given on first use (ops, processors, texts, issues), so a call takes two short rows.

    run      header
    op       number, digest, name, text, result type
    on       number, identity of a processor
    issue    number, position, op, on, key, texts, most completion tokens, most tokens, most
             money, ms: the call is sent for the first time
    attempt  issue, ms: it is sent again
    lost     issue, completion tokens, tokens, money: an attempt gave no answer, and may have taken
             that
    again    issue, text, what is wrong with it, usage, most tokens, most money, ms: a reply that is
             no result is asked for again, at most for that. The usage is that of all its replies in
             this life, as is that of its outcome
    result   issue, text, usage, ms
    failure  issue, fault, message, side, usage, ms
    cancel   issue, whether an attempt was under way
    absent   position, fault, message: a call whose processor could not be opened
    taken    issue, position, op, on, key, texts, then as Outcome: from the run it was edited from
    shared   position, op, on, key, texts: it met an equal call made or under way
    lift     position, name, digest of the result
    pick     position, index, ...: which of several came first, and which had failed before it
    clock    position, what, content: what the program was told from outside
    mark     position, digest of the file that a session's line runs, mark: see ``own``
    intent   position, digest of the exact call, the call as text, approved: about to be driven
    effect   position, text: what the driver gave; its label, where that came with it
    undone   position, message: it failed; the label of what had come by then, as of an effect
    moved    position, "" or "^", digest: that intent is this position's from now on; ^: it is one
             of the run that this one was edited from
    pulse    calls waiting, tokens done and expected on the longest path, ms: for lookers-on
    resume   date, whether it may go other ways (--changed)
    end      status, text of the result, error, receipt

usage is [prompt tokens, completion tokens, service ms, queue ms, attempts, cached tokens, thinking
tokens, trimmed, money, replies asked for again, ms waited at the server], less the zeros at its
end. ms count from the start of the life.

Rules
1. Every row starts with its kind and the run's number.
2. Nothing outside this folder reads a row by the numbers of its fields: what others want of one has
   a name here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from nlpu.label import USER, Label, label_of
from nlpu.runtime.graph.usage import amount_of, cost_of
from nlpu.runtime.journal.store import Row
from nlpu.runtime.scheduler.budget import TOKENS_PER_NLOP, Amount


class PastOp(NamedTuple):
    """An op as a former life knew it."""

    digest: str
    name: str
    text: int
    result: str


class PastCall(NamedTuple):
    """A call issued at a position."""

    number: int
    position: str
    op: int
    identity: str
    key: str
    texts: list[int]
    most: Amount


Replies = tuple[tuple[int, str], ...]  # that were no results: texts, and what was wrong with each


class Outcome(NamedTuple):
    """How a call ended: a text, or a fault with its message and side (host | model | program)."""

    text: int
    usage: list[Any]
    fault: str = ""
    message: str = ""
    side: str = ""


class PastIntent(NamedTuple):
    """A driver's call that was about to be made: its result, or its failure, if it has one."""

    position: str
    approved: bool
    text: int = 0
    message: str = ""
    label: Label = USER  # that came with what it gave, or had come when it failed


class End(NamedTuple):
    """How a life ended: the number of its result's text, or its error's kind and message."""

    status: str
    text: int
    error: list[str] | None
    receipt: dict[str, Any]


class Progress(NamedTuple):
    """How a run was getting on: calls waiting, tokens of the longest path done and expected."""

    waiting: int
    done: int
    expected: int
    ms: int


@dataclass(slots=True)
class Past:
    """What the journal holds of a run's former lives."""

    calls: dict[str, PastCall] = field(default_factory=dict)  # by position
    outcomes: dict[str, Outcome] = field(default_factory=dict)  # by key
    under_way: dict[int, PastCall] = field(default_factory=dict)  # issued, no outcome, by number
    ops: dict[int, PastOp] = field(default_factory=dict)
    processors: dict[int, str] = field(default_factory=dict)
    lifts: dict[str, str] = field(default_factory=dict)  # position -> digest
    picks: dict[str, tuple[int, ...]] = field(default_factory=dict)  # winner, then failures
    clocks: dict[str, tuple[str, Any]] = field(default_factory=dict)
    marks: dict[str, tuple[str, str]] = field(default_factory=dict)  # of a session's lines
    intents: dict[str, PastIntent] = field(default_factory=dict)  # by digest of the exact call
    driven: dict[str, str] = field(default_factory=dict)  # position -> digest of its last intent
    inherited: set[str] = field(default_factory=set)  # digests of the ancestor's, used up
    header: dict[str, Any] = field(default_factory=dict)
    end: End | None = None
    lives: int = 1
    seconds: float = 0.0  # of those before this one, and of this one once it has ended
    life_ms: int = 0  # when this one last showed that it lives
    attempts: int = 0
    taken: set[str] = field(default_factory=set)  # keys of outcomes that another run paid for
    absent: dict[str, tuple[str, str]] = field(default_factory=dict)  # by position
    lost: list[Amount] = field(default_factory=list)  # attempts that were cancelled or killed
    pulse: Progress | None = None  # the last one of this life
    other_ways: bool = False  # a life tried a failure again, or took changes: positions may shift
    numbered: dict[int, PastCall] = field(default_factory=dict)  # those with rows of their own
    invalid: dict[str, Replies] = field(default_factory=dict)  # of calls without an outcome, by key
    wasted: dict[int, Amount] = field(default_factory=dict)  # what those took in this life

    @property
    def open(self) -> list[Amount]:
        """What the calls without an outcome took, or can take, in this life."""
        return [*(call.most for call in self.under_way.values()), *self.wasted.values()]

    @property
    def paid(self) -> list[Outcome]:
        """The outcomes of calls that this run made."""
        return [outcome for key, outcome in self.outcomes.items() if key not in self.taken]

    @property
    def finished(self) -> bool:
        """Whether a life of the run came to its end with a result."""
        return self.end is not None and self.end.status == "done"


def past_of(rows: Iterable[Row], *, keep_host_failures: bool = False) -> Past:
    """Fold a run's rows. Failures of the host count only where ``keep_host_failures`` is set."""
    past = Past()
    fold(past, rows)
    if not keep_host_failures:
        again = [key for key, outcome in past.outcomes.items() if outcome.side == "host"]
        for key in again:
            _sent_again(past, key)
            past.outcomes.pop(key, None)
    return past


class OddRow(Exception):
    """A row that cannot follow on those before it."""

    def __init__(self, row: Row) -> None:
        super().__init__(f"{row!r:.80}")
        self.row = row


def fold(past: Past, rows: Iterable[Row]) -> None:
    """Extend the past by further rows. Raises OddRow: whoever wrote them, no run did."""
    for row in rows:
        try:
            if (step := _FOLDS.get(row[0])) is not None:
                step(past, row)
            if row[0] in _TIMED:
                past.life_ms = row[-1]
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise OddRow(row) from error


def _call(past: Past, number: int, named: list[Any], most: Amount) -> PastCall:
    """Make a call of what its row names; its op has a row before it, as its processor has."""
    position, op, on, key, texts = named
    if op not in past.ops:
        raise KeyError(op)
    return PastCall(number, position, op, past.processors[on], key, texts=texts, most=most)


def _fold_issue(past: Past, row: Row) -> None:
    _, _, number, *named, completion, tokens, money, _ = row
    call = _call(past, number, named, Amount(1, completion / TOKENS_PER_NLOP, tokens, money))
    _sent_again(past, call.key)
    past.calls[call.position] = past.under_way[number] = past.numbered[number] = call
    past.absent.pop(call.position, None)
    past.attempts += 1


def _fold_shared(past: Past, row: Row) -> None:
    call = _call(past, 0, row[2:], Amount(0))
    past.calls[call.position] = call


def _fold_taken(past: Past, row: Row) -> None:
    _, _, number, *named = row
    call = _call(past, number, named[:5], Amount(0))
    past.calls[call.position] = past.numbered[number] = call
    past.outcomes[call.key] = Outcome(*named[5:])
    past.taken.add(call.key)


def _fold_attempt(past: Past, row: Row) -> None:
    call = past.under_way[row[2]] = past.numbered[row[2]]
    _sent_again(past, call.key)
    past.attempts += 1


def _fold_absent(past: Past, row: Row) -> None:
    past.absent[row[2]] = (row[3], row[4])
    past.other_ways = True


def _fold_lost(past: Past, row: Row) -> None:
    _, _, number, completion, tokens, money = row
    past.lost.append(Amount(1, completion / TOKENS_PER_NLOP, tokens, money))
    call = past.under_way[number]  # until it is sent again it takes nothing more
    past.under_way[number] = call._replace(most=Amount(0))


def _sent_again(past: Past, key: str) -> None:
    """What a failure of the host had taken stays spent when its call is sent once more."""
    outcome = past.outcomes.get(key)
    if outcome is not None and outcome.side == "host" and key not in past.taken:
        took = amount_of(cost_of(outcome.usage), answered=0)
        if took.calls:
            del past.outcomes[key]
            past.lost.append(took)


def _fold_again(past: Past, row: Row) -> None:
    _, _, number, text, why, usage, tokens, money, _ = row
    call = past.numbered[number]
    past.under_way.pop(number, None)
    past.numbered[number] = call._replace(most=call.most._replace(tokens=tokens, money=money))
    past.invalid[call.key] = (*past.invalid.get(call.key, ()), (text, why))
    past.wasted[number] = amount_of(cost_of(usage), answered=0)


def _fold_result(past: Past, row: Row) -> None:
    _ended(past, row[2])
    past.outcomes[past.numbered[row[2]].key] = Outcome(row[3], row[4])


def _fold_failure(past: Past, row: Row) -> None:
    _, _, number, fault, message, side, usage, _ = row
    _ended(past, number, final=side != "host")
    past.outcomes[past.numbered[number].key] = Outcome(0, usage, fault, message, side)
    past.other_ways |= side == "host"


def _ended(past: Past, number: int, *, final: bool = True) -> None:
    """A call has its outcome, whose usage is all that it took in this life."""
    past.under_way.pop(number, None)
    past.wasted.pop(number, None)
    if final:
        past.invalid.pop(past.numbered[number].key, None)


def _fold_cancel(past: Past, row: Row) -> None:
    call = past.under_way.pop(row[2], None)
    if call is not None and row[-1] is True:
        past.lost.append(call.most)
    if row[2] in past.wasted:
        past.lost.append(past.wasted.pop(row[2]))


def _fold_end(past: Past, row: Row) -> None:
    _, _, status, text, error, receipt = row
    past.end = End(status, text, error, receipt)
    past.seconds, past.life_ms = past.seconds + receipt["seconds"], 0


def _fold_resume(past: Past, row: Row) -> None:
    past.lives += 1
    past.seconds, past.life_ms = past.seconds + past.life_ms / 1000, 0
    past.other_ways |= row[-1] is True
    past.lost += past.open
    past.under_way.clear()
    past.wasted.clear()
    past.end = past.pulse = None


def _fold_moved(past: Past, row: Row) -> None:
    _, _, _, whose, digest = row
    if whose:
        past.inherited.add(digest)
    else:
        past.intents.pop(digest, None)


def _fold_intent(past: Past, row: Row) -> None:
    _, _, position, digest, _, approved = row
    past.intents[digest] = PastIntent(position, approved)
    past.driven[position] = digest


def _fold_driven(past: Past, row: Row) -> None:
    digest, kept = past.driven[row[2]], "text" if row[0] == "effect" else "message"
    label = label_of(row[4]) if len(row) > 4 else USER
    past.intents[digest] = past.intents[digest]._replace(label=label, **{kept: row[3]})
    past.other_ways |= row[0] == "undone"  # where it is harmless it is tried again


_TIMED = ("issue", "attempt", "again", "result", "failure")  # rows that end in ms of their life
_FOLDS: dict[str, Callable[[Past, Row], object]] = {
    "run": lambda past, row: past.header.update(row[2]),
    "op": lambda past, row: past.ops.__setitem__(row[2], PastOp(*row[3:])),
    "on": lambda past, row: past.processors.__setitem__(row[2], row[3]),
    "issue": _fold_issue,
    "shared": _fold_shared,
    "absent": _fold_absent,
    "taken": _fold_taken,
    "attempt": _fold_attempt,
    "lost": _fold_lost,
    "again": _fold_again,
    "result": _fold_result,
    "failure": _fold_failure,
    "cancel": _fold_cancel,
    "lift": lambda past, row: past.lifts.__setitem__(row[2], row[4]),
    "pick": lambda past, row: past.picks.__setitem__(row[2], tuple(row[3:])),
    "clock": lambda past, row: past.clocks.__setitem__(row[2], (row[3], row[4])),
    "mark": lambda past, row: past.marks.__setitem__(row[2], (row[3], row[4])),
    "pulse": lambda past, row: setattr(past, "pulse", Progress(*row[2:6])),
    "intent": _fold_intent,
    "effect": _fold_driven,
    "undone": _fold_driven,
    "moved": _fold_moved,
    "resume": _fold_resume,
    "end": _fold_end,
}
