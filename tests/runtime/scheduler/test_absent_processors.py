"""Of several processors one that cannot be reached does not stop the others."""

from __future__ import annotations

from math import inf
from pathlib import Path
from typing import Any

import pytest
from kit import PATIENCE_S, computer, count, echo, finish, said

from nlpu.engines.http.engine import HttpEngine
from nlpu.errors import MissingPart, Overloaded, ServerFault, Unauthorized, Unreachable
from nlpu.runtime import Budget
from nlpu.testing.scripted import Scripted
from nlpu.wire import Capabilities

NOWHERE = "http://127.0.0.1:9"  # discard: nobody listens


class Down(Scripted):
    """An engine that cannot be opened, at least at first. ``tried``: how often it was asked."""

    def __init__(self, error: Exception, times: float = inf) -> None:
        super().__init__()
        self.error, self.times, self.tried = error, times, 0

    async def capabilities(self) -> Capabilities:
        self.tried += 1
        if self.tried <= self.times:
            raise self.error
        return await super().capabilities()


def here() -> Scripted:
    return Scripted(said)


far = echo.using(processor="far")


def program() -> Any:
    parts = far.map(["a", "b"]).each()
    if parts[0].error is not None:
        return (
            [type(part.error).__name__ for part in parts],
            echo("instead"),
            count.using(retries=0)("3"),
        )
    return parts, echo("both"), None


FAULTS = [Unreachable("no"), Overloaded("no"), ServerFault("no"), Unauthorized("no")]


@pytest.mark.parametrize("engine", [*map(Down, FAULTS), HttpEngine(NOWHERE)])
def test_what_asks_for_it_fails_and_all_else_goes_on(engine: Any, tmp_path: Path) -> None:
    with computer({"main": here(), "far": engine}, run_dir=tmp_path) as machine:
        run = finish(machine.start(program))
        assert list(machine.processors) == ["main"]
        kind = "Unreachable" if isinstance(engine, HttpEngine) else type(engine.error).__name__
        assert run.result == ([kind, kind], "instead", 3)
        failed = finish(machine.start(lambda: [far("x"), echo("y")]))
    assert "echo at main/0 (\"x\") failed: the processor 'far' could not" in str(failed.error)
    with computer({"main": here(), "far": engine}, run_dir=tmp_path) as machine:
        again = finish(machine.resume(run.name, program, replay=True))
        assert again.result == run.result, again.error


def test_the_first_may_be_the_one_that_is_not_there() -> None:
    with computer({"far": Down(Unreachable("nobody")), "near": here()}) as machine:
        run = finish(machine.start(lambda: echo.using(processor="near")("x")))
        assert run.result == "x" and run.receipt.calls == 1
        other = finish(machine.start(lambda: echo("x")))  # not the other's: it was not asked for
    assert str(other.error) == "the processor 'far' could not be opened: nobody"


def test_where_none_is_there_or_a_part_is_missing_nothing_begins() -> None:
    for engines, kind in [
        ({"a": Down(Unreachable("first")), "b": Down(Overloaded("second"))}, Unreachable),
        ({"a": Down(Overloaded("first"))}, Overloaded),
        ({"a": here(), "b": Down(MissingPart("no such model"))}, MissingPart),
    ]:
        with (
            computer(engines) as machine,
            pytest.raises(kind, match=r"^first$|first.*second|no such"),
        ):
            machine.start(program)


def test_each_run_that_begins_has_it_tried_again() -> None:
    engine = Down(Unreachable("not up yet"), times=2)
    with computer({"main": here(), "far": engine}) as machine:
        for tried in (1, 2, 3):
            run = finish(machine.start(lambda: echo("x")))
            trying = machine._station._trying
            assert run.result == "x" and (trying is None) == (tried == 1)
            if trying is not None:
                trying.result(PATIENCE_S)
            assert engine.tried == tried
        assert isinstance(finish(machine.start(lambda: far("y"))).result, str)
        assert engine.tried == 3 and list(machine.processors) == ["main", "far"]


def test_when_it_is_back_what_failed_is_asked_again(tmp_path: Path) -> None:
    with computer({"main": here(), "far": Down(Unreachable("no"))}, run_dir=tmp_path) as machine:
        run = finish(machine.start(program, budget=Budget(calls=1)))
        assert run.status == "stopped"  # it was on another way
    for engine in (Scripted("back"), Scripted("unasked")):
        with computer({"main": here(), "far": engine}, run_dir=tmp_path) as machine:
            again = finish(machine.resume(run.name, program, budget=Budget()))
        assert again.result == (["back", "back"], "both", None)


def test_a_run_that_had_it_waits_for_it(tmp_path: Path) -> None:
    """It does not go another way, past what is in its journal, because a server is down today."""
    with computer({"main": here(), "far": here()}, run_dir=tmp_path) as machine:
        run = finish(machine.start(program, budget=Budget(calls=2)))
        assert (run.status, run.counts.calls) == ("stopped", 2)
    with computer({"main": here(), "far": Down(Unreachable("no"))}, run_dir=tmp_path) as machine:
        cut = finish(machine.resume(run.name, program, budget=Budget()))
        assert cut.status == "failed" and "'far' could not be opened: no" in str(cut.error)
        assert cut.counts.calls == 0
    with computer({"main": here(), "far": here()}, run_dir=tmp_path) as machine:
        done = finish(machine.resume(run.name, program, budget=Budget()))
    assert done.result == (["a", "b"], "both", None) and done.counts.calls == 1


def test_an_evaluation_with_a_file_of_answers_waits_for_it_too(tmp_path: Path) -> None:
    engine, cache = here(), tmp_path / "known.jsonl"
    cases = [({"text": word}, word) for word in ("one", "two")]

    def either(text: str) -> Any:
        answer = far(text)
        return answer if answer.error is None else echo(text)

    with computer({"main": engine, "far": here()}, run_dir=tmp_path) as machine:
        machine.evaluate(echo, cases[:1], cache=cache)
        part = machine.evaluate(either, cases, cache=cache, budget=Budget(calls=0))
    name = part.stopped.split()[1]
    with (
        computer({"main": engine, "far": Down(Unreachable("no"))}, run_dir=tmp_path) as machine,
        pytest.raises(Unreachable, match="'far' could not be opened: no"),
    ):
        machine.evaluate(either, cases, resume=name, cache=cache)
    assert len(engine.seen) == 1, "nothing was asked on another way"
