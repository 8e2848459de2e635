"""What programs may throw at the runtime: a run always ends, with a typed error that says why."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kit import computer, echo, execute, finish, resumed

from nlpu import NlpuError, Value, lift, op
from nlpu.errors import BadOp, BadOperand, Diverged, ServerFault, Usage
from nlpu.runtime import Budget, Computer, first, spawn
from nlpu.runtime.journal.edits import Edits
from nlpu.runtime.journal.sqlite import Journal
from nlpu.runtime.terminal.show import archive
from nlpu.testing.scripted import Scripted, Seen


class Unprintable:
    def __str__(self) -> str:
        raise ValueError("no text")


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


def cyclic() -> Any:
    whole: list[Any] = []
    whole.append(whole)
    return whole


def deep() -> Any:
    whole: dict[str, Any] = {}
    for _ in range(5000):
        whole = {"in": whole}
    return whole


def raises_unprintable() -> Any:
    raise UnprintableError


def lifted_exit() -> Any:
    return lift(lambda text: sys.exit(1))(echo("a"))


def blocking_stop() -> Any:
    def stop(text: str) -> str:
        raise StopIteration

    return lift(stop, blocking=True)(echo("a"))


@pytest.mark.parametrize("program", [cyclic, deep, raises_unprintable, lifted_exit, blocking_stop])
def test_it_ends_with_a_typed_error(program: Callable[[], Any]) -> None:
    run = execute(program)
    assert run.status == "failed"
    assert isinstance(run.error, NlpuError)


def test_a_result_that_cannot_be_printed_is_a_result(tmp_path: Any) -> None:
    run = execute(Unprintable, run_dir=tmp_path)
    assert run.status == "done"


def test_a_refused_call_that_is_cancelled_does_not_block_the_next() -> None:
    ops = [op(f"Say {word}", name=word, max_tokens=100) for word in ("one", "two", "three")]

    def program() -> Any:
        one, two = ops[0]("1"), ops[1]("2")
        return [first(one, two), ops[2]("3")]

    run = execute(program, engine=Scripted("ok"), budget=Budget(nlops=1.5))
    assert run.result == ["ok", "ok"]


def test_another_model_is_noticed_even_after_a_failure_of_the_host(tmp_path: Any) -> None:
    def said(seen: Seen) -> Any:
        return ServerFault("broken") if seen.operands["text"] == "b" else "said"

    def program() -> Any:
        return [echo(text) for text in ("a", "b", "c")]

    with computer(Scripted(said), run_dir=tmp_path) as machine:
        run = machine.run(program)
    assert run.status == "failed"
    other = resumed(tmp_path, run, program, engine=Scripted("said", model="another"))
    assert isinstance(other.error, Diverged)
    assert "model was scripted" in str(other.error)
    same = resumed(tmp_path, run, program, engine=Scripted("said"))
    assert same.result == ["said", "said", "said"]


def test_a_finished_run_stays_finished(tmp_path: Any) -> None:
    with computer(Scripted("said"), run_dir=tmp_path) as machine:
        run = machine.run(lambda: echo("a"))
    other = resumed(tmp_path, run, lambda: echo("b"), engine=Scripted("said"))
    assert isinstance(other.error, Diverged)
    again = resumed(tmp_path, run, lambda: echo("a"), engine=Scripted("said"))
    assert (again.result, again.receipt.calls) == ("said", 0)


def test_names_that_are_no_runs(tmp_path: Any) -> None:
    for name in ("../x", "abc.x", ""):
        with computer(Scripted(), run_dir=tmp_path) as machine, pytest.raises(Usage):
            machine.resume(name, lambda: None)


def test_a_program_that_blocks_on_a_run_is_told_so() -> None:
    with computer(Scripted("ok")) as machine:

        def program() -> Any:
            return machine.run(lambda: echo("a")).result

        run = machine.run(program)
    assert "runtime.spawn" in str(run.error)


def test_an_op_inside_a_lifted_function_is_outside_the_program() -> None:
    run = execute(lambda: lift(lambda text: str(echo(text)))(echo("a")))
    assert "only inside a run" in str(run.error) + str(run.error.__cause__)


def test_a_lone_surrogate_inside_a_value_is_the_programs_fault() -> None:
    run = execute(lambda: echo(Value("so \ud800")))
    assert isinstance(run.error, BadOperand)
    assert "surrogate (U+D800)" in str(run.error)


def test_values_in_a_set_or_a_gather_are_refused_with_advice() -> None:
    async def gathered() -> Any:
        return await asyncio.gather(echo("a"), echo("b"))

    for program in (gathered, lambda: {echo("a")}):
        run = execute(program)
        assert isinstance(run.error, BadOperand)
        assert "await them one after the other" in str(run.error)


@pytest.mark.parametrize("budget", [5, {"calls": 5}])
def test_a_budget_of_another_type_is_bad_usage(budget: Any) -> None:
    with pytest.raises(Usage, match=r"a nlpu\.Budget\(calls="):
        execute(lambda: None, budget=budget)


def test_a_run_that_cannot_begin_keeps_nobody_waiting(tmp_path: Path) -> None:
    with computer(run_dir=tmp_path) as machine:
        whole = finish(machine.start(lambda: str(echo("a"))))
        nowhere = Edits({"main/9": "b"})
        run = machine.rerun(whole.name, lambda: str(echo("a")), edits=nowhere, stream=True)
        assert list(run.stream()) == []
        for look in (run.wait, lambda: run.result, lambda: run.receipt):
            with pytest.raises(Usage, match="no call at"):
                look()
        assert run.status == "failed" and isinstance(run.error, Usage)
        run.stop()  # as closing does
        assert finish(machine.start(lambda: str(echo("a")))).result == "a"


@pytest.mark.parametrize("most", [{"calls": -1}, {"nlops": float("nan")}])
def test_a_budget_that_is_no_amount_is_bad_usage(most: dict[str, Any]) -> None:
    with pytest.raises(Usage, match=r"leave it out for no limit"):
        Budget(**most)


def test_a_computer_without_processors_is_bad_usage() -> None:
    with pytest.raises(Usage, match="at least one processor"):
        Computer({})


def raises_surrogate() -> Any:
    raise ValueError("bad \udce9 file")


def catches_surrogate() -> Any:
    nested = spawn(raises_surrogate)
    try:
        return nested.value
    except NlpuError as error:
        return str(error)


def test_lone_surrogates_in_errors_end_their_run_alone(tmp_path: Any) -> None:
    with computer(run_dir=tmp_path) as machine:
        good = [machine.start(lambda: echo("good")) for _ in range(3)]
        bad = machine.start(raises_surrogate)
        caught = machine.start(catches_surrogate)
        assert [finish(run).result for run in good] == ["good"] * 3
        assert finish(bad).status == "failed" and "ValueError" in str(bad.error)
        assert "\udce9" in finish(caught).result
    records = {record.name: record for record in archive.records(tmp_path)}
    assert records[bad.name].past.end.error[1] == str(bad.error)


@pytest.mark.parametrize("settings", [{"text": "Say \ud800"}, {"text": "Say", "name": "\ud800"}])
def test_an_op_with_a_lone_surrogate_cannot_be_defined(settings: dict[str, str]) -> None:
    with pytest.raises(BadOp, match="lone surrogate"):
        op(**settings)


class Broken(Scripted):
    """Breaks the engine protocol: a reply without text."""

    async def send(self, request: Any, on_text: Any = None) -> Any:
        return (await super().send(request, on_text))._replace(text=None)


def test_an_error_inside_the_runtime_ends_the_runs_and_hangs_none() -> None:
    run = execute(lambda: echo("a"), engine=Broken())
    assert run.status == "failed" and "the runtime itself failed" in str(run.error)


class Unwritable(Journal):
    """A journal that breaks in a way nobody expects."""

    def flush(self) -> None:
        if any(b'"issue"' in row[2] for row in self._new_rows):
            raise RuntimeError("broken")
        super().flush()


def test_a_commit_that_breaks_sends_nothing(tmp_path: Any) -> None:
    engine = Scripted("never")
    with computer(engine, run_dir=tmp_path) as machine:
        finish(machine.start(lambda: None))
        machine._station.kernel.journal.__class__ = Unwritable
        run = finish(machine.start(lambda: echo("a")))
        assert run.status == "failed" and "RuntimeError: broken" in str(run.error)
        assert run.receipt.attempts == 0
    assert engine.seen == []


@dataclass(slots=True)
class Slotted:
    part: Any


class Plain:
    def __init__(self, part: Any) -> None:
        self.part = part


async def later() -> Any:
    return await echo("a")


def generator() -> Any:
    yield echo("a")


async def async_generator() -> Any:
    yield echo("a")


@pytest.mark.parametrize(
    "program",
    [
        generator,
        async_generator,
        lambda: (echo(text) for text in "ab"),
        lambda: map(echo, "ab"),
        lambda: deque([echo("a")]),
        lambda: Plain(echo("a")),
        lambda: Slotted(echo("a")),
        lambda: [Slotted(echo("a"))],
    ],
)
def test_a_result_that_hides_values_is_refused(program: Any) -> None:
    run = execute(program)
    assert isinstance(run.error, BadOperand), run.result


def test_a_coroutine_that_was_not_awaited_is_refused() -> None:
    made: list[Any] = []

    def forgot() -> Any:
        made.append(later())
        return made[0]

    run = execute(forgot)
    assert isinstance(run.error, BadOperand) and "await the coroutine" in str(run.error)
    made[0].close()


def test_a_lifted_set_is_refused_at_once() -> None:
    run = execute(lambda: lift(lambda text: {text, "b"})(echo("a")))
    assert isinstance(run.error, BadOperand) and "sorted" in str(run.error)
