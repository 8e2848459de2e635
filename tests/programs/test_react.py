"""React: the loop, its actions and its ends; what it costs a server's cache; what it may not do."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from kit import PATIENCE_S, execute, resumed
from memory_kit import TALK, memory, talk
from terminal_fixture import Terminal, nlpu
from test_main_job import Watched

from nlpu.errors import BadOperand, BudgetExceeded, NeedsPerson
from nlpu.memory.controller import Memory
from nlpu.programs.react import AT_ONCE, Action, Step, Trace, act, next_step
from nlpu.runtime import Budget, Computer, spawn
from nlpu.runtime.bench.locomo import read_talk
from nlpu.runtime.drivers.approval import ExactCall
from nlpu.runtime.drivers.arithmetic import calculate
from nlpu.runtime.drivers.driver import Driver, driver
from nlpu.runtime.drivers.person import ScriptedPerson
from nlpu.runtime.drivers.recall import search
from nlpu.testing.scripted import Scripted, default_answer
from nlpu.wire import Engine, Reply, Request
from tests.memory.test_memory_vllm import BLOCK, shared
from tests.vllm_fixture import Served

__all__ = ["nlpu"]
LOCOMO = Path(__file__).parents[3] / "shared" / "data" / "locomo" / "26.json"


def ask(tool: str, **arguments: Any) -> dict[str, Any]:
    return {"tool": tool, "arguments": arguments}


def step(*actions: dict[str, Any], thought: str = "I look.") -> str:
    return json.dumps({"thought": thought, "next": list(actions)})


def answer(text: str) -> str:
    return json.dumps({"thought": "That is enough.", "next": {"answer": text}})


class Tools:
    """A few drivers, and what they were asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

        @driver(effect="read", roles={"what": "content", "most": "selector"})
        def look(what: str, most: int = 3) -> str:
            """Look something up."""
            self.asked.append((what, most))
            return f"{what} are old"

        @driver(effect="pure")
        def add(left: int, right: int) -> int:
            """Add two numbers."""
            if left > 1000:
                raise ValueError("that is too much")
            self.asked.append((left, right))
            return left + right

        @driver(effect="external", roles={"body": "content"})
        def send(to: str, body: str) -> bool:
            """Send a letter."""
            self.asked.append((to, body))
            return True

        self.look: Driver = look
        self.add: Driver = add
        self.send: Driver = send

    @property
    def all(self) -> list[Driver]:
        return [self.look, self.add, self.send]


@pytest.fixture
def tools() -> Tools:
    return Tools()


def traced(script: Any, *args: Any, **options: Any) -> Trace:
    run = execute(act, *args, engine=Scripted(script), **options)
    assert run.error is None, run.error
    assert isinstance(run.result, Trace)
    return run.result


# -- the loop ------------------------------------------------------------------------------------


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


def test_a_tool_that_fails_says_so_to_the_model(tools: Tools) -> None:
    engine = Scripted([step(ask("add", left=1001, right=1)), answer("It failed.")])
    trace = execute(act, "Add.", tools.all, engine=engine).result
    said = trace.steps[0].actions[0].observation
    assert said.startswith("error: add failed: ") and said.endswith("that is too much")
    assert said in engine.seen[1].chat[-1].text


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


# -- with a memory ---------------------------------------------------------------------------------


def test_a_memory_is_searched_and_a_replay_gives_the_same(tools: Tools, tmp_path: Path) -> None:
    both = step(ask("search_memory", question="Who keeps bees?"), ask("look", what="mills"))
    script = [both, step(ask("look", what="bees", most=3)), answer("The brother.")]
    with memory(tmp_path / "store") as store:
        talk(store)
        drivers = [tools.look, search(store, 2)]
        first = execute(act, "Who?", drivers, engine=Scripted(script), run_dir=tmp_path)
        assert TALK[3] in first.result.steps[0].actions[0].observation
        store.write("Bees, bees, bees: keeps them all.")  # would be found now
        engine = Scripted("never asked")
        again = resumed(tmp_path, first, act, "Who?", drivers, engine=engine, replay=True)
        assert again.result == first.result and engine.seen == [] and len(tools.asked) == 2


