"""React: the loop, its actions and its ends."""

from __future__ import annotations

import threading
from itertools import pairwise
from pathlib import Path

import pytest
from kit import PATIENCE_S, execute, resumed
from react_kit import Tools, answer, ask, step, tools, traced

from nlpu.errors import BadOperand, BudgetExceeded
from nlpu.programs.react import AT_ONCE, Action, Step, Trace, act
from nlpu.runtime import Budget
from nlpu.runtime.drivers.arithmetic import calculate
from nlpu.runtime.drivers.driver import Driver, driver
from nlpu.testing.scripted import Scripted

__all__ = ["tools"]  # a fixture


def test_a_scripted_trace_is_reproduced(tools: Tools) -> None:
    script = [
        step(ask("look", what="looms"), ask("add", left=1, right=2), thought="Both help."),
        step(ask("look", what="mills", most=1)),
        answer("Old."),
    ]
    trace = traced(script, "How old are they?", tools.all)
    assert trace == Trace(
        answer="Old.",
        ended="answer",
        steps=[
            Step(
                thought="Both help.",
                actions=[
                    Action(tool="look", arguments={"what": "looms"}, observation="looms are old"),
                    Action(tool="add", arguments={"left": 1, "right": 2}, observation="3"),
                ],
            ),
            Step(
                thought="I look.",
                actions=[
                    Action(
                        tool="look",
                        arguments={"what": "mills", "most": 1},
                        observation="mills are old",
                    ),
                ],
            ),
        ],
    )
    assert sorted(map(str, tools.asked)) == ["('looms', 3)", "('mills', 1)", "(1, 2)"]
    assert "(1) Both help.\nlook(what='looms') gave:\nlooms are old" in trace.trace()
    assert str(trace) == "Old." and trace.trace().endswith("\n\nOld.")
    cut = Trace(answer="Perhaps.", ended="steps", steps=[])
    assert str(cut) == "Perhaps.\n(ended: steps)"  # it is not silent that none was given


def test_actions_of_one_step_are_made_at_the_same_time() -> None:
    together = threading.Barrier(AT_ONCE, timeout=PATIENCE_S)

    @driver(effect="read", roles={"place": "selector"})
    def meet(place: int) -> int:
        """Wait for the others."""
        return together.wait()

    script = [step(*(ask("meet", place=n) for n in range(AT_ONCE))), answer("met")]
    trace = traced(script, "Meet.", [meet])
    assert sorted(each.observation for each in trace.steps[0].actions) == ["0", "1", "2"]


def test_the_transcript_is_only_added_to(tools: Tools) -> None:
    engine = Scripted([*(step(ask("look", what=f"thing {n}")) for n in range(6)), answer("So.")])
    execute(act, "How old?", tools.all, engine=engine)
    read = [seen.chat for seen in engine.seen]
    assert [len(chat) for chat in read] == [1, 3, 5, 7, 9, 11, 13]
    assert "- send: Send a letter." in read[0][0].text
    assert read[0][0].text.endswith("\n\nquestion: How old?")
    assert read[1][1:] == (
        (
            "assistant",
            step(ask("look", what="thing 0", most=3)).replace(": ", ":").replace(", ", ","),
        ),
        ("user", "look(what='thing 0') gave:\nthing 0 are old"),
    )
    assert all(after[: len(before)] == before for before, after in pairwise(read))


def test_what_was_all_done_before_ends_the_loop(tools: Tools) -> None:
    first, second = ask("look", what="looms"), ask("look", what="mills")
    script = [step(first), step(second, first, second), step(first, second), "So it is."]
    trace = traced(script, "How old?", tools.all)
    assert (trace.ended, trace.answer, len(trace.steps)) == ("repetition", "So it is.", 2)
    assert len(trace.steps[1].actions) == 2  # the same twice in one step is one action


def test_steps_are_limited(tools: Tools) -> None:
    script = [step(ask("add", left=1, right=n)) for n in range(3)]
    trace = traced([*script, "Three."], "Count.", tools.all, 3)
    assert (trace.ended, trace.answer, len(trace.steps)) == ("steps", "Three.", 3)


def test_a_question_as_long_as_the_window_still_leaves_its_trace(tools: Tools) -> None:
    script = [step(ask("add", left=1, right=n), thought="t" * 150) for n in range(12)]
    engine = Scripted([*script, "Twelve."], window=4000)
    trace = execute(act, "Q" * 3500, tools.all, 12, engine=engine).result
    assert (trace.ended, trace.answer, len(trace.steps)) == ("steps", "", 12)


def test_a_run_out_of_budget_goes_on_where_it_stopped(tools: Tools, tmp_path: Path) -> None:
    script = [step(ask("look", what="looms")), step(ask("look", what="mills")), answer("Old.")]
    first = execute(
        act,
        "How old?",
        tools.all,
        engine=Scripted(script),
        run_dir=tmp_path,
        budget=Budget(calls=2),
    )
    assert isinstance(first.error, BudgetExceeded)
    engine = Scripted(script[2:])
    again = resumed(tmp_path, first, act, "How old?", tools.all, engine=engine, budget=Budget())
    assert (again.result.answer, len(again.result.steps)) == ("Old.", 2)
    assert len(engine.seen) == 1 and tools.asked == [("looms", 3), ("mills", 3)]


def test_a_long_observation_is_whole_in_the_trace_and_fits_the_window() -> None:
    @driver(effect="read", roles={"page": "selector"})
    def book(page: int) -> str:
        """Read a page."""
        return f"page {page}. " + "It rained in the valley. " * 400

    engine = Scripted(
        [*(step(ask("book", page=n)) for n in range(5)), answer("Rain.")], window=3000
    )
    trace = execute(act, "What is it about?", [book], engine=engine).result
    assert (trace.ended, len(trace.steps)) == ("answer", 5)
    assert all(len(each.actions[0].observation) > 9000 for each in trace.steps)
    assert "[this goes on at note 1]" in engine.seen[1].chat[-1].text
    first, second = engine.seen[-1].chat[:2]
    assert "earlier entries" in first.text and "gave:" not in first.text  # turns leave as a whole
    assert (first.role, second.role) == ("user", "assistant") and second.text.startswith("{")


@pytest.mark.parametrize(("drivers", "steps"), [([], 3), ([calculate], 0)])
def test_an_agent_needs_a_tool_and_a_step(drivers: list[Driver], steps: int) -> None:
    assert isinstance(execute(act, "Why?", drivers, steps).error, BadOperand)
