"""Values: forcing, its errors, and what never forces."""

from __future__ import annotations

import threading
from contextvars import Context
from typing import Any

import pytest
from kit import computer, count, echo, execute, finish, merge, yes

from nlpu import Label, NlpuError, Value, lift, op
from nlpu.errors import BadOperand, Malformed, NotInRun, UpstreamFailed
from nlpu.label import UNTRUSTED, USER

ANSWERS = {"Repeat": "a b", "so?": "yes", "many": "12"}


def test_forcing_shows_the_content() -> None:
    def program() -> Any:
        text, truth, number = echo("x"), yes("x"), count("x")
        return [
            str(text),
            bool(truth),
            int(number),
            float(number),
            f"{number:04d}",
            number.value,
            len(text),
            text[0],
            list(echo("y")),
        ]

    run = execute(program, engine=ANSWERS)
    assert run.result == ["a b", True, 12, 12.0, "0012", 12, 3, "a", ["a", " ", "b"]]


def test_bool_of_what_is_not_a_bool_is_an_error() -> None:
    run = execute(lambda: "yes" if echo("x") else "no", engine=ANSWERS)
    assert isinstance(run.error, BadOperand)
    assert "holds str, not a bool" in str(run.error)


def test_values_are_not_hashable_and_not_compared() -> None:
    value = Value("a")
    with pytest.raises(BadOperand, match="not hashable"):
        hash(value)
    with pytest.raises(BadOperand, match="not compared"):
        assert value == "a"
    with pytest.raises(BadOperand, match="not compared"):
        assert value != value  # noqa: PLR0124


@pytest.mark.parametrize(
    "use",
    [
        lambda v: v + "!",
        lambda v: "!" + v,
        lambda v: v - 1,
        lambda v: 2 * v,
        lambda v: 1 / v,
        lambda v: v < 3,
        lambda v: v <= 3,
        lambda v: sum([v]),
        lambda v: sorted([v, v]),
    ],
)
def test_an_operator_says_to_use_the_content(use: Any) -> None:
    run = execute(lambda: use(echo("x")), engine=ANSWERS)
    assert isinstance(run.error.__cause__, TypeError)
    assert "use its content, str(v) or v.value" in str(run.error)
    with pytest.raises(TypeError, match=r"a Value is no operand of \+"):
        use(Value("a"))


def test_repr_and_ready_never_force() -> None:
    def program() -> Any:
        pending = echo("x")
        shown, was_ready = repr(pending), pending.ready
        label = pending.label
        str(pending)
        return [shown, was_ready, str(label), repr(pending), pending.ready, str(pending.label)]

    run = execute(program, engine=ANSWERS)
    before, after = "<Value pending, echo at main/0>", "<Value 'a b'>"
    assert run.result == [before, False, "untrusted", after, True, "user"]


def test_repr_is_short() -> None:
    assert len(repr(Value("x" * 500))) < 80


def test_outside_a_run() -> None:
    with pytest.raises(NotInRun, match="inside a run"):
        echo("x")
    assert Value("literal").value == "literal"
    kept: list[Value[str]] = []
    execute(lambda: kept.append(echo("x")), engine=ANSWERS)
    with pytest.raises(NlpuError, match="cancelled"):  # nothing needed it
        _ = kept[0].value


def test_a_pending_value_outside_its_run_says_where_to_look() -> None:
    def program() -> str:
        pending = echo("x")
        with pytest.raises(NotInRun, match=r"run\.result"):
            Context().run(lambda: pending.value)  # a context in which no program runs
        return "done"

    assert execute(program, engine=ANSWERS).result == "done"


def test_a_pending_value_of_another_run_is_refused() -> None:
    kept: list[Value[Any]] = []
    issued, gate = threading.Event(), threading.Event()

    def one() -> Any:
        kept.append(lift(gate.wait, blocking=True)(60))
        issued.set()
        return kept[0]

    with computer() as machine:
        run = machine.start(one)
        assert issued.wait(60)
        other = finish(machine.start(lambda: str(kept[0])))
        gate.set()
        assert isinstance(other.error, BadOperand)
        assert finish(run).result is True


def test_async_programs_await() -> None:
    async def program() -> Any:
        text, truth = echo("x"), yes("y")
        return [await text, await truth, await text]

    assert execute(program, engine=ANSWERS).result == ["a b", True, "a b"]


@pytest.mark.parametrize(
    "ask", [bool, str, list, len, lambda value: value.value, lambda value: f"{value}"]
)
def test_sync_forcing_in_async_raises(ask: Any) -> None:
    async def program() -> Any:
        value = yes("x")
        await value  # even when the content is there: the rule does not depend on time
        return ask(value)

    run = execute(program, engine=ANSWERS)
    assert isinstance(run.error, BadOperand)
    assert "await v" in str(run.error)


def test_await_raises_the_failure() -> None:
    async def program() -> str:
        try:
            await count("x")
        except Malformed:
            return "caught"
        return "not caught"

    assert execute(program, engine={"many": "several"}).result == "caught"


def test_a_failed_value_raises_what_happened() -> None:
    def program() -> list[str]:
        wrong = count("x")
        seen = []
        for ask in (int, str, repr):
            try:
                seen.append(ask(wrong))
            except NlpuError as error:
                seen.append(type(error).__name__)
        return seen

    first, second, shown = execute(program, engine={"many": "several"}).result
    assert (first, second) == ("Malformed", "Malformed")
    assert "Malformed" in shown


def test_each_of_a_map_gives_values_of_their_own() -> None:
    def program() -> list[str]:
        out = []
        for item in count.map(["1", "x", "3"]).each():
            try:
                out.append(str(int(item)))
            except NlpuError as error:
                out.append(type(error).__name__)
        return out

    run = execute(program, engine=lambda seen: seen.operands["text"])
    assert run.result == ["1", "Malformed", "3"]


def test_each_of_a_map_over_a_pending_list_catches_one_alone() -> None:
    listed = op("List them", list[str])

    def program() -> list[str]:
        out = []
        for item in count.map(listed("x")).each():
            try:
                out.append(str(int(item)))
            except NlpuError as error:
                out.append(type(error).__name__)
        return out

    def script(seen: Any) -> str:
        return '["1","x","3"]' if "List" in seen.instruction else seen.operands["text"]

    assert execute(program, engine=script).result == ["1", "Malformed", "3"]


def test_each_keeps_the_label() -> None:
    items = Value(["a", "b"], UNTRUSTED).each()
    assert [item.label for item in items] == [UNTRUSTED, UNTRUSTED]
    assert [item.value for item in items] == ["a", "b"]
    assert Value(["a"]).each()[0].label is USER


def test_a_literal_value_is_an_operand() -> None:
    run = execute(lambda: merge(Value("a"), "b"))
    assert run.result == "a+b"


def test_the_cause_is_in_the_chain() -> None:
    run = execute(lambda: echo(lift(str)(count("x"))), engine={"many": "several"})
    assert run.error is not None and run.error.__cause__ is not None
    causes = [run.error, run.error.__cause__, run.error.__cause__.__cause__]
    assert [type(error) for error in causes] == [UpstreamFailed, UpstreamFailed, Malformed]


def test_label_prints_short() -> None:
    assert str(Label()) == "untrusted"
