"""A server that dies and comes back: nothing is lost, and what kills it twice is quarantined."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from fault_kit import (
    HANG_S,
    LIMITS,
    Case,
    Servers,
    asked,
    each,
    execute,
    once,
    operand,
    servers,
    tell,
    wrong,
)

from benchmarks.fake_vllm.faults import Fault, Seen, script
from benchmarks.fake_vllm.gpu import Gpu
from nlpu import Limits
from nlpu import errors as e
from nlpu.engines.http.engine import HttpEngine
from nlpu.runtime import Computer, Run
from nlpu.runtime.kernel import Kernel
from nlpu.runtime.scheduler.retry import EndpointHealth

__all__ = ["servers"]  # a fixture


# -- a server that is killed and comes back ------------------------------------------------------


def restarts(servers: Servers, seed: int) -> None:
    """A server killed at a random moment, with many in flight; back a little later."""
    random = Random(seed)
    at, wide = random.randrange(80), random.choice([1, 8, 48])
    gone_s = random.choice([0.001, 0.02, 0.2])
    gpu = Gpu(slots=32, tokens_per_s=4000, prefill_per_s=1e7)
    plan = [None] * at + [f"restart:{gone_s}"]
    with servers.serve(script(plan), gpu=gpu) as server:
        run = execute(
            server.url,
            range(100),
            (tell,),
            stream=seed % 2 == 1,
            seed=seed,
            limits=replace(LIMITS, max_in_flight=wide, backoff_s=0.02),
        )
        assert run.status == "done", run.error
        assert wrong(run.result) == []
        assert max(asked(server).values()) <= 3
        assert run.receipt.attempts <= 100 + 2 * wide + 20


def test_a_server_killed_and_restarted_in_the_middle(servers: Servers) -> None:
    for seed in range(2):
        restarts(servers, seed)


@pytest.mark.slow
def test_a_server_killed_and_restarted_at_many_moments(servers: Servers) -> None:
    for seed in range(2, 26):
        restarts(servers, seed)


def poisoned(servers: Servers, seed: int, gone_s: float) -> tuple[e.NlpuError, int]:
    """One prompt kills the server whenever it arrives, and a supervisor starts it again.

    All other calls succeed. Gives the poison's error and the number of deaths.
    """
    random = Random(seed)
    items = [str(n) for n in range(40)]
    items.insert(random.randrange(40), "poison 77")

    def plan(seen: Seen) -> Fault | None:
        return Fault("restart", gone_s) if "poison" in operand(seen) else None

    gpu = Gpu(slots=16, tokens_per_s=1000, prefill_per_s=1e7)
    limits = replace(LIMITS, max_in_flight=random.choice([4, 16]))
    with servers.serve(plan, gpu=gpu) as server:
        run = execute(server.url, items, (tell,), seed=seed, stream=seed % 2 == 1, limits=limits)
        assert run.status == "done", run.error
        faults = wrong(run.result)
        assert faults == [run.result[tell, "poison 77"]]
        return faults[0], sum(seen.fault == "restart" for seen in server.seen)


def quarantined(servers: Servers, seed: int) -> None:
    error, deaths = poisoned(servers, seed, gone_s=Random(seed).choice([0.05, 0.3]))
    assert isinstance(error, e.Quarantined)
    assert "two deaths of the server" in str(error)
    assert 2 <= deaths <= 4  # more than two only where nobody saw that it was gone


def test_a_request_that_kills_the_server_is_quarantined(servers: Servers) -> None:
    for seed in range(2):
        quarantined(servers, seed)


@pytest.mark.slow
def test_a_request_that_kills_the_server_is_quarantined_wherever_it_is(servers: Servers) -> None:
    for seed in range(2, 26):
        quarantined(servers, seed)


@pytest.mark.parametrize("seed", [1, 2, pytest.param(3, marks=pytest.mark.slow)])
def test_a_server_back_before_anyone_sees_it_gone(seed: int, servers: Servers) -> None:
    """As one behind a balancer: its deaths look like cut connections, and take nobody along."""
    error, deaths = poisoned(servers, seed, gone_s=0.0001)
    assert isinstance(error, e.Quarantined | e.ConnectionLost)
    assert deaths <= LIMITS.attempts + 3  # knocks are free


def test_a_suspect_that_waits_for_the_others_costs_nothing(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is sent when they are back; until then the loop sleeps."""
    turns = Counter[str]()
    turn = Kernel.turn

    def counted(kernel: Kernel) -> None:
        turns["all"] += 1
        turn(kernel)

    def chains() -> list[Any]:
        return [tell(tell(str(n))) for n in range(100, 104)]

    monkeypatch.setattr(Kernel, "turn", counted)
    gpu = Gpu(slots=16, tokens_per_s=100, prefill_per_s=1e7)
    plan = script([None, None, None, "restart:0.1"])
    with servers.serve(plan, gpu=gpu, answer=lambda _: "word " * 30) as server:
        limits = replace(LIMITS, max_in_flight=6)
        with Computer(HttpEngine(server.url), limits=limits) as computer:
            suspects = computer.start(lambda: tell.map([str(n) for n in range(4)]))
            servers.call(server.until(lambda s: len(s.seen) == 4))
            others = computer.start(chains)  # on longer paths: sent before the suspects
            assert others.wait(HANG_S).status == suspects.wait(HANG_S).status == "done"
    assert turns["all"] < 300


