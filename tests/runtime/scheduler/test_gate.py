"""Breakpoints: what is held, what passes, and that a held call costs nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from kit import PATIENCE_S, computer, echo, finish, shorten

from nlpu.runtime import Computer
from nlpu.runtime.scheduler.breakpoints import Gate


def two_chains() -> tuple[object, object]:
    left, right = echo("left"), shorten("right")
    return echo(shorten(left)), shorten(echo(right))


class Watched(Gate):
    """A gate whose changes a test can wait for."""

    def __init__(self, *ops: str, stopped: bool = False) -> None:
        self._changed = threading.Semaphore(0)
        super().__init__(ops, stopped=stopped, on_stop=self._changed.release)

    def until(self, *operands: str) -> None:
        """Wait until exactly the calls with these operands are held, in this order."""
        while [held.texts[0] for held in self.held()] != [*operands]:
            assert self._changed.acquire(timeout=PATIENCE_S), self.held()


@pytest.fixture
def machine() -> Iterator[Computer]:
    with computer(lambda seen: f"{seen.instruction[0].lower()}({seen.operands['text']})") as opened:
        yield opened


RESULT = ("r(s(r(left)))", "s(r(s(right)))")


def test_a_breakpoint_stops_its_op_and_what_comes_after_it(machine: Computer) -> None:
    gate = Watched("shorten")
    run = machine.start(two_chains, gate=gate)
    gate.until("right", "r(left)")  # the second was issued first but became ready later
    assert run.counts.attempts == 1, "echo('left') was sent before the machine stopped"
    gate.breakpoints.clear()
    gate.go()
    assert finish(run).result == RESULT
    assert gate.held() == []


def test_stepping_lets_one_call_pass_or_all_that_are_ready(machine: Computer) -> None:
    gate = Watched(stopped=True)
    run = machine.start(two_chains, gate=gate)
    gate.until("left", "right")
    assert run.counts.attempts == 0
    gate.step()
    gate.until("right", "r(left)")
    gate.step(None)
    gate.until("s(right)", "s(r(left))")
    assert run.counts.attempts == 3
    gate.go()
    assert finish(run).result == RESULT


def test_going_on_stops_at_the_next_call_of_a_broken_op(machine: Computer) -> None:
    gate = Watched("echo")
    run = machine.start(two_chains, gate=gate)
    gate.until("left", "right")
    gate.go()
    gate.until("s(right)", "s(r(left))")
    gate.go()
    assert finish(run).result == RESULT


def test_held_calls_are_stopped_with_their_run_and_cost_nothing(machine: Computer) -> None:
    gate = Watched(stopped=True)
    run = machine.start(two_chains, gate=gate)
    gate.until("left", "right")
    run.stop()
    assert run.status == "stopped"
    assert (run.receipt.attempts, gate.held()) == (0, [])


def test_what_is_asked_of_a_run_and_its_gate_when_all_is_closed_is_done_already() -> None:
    gate = Gate()
    with computer() as machine:
        run = finish(machine.start(lambda: echo("a"), gate=gate))
    run.stop()
    gate.step()
    gate.go()
    assert (run.status, gate.held(), gate.stopped) == ("done", [], False)


def test_a_gate_set_before_the_run_begins_lets_all_pass_when_told_so(machine: Computer) -> None:
    gate = Watched(stopped=True)
    gate.go()
    assert finish(machine.start(two_chains, gate=gate)).result == RESULT
