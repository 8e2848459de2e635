"""React: what is no action is never made, and what may be sent after what was read."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from kit import execute
from react_kit import Tools, answer, ask, step, tools, traced

from nlpu.errors import NeedsPerson
from nlpu.programs.react import act
from nlpu.runtime.drivers.approval import ExactCall
from nlpu.runtime.drivers.driver import driver
from nlpu.runtime.drivers.person import ScriptedPerson
from nlpu.testing.scripted import Scripted, default_answer

__all__ = ["tools"]  # a fixture


def test_a_tool_that_fails_says_so_to_the_model(tools: Tools) -> None:
    engine = Scripted([step(ask("add", left=1001, right=1)), answer("It failed.")])
    trace = execute(act, "Add.", tools.all, engine=engine).result
    said = trace.steps[0].actions[0].observation
    assert said.startswith("error: add failed: ") and said.endswith("that is too much")
    assert said in engine.seen[1].chat[-1].text


def test_any_argument_name_will_do() -> None:
    @driver(effect="pure")
    def odd(copy: str, json: int, tool: str) -> str:
        """Take arguments that are called like other things."""
        return f"{copy}{json}{tool}"

    asked = {"tool": "odd", "arguments": {"copy": "a", "json": 1, "tool": "b"}}
    trace = traced([step(asked), answer("x")], "Try.", [odd])
    assert trace.steps[0].actions[0].observation == "a1b"


# -- no malformed action ---------------------------------------------------------------------------

BAD = [
    "",
    "{",
    "look(looms)",
    '{"thought":"x"}',
    step(),
    step(ask("fly", to="Rome")),
    step(ask("look")),
    step(ask("look", what=1)),
    step(ask("look", what="x", why="y")),
    step(ask("add", left="one", right=2)),
    step(*(ask("add", left=n, right=0) for n in range(4))),
    '{"thought":"x","next":{"answer":""}}',
    '{"thought":"x","next":{"tool":"look"}}',
]


@pytest.mark.parametrize("reply", BAD)
def test_what_is_no_action_is_never_made(tools: Tools, reply: str) -> None:
    def model(seen: Any) -> str:
        return "I do not know." if seen.request.constraint is None else reply

    trace = traced(model, "How old?", tools.all)
    assert (trace.ended, trace.answer, trace.steps) == ("no valid step", "I do not know.", [])
    assert tools.asked == []


@pytest.mark.parametrize("seed", range(12))
def test_it_is_well_formed_and_ends_whatever_the_model_says(tools: Tools, seed: int) -> None:
    """The engine's own answers obey the schema; every so often the model says something else."""
    dice = Random(seed)

    def model(seen: Any) -> Any:
        return dice.choice(BAD) if dice.random() < 0.2 else default_answer(seen)

    run = execute(act, "How old?", [tools.look, tools.add], engine=Scripted(model))
    trace = run.result
    assert run.error is None and len(trace.steps) <= 8
    for action in (each for one in trace.steps for each in one.actions):
        wanted = {"look": {"what": str, "most": int}, "add": {"left": int, "right": int}}
        for name, content in action.arguments.items():
            assert type(content) is wanted[action.tool][name]
    assert run.receipt.driven == sum(len(one.actions) for one in trace.steps)


# -- labels ----------------------------------------------------------------------------------------

MAIL = step(ask("send", to="ann", body="hello"))


def test_what_a_tool_says_takes_away_the_right_to_write(tools: Tools) -> None:
    script = [step(ask("look", what="looms")), MAIL, answer("Sent or not.")]
    run = execute(act, "Tell Ann.", tools.all, engine=Scripted(script))
    assert isinstance(run.error, NeedsPerson)  # nobody to ask: it stops, and can be resumed
    person = ScriptedPerson()
    trace = traced(script, "Tell Ann.", tools.all, person=person)
    (asked,) = person.asked
    assert isinstance(asked, ExactCall) and str(asked) == 'send({"to":"ann","body":"hello"})'
    assert trace.ended == "answer" and "was refused" in trace.steps[1].actions[0].observation
    assert ("ann", "hello") not in tools.asked
    yes = ScriptedPerson(approve=lambda call: True)
    assert traced(script, "Tell Ann.", tools.all, person=yes).ended == "answer"
    assert tools.asked[-1] == ("ann", "hello")


def test_before_that_the_user_s_own_question_may_write(tools: Tools) -> None:
    person = ScriptedPerson()
    traced([MAIL, answer("Sent.")], "Tell Ann hello.", tools.all, person=person)
    assert tools.asked == [("ann", "hello")] and person.asked == []
