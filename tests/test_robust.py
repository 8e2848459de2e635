"""What programs may throw at the runtime: a run always ends, with a typed error that says why."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import pytest
from kit import computer, echo, execute, resumed

from nlpu import NlpuError, Value, lift, op
from nlpu.engines.scripted import Scripted, Seen
from nlpu.errors import BadOperand, Diverged, ServerFault, Usage
from runtime import Budget, Computer, first


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
    with pytest.raises(Usage, match=r"runtime\.Budget\(calls="):
        execute(lambda: None, budget=budget)


@pytest.mark.parametrize("most", [{"calls": -1}, {"nlops": float("nan")}])
def test_a_budget_that_is_no_amount_is_bad_usage(most: dict[str, Any]) -> None:
    with pytest.raises(Usage, match=r"leave it out for no limit"):
        Budget(**most)


def test_a_computer_without_processors_is_bad_usage() -> None:
    with pytest.raises(Usage, match="at least one processor"):
        Computer({})
