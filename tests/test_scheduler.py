"""The scheduler: no barrier, the same order every time, each work once, nothing for nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from kit import (
    asked,
    computer,
    count,
    echo,
    execute,
    finish,
    merge,
    said,
    shorten,
    slow,
    yes,
)

from nlpu import Limits, Op, Value, lift, op
from nlpu.engines.scripted import Say, Scripted, Seen
from nlpu.errors import BadOperand, Cancelled, DoesNotFit, Malformed, UpstreamFailed
from nlpu.wire import Reply, Request
from runtime import first, spawn


def instructions(engine: Scripted) -> list[str]:
    return [f"{seen.instruction.split()[0]} {text}" for seen, text in zip(
        engine.seen, asked(engine), strict=True)]  # fmt: skip


# -- no barrier, and the same order every time ---------------------------------------------------


def test_a_call_starts_when_its_own_operands_are_there() -> None:
    engine = Scripted(slow(lambda text: {"a": 1.0, "b": 5.0}.get(text, 0.5)))
    with computer(engine) as machine:
        run = finish(machine.start(lambda: shorten.map(echo.map(["a", "b"]))))
    # The second step of a is asked before the first step of b is done.
    assert instructions(engine) == ["Repeat a", "Repeat b", "Shorten a", "Shorten b"]
    assert run.receipt.seconds == 6 - 1.0 + 5.0
    assert run.receipt.queue_s == 0


def test_ready_calls_go_by_the_longest_path_behind_them() -> None:
    def program() -> Any:
        short, long = echo("short"), echo("long")
        return short, merge(shorten(shorten(long)), "end")

    engine = Scripted(slow(1.0))
    execute(program, engine=engine, limits=Limits(max_in_flight=1))
    assert asked(engine)[0] == "long"
    assert engine.seen[0].request.priority < engine.seen[-1].request.priority
    assert engine.seen[0].request.priority == -4 * echo.max_tokens


def test_a_call_issued_later_raises_what_it_reads() -> None:
    def program() -> Any:
        texts = echo.map(["one", "two", "three"]).each()
        if yes("wait"):
            return *texts, shorten(shorten(texts[2]))
        return None

    engine = Scripted(lambda s: Say("yes" if "so?" in s.instruction else said(s), seconds=1.0))
    execute(program, engine=engine, limits=Limits(max_in_flight=1), estimates={"yes": 10_000})
    assert asked(engine)[:4] == ["wait", "one", "three", "three"]  # one went as the answer came


def test_two_runs_issue_the_same_in_the_same_order() -> None:
    def program() -> Any:
        parts = echo.map([f"{n}" for n in range(20)])
        inner = [spawn(lambda n=n: shorten(echo(f"inner {n}"))) for n in range(5)]
        if yes("x") or True:
            inner.append(echo.reduce(shorten.map(parts)))
        return inner

    def sequence() -> list[Any]:
        answer = slow(lambda text: 1 + len(text) % 3)
        engine = Scripted(lambda s: "yes" if "so?" in s.instruction else answer(s))
        execute(program, engine=engine, limits=Limits(max_in_flight=4))
        return [(seen.request.prompt, seen.request.priority) for seen in engine.seen]

    one = sequence()
    assert one == sequence()
    assert len(one) == 20 + 20 + 10 + 1 + 4


# -- the same work once ------------------------------------------------------------------------


def test_equal_calls_are_one_call_at_temperature_0() -> None:
    engine = Scripted(said)
    run = execute(lambda: [echo("x"), echo("x"), shorten("x"), echo(echo("x"))], engine=engine)
    assert run.result == ["x"] * 4
    assert len(engine.seen) == 2
    assert (run.receipt.calls, run.receipt.shared) == (2, 3)


def test_draws_are_not_merged_unless_they_have_the_same_number() -> None:
    warm = echo.using(temperature=1.0)
    engine = Scripted(said)
    run = execute(
        lambda: [
            warm("x"),
            warm("x"),
            warm("x", sample=1),
            warm("x", sample=1),
            warm("x", sample=2),
        ],
        engine=engine,
    )
    assert len(engine.seen) == 4
    assert run.receipt.shared == 1


def test_fleets_do_not_share_across_runs_but_samples_differ_within() -> None:
    warm = echo.using(temperature=1.0)
    engine = Scripted(said)
    nested = [lambda: warm("x"), lambda: warm("x")]
    execute(lambda: [spawn(program) for program in nested], engine=engine)
    assert len(engine.seen) == 2


def test_another_takes_over_a_shared_call_whose_asker_is_cancelled() -> None:
    engine = Scripted(slow(5.0))

    def program() -> Any:
        slow_one = echo("x")
        sharer = shorten(echo("x"))
        quick = first(slow_one, lift(lambda: "quick")())
        return str(quick), sharer

    run = execute(program, engine=engine)
    assert run.result == ("quick", "x")
    assert len(engine.seen) == 2 and engine.cancelled == []
    assert run.receipt.calls == 2


# -- limits --------------------------------------------------------------------------------------


class Watching(Scripted):
    """Notes how many requests are here at once, and how many tasks there are in all."""

    here = most = tasks = 0

    async def send(self, request: Request, on_text: Callable[[str], None] | None = None) -> Reply:
        self.here += 1
        self.most = max(self.most, self.here)
        if len(self.seen) % 100 == 0:
            self.tasks = max(self.tasks, len(asyncio.all_tasks()))
        try:
            return await super().send(request, on_text)
        finally:
            self.here -= 1


@pytest.mark.parametrize("slots", [1, 7])
def test_no_more_in_flight_than_allowed(slots: int) -> None:
    engine = Watching(slow(1.0))
    run = execute(
        lambda: echo.map([f"{n}" for n in range(50)]),
        engine=engine,
        limits=Limits(max_in_flight=slots),
    )
    assert (engine.most, len(run.result)) == (slots, 50)
    assert run.receipt.seconds == -(-50 // slots)


def test_a_node_that_waits_costs_no_task() -> None:
    engine = Watching(slow(1.0))
    run = execute(
        lambda: shorten.map(echo.map([f"{n}" for n in range(5_000)])),
        engine=engine,
        limits=Limits(max_in_flight=500),
    )
    assert len(run.result) == 5_000
    assert engine.most == 500
    assert engine.tasks <= 500 + 5
    assert run.receipt.parallelism == 5_000


def test_the_limit_holds_across_runs_and_after_cancelled_calls() -> None:
    engine = Watching(slow(1.0))

    def leaves_one_behind() -> str:
        text, _unneeded = echo("x"), shorten("y")
        return str(text)

    with computer(engine, limits=Limits(max_in_flight=1)) as machine:
        for _ in range(3):
            run = finish(machine.start(leaves_one_behind))
            assert run.result == "x"
    assert engine.most == 1


# -- nested programs and growing graphs ------------------------------------------------------------


def test_nested_programs_run_side_by_side() -> None:
    def part(text: str) -> str:
        return str(shorten(echo(text))) + "!"

    engine = Scripted(slow(1.0))
    run = execute(lambda: [spawn(part, f"{n}") for n in range(30)], engine=engine)
    assert run.result == [f"{n}!" for n in range(30)]
    assert run.receipt.seconds == 2.0
    assert {part.name.rsplit("/", 1)[0] for part in run.receipt.by_part} == {"main"}


def test_a_nested_program_outlives_its_parents_body() -> None:
    def nested() -> Any:
        seen, not_yet_read = echo("slow"), shorten("later")
        str(seen)
        return not_yet_read

    def program() -> Any:
        inner = spawn(nested)
        str(echo("fast"))
        return inner

    engine = Scripted(slow(lambda text: 1.0 if text == "fast" else 5.0))
    run = execute(program, engine=engine)
    assert run.result == "later"
    assert engine.cancelled == []


def test_values_go_into_and_out_of_nested_programs() -> None:
    def nested(value: Any) -> Any:
        return merge(value, echo("mine"))

    def program() -> Any:
        given = echo("given")
        return spawn(nested, given), spawn(lambda: str(spawn(nested, "deep")))

    assert execute(program).result == ("given+mine", "deep+mine")


def test_a_failing_nested_program_fails_its_value_alone() -> None:
    def bad() -> str:
        raise ZeroDivisionError("oops")

    def program() -> Any:
        inner, fine = spawn(bad), echo("fine")
        try:
            return str(inner)
        except Exception as error:
            return f"{error}", fine

    run = execute(program)
    assert run.result == ("the program bad raised ZeroDivisionError: oops", "fine")


def test_graphs_grow_from_what_arrives() -> None:
    parts = op("List the parts", list[str])

    def tree(text: str, depth: int) -> Any:
        if depth == 0:
            return echo(text)
        below = [spawn(tree, part, depth - 1) for part in parts(text)]
        return echo.reduce(below)

    def script(seen: Seen) -> str:
        text = seen.operands["text"]
        return f'["{text}l","{text}r"]' if "List" in seen.instruction else text

    run = execute(tree, "x", 3, engine=script)
    assert run.result.replace("\n", "") == "".join(
        f"x{a}{b}{c}" for a in "lr" for b in "lr" for c in "lr"
    )
    assert run.receipt.depth == 3 + 1 + 3


def test_a_map_over_a_pending_list_grows_when_it_is_there() -> None:
    listed = op("List", list[str])
    engine = Scripted(lambda s: '["a","b"]' if "List" in s.instruction else said(s))
    run = execute(lambda: echo.reduce(shorten.map(listed("x"))), engine=engine)
    assert run.result == "a\n\nb"
    assert [seen.operands["text"] for seen in engine.seen] == ["x", "a", "b", "a\n\nb"]


def test_reduction_groups_do_not_depend_on_what_has_arrived() -> None:
    def program(topic_first: bool) -> Any:
        topic = lift(lambda text: text * 700)(count_as_text("7"))
        if topic_first:
            len(topic)
        return merge.reduce([f"{n}" * 200 for n in range(9)], topic)

    counts = []
    for topic_first in (True, False):
        run = execute(program, topic_first, engine=Scripted(lambda s: "7", window=2600))
        assert run.status == "done", run.error
        counts.append(run.receipt.calls)
    assert counts[0] == counts[1]


def count_as_text(text: str) -> Value[str]:
    return echo(text)


def test_every_call_of_a_reduction_fits() -> None:
    asks: Op[str] = shorten.using(max_tokens=200)
    engine = Scripted(lambda seen: "y" * 200, window=1500)
    run = execute(lambda: asks.reduce([f"{n:03d}" + "x" * 297 for n in range(60)]), engine=engine)
    assert run.status == "done", run.error
    assert all(len(seen.request.prompt) + 200 <= 1500 for seen in engine.seen)
    firsts = [seen.operands["text"][:3] for seen in engine.seen]
    assert firsts[:3] == ["000", "003", "006"]


# -- first, cancel -----------------------------------------------------------------------------


def test_first_takes_what_comes_first_and_stops_the_others() -> None:
    engine = Scripted(slow(lambda text: {"a": 3.0, "b": 1.0}.get(text, 9.0)))
    run = execute(lambda: first(echo("a"), echo("b"), echo("c")), engine=engine)
    assert run.result == "b"
    assert len(engine.cancelled) == 2
    assert run.receipt.seconds == 1.0


def test_first_spares_what_another_reads_and_stops_what_grew() -> None:
    engine = Scripted(slow(lambda text: {"quick": 1.0}.get(text, 9.0)))

    def program() -> Any:
        needed, mapped = echo("needed"), echo.map(["u", "v"])
        reader = shorten(needed)
        winner = first(needed, mapped, echo("quick"))
        return winner, reader

    run = execute(program, engine=engine)
    assert run.result == ("quick", "needed")
    assert len(engine.cancelled) == 2
    assert run.receipt.seconds == 18.0


def test_a_failure_does_not_win_while_another_may_come() -> None:
    engine = Scripted(lambda s: Say("x", seconds=1 if "many" in s.instruction else 2))
    assert execute(lambda: first(count("a"), echo("b")), engine=engine).result == "x"
    both = execute(lambda: first(count("a"), count("b")), engine=engine)
    assert isinstance(both.error, Malformed)


def test_what_the_result_does_not_need_is_stopped_at_the_engine() -> None:
    engine = Scripted(slow(lambda text: 1.0 if text == "fast" else 100.0))

    def program() -> str:
        echo.map([f"{n}" for n in range(10)])
        shorten(echo("behind"))
        spawn(lambda: str(echo("nested")))
        return str(echo("fast"))

    run = execute(program, engine=engine)
    assert run.result == "fast"
    assert len(engine.cancelled) == len(engine.seen) - 1 == 12
    assert run.receipt.seconds == 1.0


def test_what_the_result_needs_goes_on_after_the_body() -> None:
    engine = Scripted(slow(1.0))
    run = execute(lambda: {"a": [shorten(echo("x"))], "b": (echo("y"), 3)}, engine=engine)
    assert run.result == {"a": ["x"], "b": ("y", 3)}
    assert engine.cancelled == []


def test_a_run_stopped_before_it_starts_asks_nothing() -> None:
    engine = Scripted(slow(1.0))
    with computer(engine) as machine:
        runs = [machine.start(lambda: str(echo("x"))) for _ in range(50)]
        for run in runs:
            run.stop()
        assert {run.status for run in runs} <= {"stopped", "done"}
        asked_then = len(engine.seen)
        assert finish(machine.start(lambda: str(echo("y")))).result == "y"
    assert len(engine.seen) == asked_then + 1


# -- failures ----------------------------------------------------------------------------------


def test_a_failure_fails_its_dependents_and_nothing_else() -> None:
    def program() -> Any:
        wrong, fine = count("wrong"), shorten(echo("fine"))
        behind = merge(lift(str)(wrong), fine)
        try:
            str(behind)
        except UpstreamFailed as error:
            causes = [
                error,
                error.__cause__,
                error.__cause__.__cause__ if error.__cause__ else None,
            ]
            return [type(cause).__name__ for cause in causes], fine
        return None

    run = execute(program)
    assert run.result == (["UpstreamFailed", "UpstreamFailed", "Malformed"], "fine")
    assert run.receipt.failed == 1


def test_the_failure_of_a_result_is_the_runs() -> None:
    run = execute(lambda: [echo("fine"), count("x")])
    assert run.status == "failed"
    assert "count at main/1 failed" in str(run.error)
    with pytest.raises(UpstreamFailed):
        _ = run.result


def test_what_a_program_raises_is_typed() -> None:
    def program() -> None:
        raise KeyError("lost")

    run = execute(program)
    assert "raised KeyError: 'lost'" in str(run.error)
    assert isinstance(run.error.__cause__, KeyError) if run.error else False


def test_what_does_not_fit_is_refused_before_anything_is_sent() -> None:
    engine = Scripted(said, window=600)
    run = execute(lambda: echo("x" * 400), engine=engine)
    assert isinstance(run.error, DoesNotFit)
    assert run.error.available == 600 and run.error.needed > 600
    assert "split()" in str(run.error) and engine.seen == []


def test_a_cancelled_value_says_so() -> None:
    def program() -> Any:
        loser = echo("slow")
        str(first(loser, echo("fast")))
        return loser

    run = execute(program, engine=Scripted(slow(lambda text: 1.0 if text == "fast" else 9.0)))
    assert isinstance(run.error, Cancelled)


# -- programs of every kind ------------------------------------------------------------------------


def test_a_fleet_of_two_thousand_programs() -> None:
    def program(n: int) -> str:
        return str(shorten(echo(f"{n}")))

    engine = Scripted(slow(1.0))
    with computer(engine) as machine:
        runs = [machine.start(program, n) for n in range(2000)]
        assert [finish(run).result for run in runs] == [f"{n}" for n in range(2000)]
    assert len(engine.seen) == 4000


def test_blocking_functions_run_on_threads() -> None:
    import threading

    together = threading.Barrier(3, timeout=20)

    def wait(text: str) -> str:
        together.wait()
        return f"{text} on {threading.current_thread() is not threading.main_thread()}"

    apart = lift(wait, blocking=True)
    run = execute(lambda: [apart(echo(text)) for text in "abc"])
    assert run.result == ["a on True", "b on True", "c on True"]


def test_a_blocking_function_that_raises() -> None:
    run = execute(lift(lambda: 1 / 0, blocking=True))
    assert "raised ZeroDivisionError" in str(run.error)


def test_a_lift_gives_plain_data() -> None:
    run = execute(lift(object))
    assert isinstance(run.error, BadOperand)
    assert "must be text, a number, a list" in str(run.error)


def test_async_programs_can_gather_and_nest() -> None:
    async def part(text: str) -> str:
        return await shorten(echo(text))

    async def program() -> Any:
        values = [spawn(part, f"{n}") for n in range(5)]
        together = await asyncio.gather(*(wait_for(value) for value in values))
        return together, spawn(lambda: str(echo("plain")))

    async def wait_for(value: Value[Any]) -> Any:
        return await value

    engine = Scripted(slow(1.0))
    run = execute(program, engine=engine)
    assert run.result == (["0", "1", "2", "3", "4"], "plain")
    assert run.receipt.seconds == 3.0


def test_it_works_beside_a_running_loop_and_inside_it() -> None:
    async def notebook() -> list[Any]:
        with computer(Scripted(slow(1.0))) as machine:
            inside = machine.run(lambda: echo("blocking")).result  # blocks this loop, not the run
            run = await machine.start(lambda: echo("awaited"))
            several = await asyncio.gather(*(machine.start(echo_of, f"{n}") for n in range(3)))
            return [inside, run.result, [one.result for one in several]]

    def echo_of(text: str) -> Any:
        return echo(text)

    assert asyncio.run(notebook()) == ["blocking", "awaited", ["0", "1", "2"]]


def test_text_streams_as_it_comes() -> None:
    with computer(Scripted("one two three")) as machine:
        run = machine.start(lambda: echo("x"), stream=True)
        assert "".join(run.stream()) == "one two three"
        assert finish(run).result == "one two three"


def test_named_tuples_of_values_are_results() -> None:
    from typing import NamedTuple

    class Pair(NamedTuple):
        left: Any
        right: Any

    run = execute(lambda: Pair(echo("a"), {"b": echo("b")}))
    assert run.result == Pair("a", {"b": "b"})
