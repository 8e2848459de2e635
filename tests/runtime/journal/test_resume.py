"""Resuming: no journaled call is sent again, and what has changed is named."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from journal_kit import Opened
from kit import (
    Doomed,
    asked,
    computer,
    count,
    echo,
    execute,
    finish,
    merge,
    resumed,
    said,
    shorten,
    slow,
    yes,
)

from nlpu import Limits, lift
from nlpu.errors import (
    Diverged,
    DoesNotFit,
    HostError,
    Malformed,
    NlpuError,
    ProgramError,
    RequestRefused,
    RunBusy,
    ServerFault,
)
from nlpu.runtime import Budget, first, now, random, spawn
from nlpu.runtime.journal.records import past_of
from nlpu.testing.scripted import Say, Scripted, Seen

Script = Callable[[Seen], Any]


def busy(n: int) -> Any:
    """Maps, trees, draws, branches, choices, nested programs, the time and dice."""
    parts = echo.map([f"part {k}" for k in range(n)])
    inner = [spawn(lambda k=k: shorten(echo(f"inner {k}"))) for k in range(2)]
    warm = echo.using(temperature=1.0)("warm", samples=2)
    chosen = None
    if yes("is it so"):
        chosen = first(merge(parts[0], "late"), echo("early"))
    number = random().randint(0, 10**9)
    stamp = echo(f"{now()} {number}")
    return echo.reduce(parts), inner, warm, chosen, stamp, lift(len)(parts)


def answer(seen: Seen) -> Say:
    text = next(iter(seen.operands.values()))
    if "so?" in seen.instruction:
        return Say("yes", seconds=1.0)
    return Say(f"{len(text)} {said(seen)[:40]}", seconds=1.0 + len(text) % 5)


def journaled(grave: Path) -> set[str]:
    """The keys with results in what a kill left."""
    journal = Opened(next(grave.glob("*.db")), read_only=True)
    journal.close()
    return set(past_of(journal.rows).outcomes)


def test_killed_at_any_call_and_resumed_it_sends_nothing_twice(tmp_path: Path) -> None:
    whole = execute(busy, 4, engine=Scripted(answer))
    total = whole.receipt.calls
    assert total >= 14
    for at in range(1, total + 1):
        home, grave = tmp_path / f"home{at}", tmp_path / f"grave{at}"
        dying = Doomed(answer, home, grave, at)
        run = execute(busy, 4, engine=dying, run_dir=home)
        stamps = str(run.result[4])
        done = len(journaled(grave))
        rest = Scripted(answer)
        again = resumed(grave, run, busy, 4, engine=rest)
        assert again.status == "done", again.error
        assert again.receipt.reused == done
        assert len(rest.seen) <= len(dying.seen) - done
        same = [part for part in again.result if part != again.result[4]]
        assert same == [part for part in run.result if part != run.result[4]]
        if at == total:
            assert str(again.result[4]) == stamps  # the dice and the time are the journal's


def test_a_replay_asks_nobody_writes_nothing_and_gives_the_same(tmp_path: Path) -> None:
    run = execute(busy, 4, engine=Scripted(answer), run_dir=tmp_path)
    before = next(tmp_path.glob("*.db")).read_bytes()
    silent = Scripted("never asked")
    for _ in range(2):
        again = resumed(tmp_path, run, busy, 4, engine=silent, replay=True)
        assert again.result == run.result
        assert (again.receipt.calls, again.receipt.attempts, silent.seen) == (0, 0, [])
    assert next(tmp_path.glob("*.db")).read_bytes() == before


def test_a_replay_of_an_unfinished_run_stops_where_it_ends(tmp_path: Path) -> None:
    run = execute(busy, 4, engine=Scripted(answer), run_dir=tmp_path, budget=Budget(calls=3))
    silent = Scripted("never asked")
    again = resumed(tmp_path, run, busy, 4, engine=silent, replay=True)
    assert isinstance(again.error, Diverged)
    assert "has no result for this call" in str(again.error)
    assert silent.seen == []


def test_resuming_twice_and_again_is_the_same(tmp_path: Path) -> None:
    run = execute(busy, 4, engine=Scripted(answer), run_dir=tmp_path, budget=Budget(calls=2))
    calls = 2
    for budget in (5, 7, 11, 100):
        again = resumed(
            tmp_path, run, busy, 4, engine=Scripted(answer), budget=Budget(calls=budget)
        )
        calls += again.receipt.calls
    assert again.status == "done", again.error
    assert calls == execute(busy, 4, engine=Scripted(answer)).receipt.calls


# -- failures ------------------------------------------------------------------------------------

WHY = "the reply 'several' is not a whole number"


def test_failures_of_the_model_replay(tmp_path: Path) -> None:
    def program() -> Any:
        try:
            return int(count("x"))
        except Malformed as error:
            return str(error), echo("instead")

    run = execute(program, engine={"many": "several", "Repeat": "it"}, run_dir=tmp_path)
    engine = Scripted("7")
    for replay in (False, True):
        again = resumed(tmp_path, run, program, engine=engine, replay=replay)
        assert again.result == run.result == (f"{WHY}; it was asked 2 times", "it")
    assert engine.seen == []


def test_failures_of_the_host_are_tried_again(tmp_path: Path) -> None:
    def program() -> Any:
        return [echo("fine"), shorten("x")]

    broken = Scripted(lambda s: ServerFault("broken") if "Shorten" in s.instruction else said(s))
    run = execute(program, engine=broken, run_dir=tmp_path, limits=Limits(attempts=2))
    assert run.status == "failed"
    replay = resumed(tmp_path, run, program, engine=Scripted("never"), replay=True)
    assert type(replay.error) is type(run.error)
    engine = Scripted(said)
    again = resumed(tmp_path, run, program, engine=engine)
    assert again.result == ["fine", "x"]
    assert asked(engine) == ["x"]


def test_what_was_refused_before_it_was_sent_replays(tmp_path: Path) -> None:
    def program() -> Any:
        try:
            return str(echo("x" * 900))
        except DoesNotFit:
            return shorten("short")

    run = execute(program, engine=Scripted("it", window=800), run_dir=tmp_path)
    assert run.result == "it"
    silent = Scripted("never", window=800)
    for replay in (True, False):
        again = resumed(tmp_path, run, program, engine=silent, replay=replay)
        assert again.result == "it", again.error
    assert silent.seen == []


@pytest.mark.parametrize(
    ("kind", "caught"),
    [
        (DoesNotFit, DoesNotFit),
        (RequestRefused, ServerFault),
        (type("Refused", (HostError,), {}), HostError),  # an engine's own; of the program's name
    ],
)
def test_what_the_engine_refused_has_the_same_type_in_a_replay(
    kind: type[NlpuError], caught: type[NlpuError], tmp_path: Path
) -> None:
    def program() -> Any:
        try:
            return str(echo("x"))
        except caught:
            return "caught"

    run = execute(program, engine=Scripted(kind("not with me")), run_dir=tmp_path)
    assert run.result == "caught"
    assert resumed(tmp_path, run, program, replay=True).result == "caught"


# -- the rest ------------------------------------------------------------------------------------


def two(text: str) -> Any:
    return shorten(echo(text))


def test_time_and_dice_are_stable(tmp_path: Path) -> None:
    def program() -> Any:
        return [now().isoformat(), random().random(), random().random(), echo("x")]

    run = execute(program, run_dir=tmp_path)
    assert run.result[1] != run.result[2]
    assert run.result[0] == "2001-09-09T01:46:40+00:00"
    assert resumed(tmp_path, run, program).result == run.result


def test_a_run_that_is_not_there(tmp_path: Path) -> None:
    run = execute(two, "x", run_dir=tmp_path)
    with computer(run_dir=tmp_path) as machine, pytest.raises(ProgramError, match="no run"):
        machine.resume("nothing", two, "x")
    with computer(run_dir=tmp_path) as machine, pytest.raises(ProgramError, match="has no run"):
        machine.resume(f"{run.name}.9", two, "x")


def test_a_run_goes_on_in_the_computer_that_made_it(tmp_path: Path) -> None:
    engine = Scripted(said)
    with computer(engine, run_dir=tmp_path) as machine:
        run = finish(machine.start(two, "x", budget=Budget(calls=1)))
        assert run.status == "stopped"
        again = finish(machine.resume(run.name, two, "x", budget=Budget()))
        assert again.result == "x"
        assert finish(machine.resume(run.name, two, "x")).receipt.reused == 2
    assert len(engine.seen) == 2


def test_a_run_that_is_live_is_busy(tmp_path: Path) -> None:
    with computer(slow(1.0), run_dir=tmp_path) as machine:
        gate = threading.Event()
        run = machine.start(lambda: lift(gate.wait, blocking=True)(60))
        with pytest.raises(RunBusy, match="this computer"):
            machine.resume(run.name, two, "x")
        gate.set()
        assert finish(run).result is True


def test_a_replay_needs_no_ownership_and_its_computer_runs_nothing_else(tmp_path: Path) -> None:
    run = execute(echo_twice, engine=Scripted(said), run_dir=tmp_path)
    with computer(Scripted(said), run_dir=tmp_path) as owner:
        going = owner.resume(run.name, echo_twice)  # owns the journal
        assert finish(going).status == "done"
        with computer(Scripted("never"), run_dir=tmp_path) as reader:
            again = finish(reader.resume(run.name, echo_twice, replay=True))
            assert again.result == run.result
            with pytest.raises(ProgramError, match="opened for a replay"):
                reader.start(echo_twice)


def echo_twice() -> Any:
    return echo(echo("a"))
