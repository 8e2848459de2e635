"""Who gets a result that was asked for again: sharers, heirs, streams, and a run's later lives."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asked_again_kit import folded, rows_of, stubborn
from hypothesis import given
from hypothesis import strategies as st
from journal_kit import Opened, forge
from kit import Doomed, computer, count, echo, execute, finish, resumed

from nlpu import Limits
from nlpu.errors import JournalDamaged, Malformed, ServerFault
from nlpu.label import UNTRUSTED
from nlpu.prompt.convention import FIRST, SECOND, Convention, read, written
from nlpu.runtime import Budget, first
from nlpu.runtime.handle import state_of
from nlpu.runtime.journal.odd_rows import past_in
from nlpu.runtime.observe.pieces import AGAIN
from nlpu.runtime.resume import log_of
from nlpu.testing.scripted import Say, Scripted, Seen
from nlpu.value import Value
from nlpu.wire import Reply, Request

# -- who gets it --------------------------------------------------------------------------------


def test_equal_calls_get_the_mended_result() -> None:
    engine = Scripted(stubborn)
    run = execute(lambda: [count("x") for _ in range(5)], engine=engine)
    assert run.result == [3] * 5
    assert (len(engine.seen), run.receipt.shared, run.receipt.calls) == (2, 4, 1)


def test_an_heir_goes_on_where_it_was() -> None:
    def script(seen: Seen) -> Any:
        return Say(
            stubborn(seen) if "many" in seen.instruction else "fast",
            seconds=1.0 if seen.instruction.startswith("How") else 1.5,
        )

    def program() -> Any:
        raced = first(count("x"), echo("y"))  # it is cancelled while it is asked again
        return raced, count("x")

    engine = Scripted(script)
    run = execute(program, engine=engine)
    assert run.result == ("fast", 3)
    assert len([seen for seen in engine.seen if "many" in seen.instruction]) == 2
    assert run.receipt.asked_again == 1


def test_labels_are_those_of_the_call() -> None:
    def program() -> Any:
        good, bad = count("x"), count(Value("y", UNTRUSTED))
        echo("time passes").value  # noqa: B018
        labels = [int(good), good.label]
        return [*map(str, labels), int(bad), str(bad.label)]

    run = execute(program, engine=stubborn)
    assert run.result == execute(program, engine={"many": "3"}).result
    assert run.result == ["3", "user", 3, "untrusted"]


def test_what_reads_it_waits_for_the_mended_one() -> None:
    run = execute(lambda: echo(str(count("x").value)), engine=stubborn)
    assert run.result == "3" and run.receipt.depth == 2


# -- streaming ----------------------------------------------------------------------------------


@given(st.lists(st.sampled_from(["one", "12x", "1 2", "12 apples"]), max_size=3))
def test_a_stream_says_that_it_begins_anew(wrong: list[str]) -> None:
    op = count.using(retries=3)
    with computer(Scripted([*wrong, "12"])) as machine:
        run = machine.start(lambda: op("x"), stream=True)
        pieces = "".join(run.stream())
        assert finish(run).result == 12
    assert pieces.rpartition(AGAIN)[2] == "12"
    assert AGAIN in pieces or not wrong


# -- kills --------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [2, 3])
def test_killed_between_it_goes_on_and_all_was_paid(tmp_path: Path, at: int) -> None:
    """The second request is the first that is asked again: it is open at the death, or answered."""
    before, grave = tmp_path / "before", tmp_path / "grave"

    def program() -> Any:
        return [int(count("x")), int(count("y"))]

    doomed = Doomed(stubborn, before, grave, at=at)
    run = execute(program, engine=doomed, run_dir=before)
    engine = Scripted(stubborn)
    with computer(engine, run_dir=grave) as machine:
        last = finish(machine.resume(run.name, program, budget=Budget(nlops=99)))
        spent = state_of(last).ledger.spent
    assert last.result == [3, 3]
    names = [(seen.operands["text"], bool(seen.again)) for seen in engine.seen]
    assert names == ([("x", True)] if at == 2 else []) + [("y", False), ("y", True)]
    # x twice, y twice, and once what was open at the death: it could take all its 32 tokens
    assert spent.calls == 5
    assert spent.nlops == pytest.approx(0.04 + 0.32)
    assert folded(grave).invalid == {}


class Dying(Scripted):
    """A server that is gone after some answers."""

    async def send(self, request: Request, on_text: Callable[[str], None] | None = None) -> Reply:
        if len(self.seen) >= 1:
            raise ServerFault("gone")
        return await super().send(request, on_text)


def test_a_failure_of_the_host_between_keeps_what_was_paid(tmp_path: Path) -> None:
    limits = Limits(attempts=1)
    run = execute(lambda: count("x"), engine=Dying(stubborn), run_dir=tmp_path, limits=limits)
    assert isinstance(run.error, ServerFault)
    for _ in range(2):  # of the next life nothing is lost either
        engine = Scripted(stubborn)
        with computer(engine, run_dir=tmp_path) as machine:
            last = finish(machine.resume(run.name, lambda: count("x"), budget=Budget(calls=9)))
            assert state_of(last).ledger.spent.calls == 3  # no result, no answer, the last
        assert last.result == 3
        assert [bool(seen.again) for seen in engine.seen] in ([True], [])


def test_a_cancelled_one_was_paid_for(tmp_path: Path) -> None:
    def script(seen: Seen) -> Any:
        slow = seen.again or "Repeat" in seen.instruction
        return Say(stubborn(seen), seconds=(9.0 if seen.again else 2.0) if slow else 1.0)

    def program() -> Any:
        return first(count("x"), echo("y")).value, echo("z")

    run = execute(program, engine=script, run_dir=tmp_path)
    assert run.result == ("y", "z") and run.receipt.asked_again == 1
    past = folded(tmp_path)
    assert [amount.calls for amount in past.lost] == [1, 1]  # asked again, and still under way
    assert sorted(amount.nlops for amount in past.lost) == pytest.approx([0.01, 0.32])


@pytest.mark.parametrize("convention", [FIRST, SECOND])
def test_a_failure_of_an_older_journal_stays_one(
    tmp_path: Path, convention: Convention, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before there were retries the first invalid reply was final."""

    def program() -> Any:
        failed = count("x")
        try:
            return int(failed)
        except Malformed as error:
            return str(error), echo("instead")

    monkeypatch.setattr("nlpu.runtime.scheduler.outcomes.complaint", lambda *_: None)
    run = execute(program, engine="three", run_dir=tmp_path, convention=convention)
    monkeypatch.undo()
    assert run.result[0] == "the reply 'three' is not a whole number"

    def older(rows: Any) -> None:
        for row in rows:
            if row[0] == "run" and convention is FIRST:
                row[2].pop("convention")

    (path,) = tmp_path.glob("*.db")
    forge(path, older)
    engine = Scripted("never")
    for replay in (False, True):
        assert resumed(tmp_path, run, program, engine=engine, replay=replay).result == run.result
    assert engine.seen == []