def test_the_terminal_runs_it(nlpu: Terminal) -> None:
    asked = ("run", "react", "What is 6 * 7?", "--engine", "scripted")
    ended = nlpu(*asked, "--json").json
    short, long = nlpu(*asked), nlpu(*asked, "--trace")
    assert short.out == ended["result"]["answer"] + "\n" and "nlpu show" not in long.err
    assert nlpu("replay", ended["run_id"], "--trace").out == long.out
    other = nlpu("run", "ask", "Hi", "--engine", "scripted", "--trace")
    assert other.out and "note: this program tells no trace; its calls: nlpu show " in other.err
    trace = Trace.model_validate(ended["result"])
    assert all(a.tool in ("calculate", "tell_time") for s in trace.steps for a in s.actions)


# -- on real models --------------------------------------------------------------------------------


class Noted(Watched):
    """Keeps each request with its reply; a script, if there is one, says what the reply says."""

    def __init__(self, engine: Engine, script: Sequence[str] = ()) -> None:
        super().__init__(engine)
        self.pairs: list[tuple[Request, Reply]] = []
        self.script = script

    async def send(self, request: Request, on_text: Callable[[str], None] | None = None) -> Reply:
        least = request.using(max_tokens=1) if self.script else request
        reply = await super().send(least, on_text)
        if self.script:
            reply = reply._replace(text=self.script[len(self.pairs)], finish="stop")
        self.pairs.append((request, reply))
        return reply


def agents(store: Memory, questions: list[str]) -> list[Trace]:
    """One for each question, all at once."""
    traces = [spawn(act, each, [search(store, 2)], 4) for each in questions]
    return [each.value for each in traces]


@pytest.mark.parametrize(("drivers", "steps"), [([], 3), ([calculate], 0)])
def test_an_agent_needs_a_tool_and_a_step(drivers: list[Driver], steps: int) -> None:
    assert isinstance(execute(act, "Why?", drivers, steps).error, BadOperand)


@pytest.mark.slow
@pytest.mark.local
def test_twenty_questions_over_a_memory_end_and_no_action_is_invalid(tmp_path: Path) -> None:
    """The embedded model on a long conversation, which lies beside the project."""
    if not LOCOMO.is_file():
        pytest.skip(f"{LOCOMO} or the embedded processor is not there")
    from nlpu.engines.embedded.engine import EmbeddedEngine  # here: its libraries are an extra

    talked = read_talk(LOCOMO)
    engine = Noted(EmbeddedEngine())
    with memory(tmp_path / "store") as store, Computer(engine) as computer:
        store.write_pages(talked.pages.values())
        run = computer.run(agents, store, [each.text for each in talked.questions[:20]])
        (processor,) = computer.processors.values()
        valid = next_step([search(store, 2)], processor.window).result
    replies = [reply for request, reply in engine.pairs if request.constraint is not None]
    whole = [valid.parse(reply.text) for reply in replies if reply.finish == "stop"]
    actions = [each for trace in run.result for one in trace.steps for each in one.actions]
    ends = Counter(trace.ended for trace in run.result)
    print(f"{len(whole)} of {len(replies)} steps whole; {len(actions)} actions; {ends}")
    assert ends.total() == 20 and run.receipt.driven == len(actions)
    assert all(each.tool == "search_memory" for each in actions)


@pytest.mark.vllm
@pytest.mark.timeout(900)
def test_steps_are_cached_as_far_as_whole_blocks_allow(vllm_server: Served) -> None:
    """A real server's cache, under a trace that is led, so that it is long enough."""

    @driver(effect="read", roles={"what": "content"})
    def look(what: str) -> str:
        """Look something up."""
        return f"{what}: " + "the wind blows from the west over the harbour, and " * 6

    script = [*(step(ask("look", what=f"tides {n}")) for n in range(9)), answer("It is safe.")]
    engine = Noted(vllm_server.engine(), script)
    with Computer(engine) as computer:
        run = computer.run(act, "Is it safe to sail today?", [look, calculate], 10)
    assert run.result.ended == "answer" and len(run.result.steps) == 9
    prompts: list[Any] = [request.prompt for request in engine.sent]
    alike = [shared(before, after) for before, after in pairwise(prompts)]
    assert min(map(int.__sub__, alike[1:], alike)) > 0  # nothing was paged out
    allowed, receipt = sum(tokens // BLOCK * BLOCK for tokens in alike), run.receipt
    print(
        f"{receipt.prompt_tokens} prompt tokens, {allowed} in whole blocks, "
        f"{receipt.cached_tokens} cached"
    )
    assert allowed > 0.6 * receipt.prompt_tokens and receipt.cached_tokens >= 0.9 * allowed
