"""One owner of retries: a failing server is not flooded, also where its faults are mixed."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from fault_kit import CASES, LIMITS, Case, Servers, execute, servers, tell, tokenizer, wrong

from benchmarks.fake_vllm.faults import Plan, mix
from nlpu import Limits
from nlpu import errors as e
from nlpu.runtime.scheduler.retry import EndpointHealth

__all__ = ["servers", "tokenizer"]  # fixtures


@pytest.mark.parametrize("calls", [200, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["500", "reset"])
def test_a_server_that_always_fails_is_not_flooded(calls: int, kind: str, servers: Servers) -> None:
    """Not one call is answered: one attempt each, and the free ones."""
    (case,) = (case for case in CASES if case.spec == kind)
    with servers.serve(lambda _: kind) as server:
        run = execute(server.url, range(calls), (tell,), limits=replace(LIMITS, max_in_flight=16))
        faults = wrong(run.result)
        assert len(faults) == calls
        assert all(case.names(fault) for fault in faults)
        lost_together = 15 if kind == "reset" else 0
        assert len(server.seen) == run.receipt.attempts <= calls + 20 + lost_together


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_retries_have_a_budget_whatever_the_share_of_faults(share: float, servers: Servers) -> None:
    with servers.serve(mix(3, {"500": share / 2, "reset": share / 2})) as server:
        run = execute(server.url, range(150), (tell,), limits=replace(LIMITS, max_in_flight=16))
        faults = wrong(run.result)
        assert len(server.seen) == run.receipt.attempts <= 150 * 1.2 + 20 + 15
        assert {type(fault) for fault in faults} <= {e.ServerFault, e.ConnectionLost}


def test_waits_are_spread_evenly_over_all_of_their_range() -> None:
    """Full jitter: for every seed and attempt the wait is uniform, from nothing to its bound."""
    n = 1000
    for seed in range(20):
        for attempts in range(1, 9):
            health = EndpointHealth(Random(seed), patience_s=60.0, backoff_s=0.25)
            bound = min(15.0, 0.25 * 2**attempts)
            waits = sorted(health.delay_s(attempts, e.ServerFault("")) / bound for _ in range(n))
            distance = max(abs(wait - k / n) for k, wait in enumerate(waits))
            assert distance < 2.2 / math.sqrt(n)  # Kolmogorov: one in 10,000 is above
            busy = e.Overloaded("", retry_after_s=5.0)
            waits = sorted(health.delay_s(attempts, busy) - 5 for _ in range(n))
            assert min(waits) >= 0 and max(waits) > 0.9 * bound


def test_a_crowd_that_is_told_to_wait_does_not_come_back_as_one(servers: Servers) -> None:
    plan: Plan = lambda seen: "429:0.2" if seen.occurrence == 0 else None  # noqa: E731
    with servers.serve(plan) as server:
        limits = replace(LIMITS, max_in_flight=32, backoff_s=0.2)
        run = execute(server.url, range(20), (tell,), limits=limits)
        assert wrong(run.result) == []
        first = {seen.prompt_hash: seen.at for seen in server.seen[:20]}
        waits = [seen.at - first[seen.prompt_hash] for seen in server.seen[20:]]
        assert min(waits) >= 0.19
        assert max(waits) - min(waits) > 0.15  # of 0.4


MIXED = {
    "429:0.05": 0.015,
    "503": 0.01,
    "500": 0.01,
    "reset": 0.01,
    "cut": 0.01,
    "cut_politely": 0.005,
    "error_chunk": 0.005,
    "broken_json": 0.005,
    "null": 0.005,
    "no_answer": 0.004,
    "slow:0.05": 0.005,
    "empty": 0.003,
    "length": 0.003,
    "repeat": 0.003,
    "too_long": 0.003,
    "schema": 0.003,
    "restart:0.05": 0.0006,
    "engine_dead:0.05": 0.0004,
}


def mixed(servers: Servers, calls: int, tokenizer: str, run_dir: Path) -> None:
    limits = Limits(timeout_s=1.0, patience_s=20.0, backoff_s=0.02, max_in_flight=32)
    with servers.serve(mix(11, MIXED), tokenizer=tokenizer) as server:
        run = execute(server.url, range(calls // 4), limits=limits, run_dir=run_dir, seconds=150.0)
        assert run.status == "done", run.error
        faults = wrong(run.result)
        named = {pair for case in CASES for pair in case.errors}
        any_case = Case("", (*named, (e.TimedOut, "no answer within 1 s")))
        assert [repr(fault) for fault in faults if not any_case.names(fault)] == []
        assert len(faults) <= 0.04 * calls
        met = sum(seen.fault != "" for seen in server.seen)
        assert 0.08 * calls < met
        assert run.receipt.calls == calls
        assert len(server.seen) <= run.receipt.attempts <= 1.3 * calls


def test_a_mixed_run(servers: Servers, tokenizer: str, tmp_path: Path) -> None:
    mixed(servers, 240, tokenizer, tmp_path)


@pytest.mark.slow
def test_a_mixed_run_of_five_thousand_calls(
    servers: Servers, tokenizer: str, tmp_path: Path
) -> None:
    mixed(servers, 5000, tokenizer, tmp_path)