def test_a_run_of_the_first_convention_goes_on_with_asking_again(tmp_path: Path) -> None:
    def program() -> Any:
        return [int(count("x")), int(count("y"))]

    run = execute(
        program, engine=stubborn, run_dir=tmp_path, convention=FIRST, budget=Budget(calls=3)
    )
    engine = Scripted(stubborn)
    assert resumed(tmp_path, run, program, engine=engine, budget=Budget(calls=9)).result == [3, 3]
    (seen,) = engine.seen
    assert seen.operands == {"text": "y"} and "valid answer: it is not a whole" in seen.again


def test_conventions_without_these_words_are_read() -> None:
    said = json.loads(written(SECOND))
    assert not {"again", "answered", "silent"} & set(said)  # they are as by default
    assert read(json.dumps(said)) is SECOND
    assert read("") is FIRST and FIRST.again


@pytest.mark.parametrize("place", range(1, 9))
def test_an_odd_row_is_named(tmp_path: Path, place: int) -> None:
    execute(lambda: count("x"), engine=stubborn, run_dir=tmp_path)
    (path,) = tmp_path.glob("*.db")
    assert [row[0] for row in rows_of(tmp_path)].count("again") == 1

    def change(rows: Any) -> None:
        (row,) = (row for row in rows if row[0] == "again")
        row[place] = {"a": None}

    forge(path, change)
    journal = Opened(path, read_only=True)
    journal.close()
    with pytest.raises(JournalDamaged, match=r"\(.again.\) is none that a run writes"):
        past_in(log_of(journal, 1))
