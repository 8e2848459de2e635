"""React over a memory, in the terminal, and on real models: what it costs a server's cache."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from kit import execute, resumed
from memory_kit import TALK, memory, talk
from react_kit import Tools, answer, ask, step, tools
from terminal_fixture import Terminal, nlpu
from test_main_job import Watched

from nlpu.memory.controller import Memory
from nlpu.programs.react import Trace, act, next_step
from nlpu.runtime import Computer, spawn
from nlpu.runtime.bench.locomo import read_talk
from nlpu.runtime.drivers.arithmetic import calculate
from nlpu.runtime.drivers.driver import driver
from nlpu.runtime.drivers.recall import search
from nlpu.testing.scripted import Scripted
from nlpu.wire import Engine, Reply, Request
from tests.memory.test_memory_vllm import BLOCK, shared
from tests.vllm_fixture import Served

__all__ = ["nlpu", "tools"]  # fixtures
LOCOMO = Path(__file__).parents[3] / "shared" / "data" / "locomo" / "26.json"


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