LOSS, REFUSAL = e.ConnectionLost("lost"), e.Unreachable("refused")


def node(seq: int) -> Any:
    return SimpleNamespace(issue_seq=seq)


def test_what_is_sent_to_a_dying_server_is_not_to_blame() -> None:
    """The next suspect goes out a moment after the last was lost, and is lost as well."""
    health = EndpointHealth(Random(1), 60.0)
    for seq in (1, 2):
        health.fault(node(seq), LOSS, sent_s=0.0, now_s=1.0)
    health.fault(node(3), REFUSAL, sent_s=1.0, now_s=1.1)
    health.answer(sent_s=2.0)
    assert health.suspect(node(1)) and health.suspect(node(2)) and not health.suspect(node(3))
    health.fault(node(1), LOSS, sent_s=3.0, now_s=4.0)
    health.fault(node(2), LOSS, sent_s=4.001, now_s=4.002)
    health.fault(node(3), REFUSAL, sent_s=4.003, now_s=4.004)
    assert health.quarantined(node(1)) and not health.quarantined(node(2))


def test_a_reply_from_before_the_death_is_no_sign_of_life() -> None:
    health = EndpointHealth(Random(1), 60.0)
    health.fault(node(1), e.EngineDied("dead"), sent_s=1.0, now_s=2.0)
    health.answer(sent_s=1.5)
    assert health.down
    health.answer(sent_s=2.5)
    assert not health.down
    health.fault(node(2), LOSS, sent_s=3.0, now_s=4.0)
    health.answer(sent_s=3.5)
    health.fault(node(3), e.TimedOut("nothing"), sent_s=3.5, now_s=4.5)
    health.fault(node(4), REFUSAL, sent_s=4.6, now_s=4.6)
    assert health.suspect(node(2))


def test_knocking_takes_no_attempts(servers: Servers) -> None:
    """However often it knocked, a call has all its attempts when the server is back."""
    with servers.serve() as server:
        limits = Limits(attempts=2, patience_s=20, backoff_s=0.002)
        with Computer(HttpEngine(server.url), limits=limits) as computer:
            assert computer.processors
            servers.call(server.kill())
            run = computer.start(each, [7], (tell,))
            while run.counts.attempts < 6:
                pass
            server.plan = once(Case("500", ()))
            servers.call(server.listen())
            assert wrong(run.wait(HANG_S).result) == []
            assert len(server.seen) == 2


# -- a server that is a process of its own, and really dies --------------------------------------


class Supervisor:
    """Starts a server whenever it has ended, always at the same port."""

    def __init__(self, last: int = -1) -> None:
        self.started = 0
        self.open = True
        self.url = self._start(0, last)
        self.thread = threading.Thread(target=self._supervise)
        self.thread.start()

    def _start(self, port: int, last: int = -1) -> str:
        script_file = Path(__file__).parents[2] / "mortal_server.py"
        self.process = subprocess.Popen(
            [sys.executable, str(script_file), str(port), str(last)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.started += 1
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def _supervise(self) -> None:
        while self.process.wait() != 0 and self.open:
            self._close_pipes()
            self._start(int(self.url.rsplit(":", 1)[1]))

    def _close_pipes(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *_: object) -> None:
        self.open = False
        if self.process.stdin is not None:
            self.process.stdin.close()  # the sign to end
        self.thread.join(HANG_S)
        self._close_pipes()


def told(url: str, items: list[str]) -> Run:
    limits = Limits(timeout_s=20, patience_s=30, backoff_s=0.1, max_in_flight=8)
    return execute(url, items, (tell,), limits=limits, seconds=HANG_S)


@pytest.mark.slow
def test_a_process_that_a_prompt_kills_twice(servers: Servers) -> None:
    items = [str(n) for n in range(30)]
    with servers.serve(answer=None) as server:
        expected = told(server.url, items).result
    with Supervisor() as supervisor:
        run = told(supervisor.url, [*items[:9], "poison", *items[9:]])
        assert isinstance(run.result.pop((tell, "poison")), e.Quarantined)
        assert run.result == expected
        assert supervisor.started == 3


@pytest.mark.slow
@pytest.mark.parametrize("last", [0, 20, 33])
def test_a_process_killed_in_the_middle(last: int, servers: Servers) -> None:
    items = [str(n) for n in range(40)]
    with servers.serve(answer=None) as server:
        expected = told(server.url, items).result
    with Supervisor(last) as supervisor:
        run = told(supervisor.url, items)
        assert run.result == expected
        assert supervisor.started == 2
        assert run.receipt.attempts <= 40 + 2 * 8 + 20
