"""Faults of a processor: when to send again, when to wait, whom to suspect.

Theory of operation
-------------------
The scheduler is the only one that retries. The ``EndpointHealth`` of each processor tells it how.

    state     becomes   when
    UP        DOWN      nothing accepts connections, or the engine says it is dead
    DOWN      UP        an answer comes
    DOWN      (gives up)  it stays down longer than the processor's patience

While a server is DOWN one request at a time knocks, at growing intervals with full jitter; the
others wait in their queue. A call whose connection was lost shortly before its server was found
down *preceded a death*. It is a suspect and is next sent alone; after a second death it is
quarantined, and the calls that merely kept it company go through. Where a server is back before
anybody finds it down there is no death to count; a call that was lost twice is sent alone all the
same, so that it cannot take others with it for ever.

A server that is UP may have no room (``Overloaded``). That is no fault of the call: it waits, and
its queue sends less at once, until the server has answered nobody for as long as our patience.

Rules
1. Retries of one call are bounded by ``Limits.attempts``, those of all calls by a retry budget: a
   fifth of the calls answered, and twenty. Free of both are knocking on a dead server and being
   refused for want of room. Calls lost together go together: if the first can pay, the others may
   overdraw; a death pays back.
2. The wait before attempt n is uniform in [0, base * 2^n] (full jitter, after Brooker, "Exponential
   backoff and jitter", 2015), on top of what the server asked for.
3. Nothing here sleeps or sends; it only computes.
"""

from __future__ import annotations

from math import inf
from random import Random

from nlpu.errors import ConnectionLost, EngineDied, HostError, Overloaded, TimedOut, Unreachable
from nlpu.runtime.graph.node import Node

CAP_S = 15.0
_FREE_RETRIES = 20
_RETRY_SHARE = 0.2
DEATHS_ALLOWED = 1
_LET_IN = 3


class EndpointHealth:
    """What is known of one processor's server."""

    def __init__(self, random: Random, patience_s: float, backoff_s: float = 0.25) -> None:
        self._random = random
        self._patience_s = patience_s
        self._backoff_s = backoff_s
        self.down_since_s: float | None = None
        self.refused_since_s = inf  # for want of room, since the last answer; the queue notes it
        self.knocks = self.answered = self.retries = 0
        self.deaths: dict[int, int] = {}  # by node number, only for nodes that preceded one
        self._lost: set[int] = set()  # lost since the last answer; suspects if a death follows
        self._let_in: dict[int, int] = {}  # by node number: times it was let in and lost
        self._knocked: set[int] = set()  # by node number, since the last answer
        self._losses: dict[int, int] = {}  # by node number: lost connections
        self._lost_s = -inf  # when the first was lost since the last answer
        # Whether the newest fault is a loss that came with that one, and may be sent again.
        self._in_company = self._company_may = False

    @property
    def down(self) -> bool:
        """Whether only one request at a time should knock."""
        return self.down_since_s is not None

    def answer(self, sent_s: float = inf) -> None:
        """A reply: the server lives, unless it was on its way when the server died."""
        self.answered += 1
        self.refused_since_s = inf
        self._lives(sent_s)

    def _lives(self, sent_s: float) -> None:
        down_s = -inf if self.down_since_s is None else self.down_since_s
        noted_s = max(down_s, self._lost_s)
        if noted_s == -inf or sent_s <= noted_s:
            return  # nothing has been noted since it last did, or it was on its way then
        self.down_since_s = None
        self.knocks = 0
        self._lost_s = -inf
        self._lost.clear()
        self._let_in.clear()
        self._knocked.clear()

    def fault(self, node: Node, error: HostError, sent_s: float, now_s: float) -> None:
        """Note a failed attempt that was sent at ``sent_s``."""
        self._in_company = error.lost and sent_s <= self._lost_s
        if error.lost and self._lost_s == -inf:
            self._lost_s, self._company_may = now_s, self._can_pay()
        if error.lost and (self.down_since_s is None or sent_s <= self.down_since_s):
            if sent_s <= self._lost_s or not self.suspect(node):
                self._lost.add(
                    node.issue_seq
                )  # else it was sent to a server that was dying already
            self._losses[node.issue_seq] = self._losses.get(node.issue_seq, 0) + 1
        elif isinstance(error, ConnectionLost):
            self._let_in_and_lost(node)
        if isinstance(error, Unreachable | EngineDied):
            if self.down_since_s is None:
                self.down_since_s = now_s
                self.retries = max(
                    0, self.retries - len(self._lost - {node.issue_seq})
                )  # was no fault
            self._lost.update(self._let_in)  # they were let in, and nobody is any more
            self._let_in.clear()
        if self.down:
            self._knocked.add(node.issue_seq)
            for suspect in self._lost:
                self.deaths[suspect] = self.deaths.get(suspect, 0) + 1
            self._lost.clear()
        elif not error.lost and not isinstance(error, TimedOut):
            self._lives(sent_s)  # it answered, if only to refuse

    def _let_in_and_lost(self, node: Node) -> None:
        """A knock on a server that was down found it up and lost the connection all the same.

        It may have killed it again, or a proxy opens while the server is not up yet.
        """
        times = self._let_in[node.issue_seq] = self._let_in.get(node.issue_seq, 0) + 1
        if times >= _LET_IN and self.suspect(node):
            self._lost.add(node.issue_seq)

    def suspect(self, node: Node) -> bool:
        """Whether the node must be sent alone."""
        return bool(self._losses) and (
            node.issue_seq in self.deaths or self._losses.get(node.issue_seq, 0) > DEATHS_ALLOWED
        )

    def let_others_knock(self, node: Node) -> bool:
        """Whether the node knocked in vain already: what kills the server must not be the only
        one that knocks, or nobody would find it up."""
        return self.down and node.issue_seq in self._knocked

    def all_knocked(self) -> None:
        """Everybody had a turn: begin again."""
        self._knocked.clear()

    def quarantined(self, node: Node) -> bool:
        """Whether the node preceded too many deaths to be sent again."""
        return self.deaths.get(node.issue_seq, 0) > DEATHS_ALLOWED

    def given_up(self, now_s: float) -> bool:
        """Whether the server has been down, or without room, longer than our patience."""
        since_s = self.refused_since_s if self.down_since_s is None else self.down_since_s
        return now_s - since_s > self._patience_s

    def may_retry(self, error: HostError) -> bool:
        """Take one retry out of the budget, if it has one (rule 1)."""
        if self.down or isinstance(error, Unreachable | Overloaded):
            return True
        may = self._company_may if self._in_company else self._can_pay()
        self.retries += may
        return may

    def _can_pay(self) -> bool:
        return self.retries < _FREE_RETRIES + _RETRY_SHARE * self.answered

    def delay_s(self, attempts: int, error: HostError) -> float:
        """Seconds to wait before the next attempt (rule 2)."""
        if self.down:
            self.knocks += 1
            attempts = min(self.knocks, 6)
        wait = self._random.uniform(0, min(CAP_S, self._backoff_s * 2.0**attempts))
        return wait + min(error.retry_after_s or 0.0, self._patience_s)
