"""Whole runs against a server that fails in every way it can: right or typed, and in time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from random import Random
from urllib.request import urlopen

import pytest
from fault_kit import (
    CASES,
    IMPATIENT,
    LIMITS,
    OPS,
    Case,
    Servers,
    asked,
    execute,
    once,
    right,
    same,
    servers,
    tell,
    tokenizer,
    wrong,
)

from benchmarks.fake_vllm import answers as fault_answers
from benchmarks.fake_vllm.faults import FAULTS, Seen, mix
from benchmarks.fake_vllm.server import FaultServer
from nlpu import Limits
from nlpu import errors as e
from nlpu.runtime import Run

__all__ = ["servers", "tokenizer"]  # fixtures


def test_every_fault_is_a_case() -> None:
    assert {case.spec.split(":")[0] for case in CASES} == set(FAULTS)


def check(case: Case, server: FaultServer, run: Run) -> list[e.NlpuError]:
    """All results are right or name the fault; the engine sent nothing by itself."""
    assert run.status == "done", run.error
    faults = wrong(run.result)
    unnamed = [repr(error) for error in faults if not case.names(error)]
    assert not unnamed, unnamed
    sent, attempts = len(server.seen), run.receipt.attempts
    assert sent <= attempts
    if not case.spec.startswith(("refused", "restart")) and case.limits.timeout_s > 1:
        assert sent == attempts  # where none was refused or out of time before it was seen
    if not case.dies and case.spec not in ("429:0.01", "503"):  # those wait for room
        assert max(asked(server).values()) <= case.limits.attempts
    return faults


# -- each fault ----------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_fault_that_every_call_meets_once(case: Case, servers: Servers, tokenizer: str) -> None:
    """It is overcome, or each call has an error with its name; streamed and whole."""
    for seed, stream in enumerate((False, True)):
        with servers.serve(once(case), tokenizer=tokenizer) as server:
            run = execute(server.url, [7], limits=case.limits, stream=stream, seed=seed)
            faults = check(case, server, run)
            if not case.final:
                assert faults == []
                assert run.receipt.attempts > 4 or (stream and case.spec == "null")
            elif case.errors and case.spec != "length":  # half a text may be a whole answer
                assert len(faults) == 4


@pytest.mark.parametrize("case", [case for case in CASES if case.errors], ids=str)
def test_a_fault_that_stays(case: Case, servers: Servers) -> None:
    """Every call ends, with its name, after so many attempts and no more; and so does the run."""
    limits = replace(case.limits, attempts=3, patience_s=0.5)
    with servers.serve(lambda _: case.spec) as server:
        run = execute(server.url, [4, 7], limits=limits)
        faults = check(replace(case, limits=limits), server, run)
        assert len(faults) == 8 or case.spec == "length"
        assert run.receipt.seconds < 10


def sweep(case: Case, seeds: Iterable[int], servers: Servers, tokenizer: str) -> None:
    """Runs of all shapes, a third of whose requests meet the fault."""
    for seed in seeds:
        random = Random(seed)
        served = random.choice([{"tokenizer": tokenizer}, {}, {"vllm": False}])
        ops = tuple(op for op in OPS if op is not same or "vllm" not in served)
        limits = replace(case.limits, max_in_flight=random.choice([1, 3, 8, 32]))
        if case.limits is IMPATIENT:
            limits = replace(limits, timeout_s=0.12)
        with servers.serve(mix(seed, {case.spec: 0.35}), **served) as server:
            run = execute(
                server.url,
                range(random.choice([1, 5])),
                ops,
                limits=limits,
                stream=random.random() < 0.5,
                seed=seed,
            )
            check(replace(case, limits=limits), server, run)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_fault_now_and_then(case: Case, servers: Servers, tokenizer: str) -> None:
    sweep(case, [101], servers, tokenizer)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_fault_now_and_then_with_many_seeds(case: Case, servers: Servers, tokenizer: str) -> None:
    sweep(case, range(20), servers, tokenizer)


# -- what the model says -------------------------------------------------------------------------


def test_an_answer_that_does_not_keep_to_its_type(servers: Servers) -> None:
    """A server that takes a constraint and ignores it: broken JSON, a word for a number."""
    broken = {"grammar": '{"name":"number 7","cou', "regex": "about seven", "choice": "perhaps"}

    def answer(seen: Seen) -> str:
        kind, _ = fault_answers.constraint_of(seen.body) or ("", None)
        return broken.get(kind) or right(seen)

    for stream in (False, True):
        with servers.serve(answer=answer) as server:
            run = execute(server.url, [7], stream=stream)
        faults = wrong(run.result)
        assert [type(fault) for fault in faults] == [e.Malformed] * 3
        assert all(
            said in str(fault)
            for said, fault in zip(["'perhaps'", "'about seven'", "cou'"], faults, strict=True)
        )


def test_endless_repetition_can_be_accepted_cut(servers: Servers) -> None:
    brief = tell.using(at_limit="trim", max_tokens=9)
    with servers.serve(lambda _: "repeat") as server:
        run = execute(server.url, program=lambda: brief("7"))
    assert run.result == " ".join(["again"] * 8)  # the last word may not have been whole
    assert run.receipt.trimmed == 1


# -- deadlines -----------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("kind", ["no_answer", "refused", "restart", "429:3600", "engine_dead"])
def test_a_run_ends_at_its_deadline(kind: str, stream: bool, servers: Servers) -> None:
    """Whatever it waits for: an answer, a server that is gone, a time it was told to wait."""
    with servers.serve(lambda _: kind) as server:
        limits = Limits(timeout_s=600, patience_s=600, max_in_flight=4)
        run = execute(server.url, range(3), seconds=0.4, limits=limits, stream=stream)
        assert isinstance(run.error, e.DeadlineExceeded)
        assert "0.4 seconds ran out; it can be resumed" in str(run.error)
        assert run.receipt.seconds < 3
        servers.idle(server)  # and nothing goes on at the server


def test_no_server_makes_us_wait_for_ever(servers: Servers) -> None:
    with servers.serve(lambda _: "429:3600") as server:
        limits = Limits(patience_s=0.1, attempts=3, backoff_s=0.01)
        run = execute(server.url, [7], limits=limits)
        assert len(wrong(run.result)) == 4
        assert run.receipt.seconds < 5
        assert len(server.seen) <= 4 * 3


def test_healthy_to_look_at_and_dead_inside(servers: Servers) -> None:
    """The front says that all is well; only a completion shows that the engine is dead."""
    with servers.serve() as server:
        server.dead = True
        run = execute(server.url, range(5), limits=replace(LIMITS, patience_s=0.3))
        with urlopen(server.url + "/health") as answer:
            assert answer.status == 200
        faults = wrong(run.result)
        assert len(faults) == 20
        assert {type(fault) for fault in faults} == {e.EngineDied}
        assert all("EngineDeadError" in str(fault) for fault in faults)
        assert run.receipt.seconds < 5
        assert len(server.seen) == run.receipt.attempts <= 8 + 15  # one at a time knocked
