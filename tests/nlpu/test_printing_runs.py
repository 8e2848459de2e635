"""Printing what has stages: runs, computers, memories, servers, engines, and gates."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import pytest
from kit import Doomed, computer, count, echo, execute, finish, resumed, said, yes
from memory_kit import memory, talk
from printing_kit import LONG, SECRET, Broken, send, server, told

from nlpu import HostError, Value, errors, lift
from nlpu.errors import NlpuError
from nlpu.label import UNTRUSTED, USER
from nlpu.memory.store.queries import Reading
from nlpu.printing import one_line
from nlpu.runtime import Computer, FakeClock, Run, drivers
from nlpu.runtime.drivers.person import ScriptedPerson
from nlpu.runtime.journal.edits import Edits
from nlpu.runtime.scheduler.breakpoints import Gate
from nlpu.testing.scripted import Say, Scripted
from nlpu.value import current

# -- runs and computers ---------------------------------------------------------------------------


def stem(text: str, run: Run) -> str:
    """A text with the run's name as X, and its seconds as S."""
    return re.sub(r"[\d.e-]+ s\b", "S", text.replace(run.name, "X"))


def test_a_run_and_its_computer_from_before_to_after(tmp_path: Path) -> None:
    begun, gate = threading.Event(), threading.Event()
    where = tmp_path / "runs"

    def program() -> str:
        first_text = str(echo("A loom is a frame.\nThreads are woven."))
        begun.set()
        lift(gate.wait, blocking=True)(60).value  # noqa: B018
        assert "running, 1 call, " in told(runs[0]) and told(machine)
        return first_text

    machine, runs = computer(run_dir=where), list[Run]()
    assert told(machine) == one_line(f"Computer(Scripted, no runs yet, {where})")
    runs.append(machine.start(program))
    run = runs[0]
    assert told(Run("X", lambda step: None)) == "run X: not begun yet"
    assert begun.wait(60)
    assert stem(told(run), run) == "run X: running, 1 call, 0.11 nlops, S"
    assert told(machine) == one_line(f"Computer(Scripted, 1 run, 1 going, {where})")
    gate.set()
    finish(run)
    after = "run X: done, 1 call, 0.11 nlops, S; A loom is a frame. …"
    assert stem(told(run), run) == after
    assert stem(str(run), run) == after.replace("; ", "\n")
    told(machine)
    machine.close()
    assert stem(told(run), run) == after
    assert told(machine) == one_line(f"Computer(Scripted, 1 run, closed, {where})")


def test_a_run_agrees_with_its_receipt() -> None:
    def program() -> Any:
        return echo.map(["a", "b", "a"]), yes("x")

    run = execute(program, engine={"Repeat": "words", "so?": "yes"})
    receipt = run.receipt
    assert f" {receipt.calls} calls, {receipt.nlops:.3g} nlops, " in told(run)


def ends(run: Run) -> list[str]:
    return stem(str(run), run).split("\n")[1:]


GO_ON = "to go on: computer.resume('X', program, ...)"


def test_a_run_that_failed() -> None:
    run = execute(lambda: echo(lift(str)(count.using(retries=0)("x"))), engine={"many": "several"})
    assert stem(told(run), run).startswith("run X: failed, 1 call, 0.01 nlops, S; Malformed: the r")
    assert ends(run) == [
        'Malformed: echo at main/2 could not run: count at main/0 ("x") failed: '
        "the reply 'several' is not a whole number"
    ]


def test_a_run_whose_host_failed_says_how_to_go_on(tmp_path: Path) -> None:
    run = execute(lambda: echo("x"), engine=[errors.Unauthorized("no key")], run_dir=tmp_path)
    assert isinstance(run.error, HostError)
    assert ends(run) == ["Unauthorized: no key", GO_ON]


def test_a_run_that_was_stopped(tmp_path: Path) -> None:
    def program() -> Any:
        str(echo("x"))
        begun.set()
        return lift(gate.wait, blocking=True)(60)

    for run_dir, how in ((tmp_path, GO_ON), (None, "it was not journaled: nothing can go on")):
        begun, gate = threading.Event(), threading.Event()
        with computer(run_dir=run_dir) as machine:
            run = machine.start(program)
            assert begun.wait(60)
            run.stop()
            first_told = told(run)
        gate.set()
        assert told(run) == first_told
        assert stem(first_told, run).startswith("run X: stopped, 1 call, 0.01 nlops, S; Interr")
        why, last = ends(run)
        assert why.startswith("Interrupted: ") and last.startswith(how)
    assert told(resumed(tmp_path, run_of(tmp_path), lambda: str(echo("x")))).endswith("; x")


def run_of(run_dir: Path) -> Run:
    """A handle on the one run of a directory."""
    return Run(next(run_dir.glob("*.db")).stem, lambda step: None)


def test_a_run_that_was_killed_and_resumed(tmp_path: Path) -> None:
    def program() -> list[str]:
        return [str(echo(text)) for text in ("a", "b", "c")]

    engine = Doomed(said, tmp_path / "runs", tmp_path / "grave", at=3)
    execute(program, engine=engine, run_dir=tmp_path / "runs")
    run = resumed(tmp_path / "grave", run_of(tmp_path / "grave"), program)
    assert stem(told(run), run) == "run X: done, 1 call + 2 reused, 0.01 nlops, S; ['a', 'b', 'c']"
    assert ends(run) == ["['a', 'b', 'c']"]


def test_a_run_that_needs_a_person(tmp_path: Path) -> None:
    run = execute(lambda: send(Value("ann", UNTRUSTED), "x"), run_dir=tmp_path)
    assert stem(told(run), run).startswith("run X: needs a person, 0 calls, 0 nlops, S; NeedsPe")
    assert ends(run)[-1] == GO_ON


def test_a_run_that_could_not_begin(tmp_path: Path) -> None:
    with computer(run_dir=tmp_path) as machine:
        whole = finish(machine.start(lambda: str(echo("x"))))
        run = machine.rerun(whole.name, lambda: echo("x"), edits=Edits({"main/9": "y"}))
        with pytest.raises(NlpuError):
            run.wait()
        assert told(run).startswith(f"run {run.name}: could not begin; Usage: the run has no call")
    told(run)


@pytest.mark.parametrize("result", [None, Broken(), LONG, ["x"] * 9999, "\x1b[2Jx", "\ud800", {}])
def test_a_run_with_any_result(result: Any) -> None:
    run = execute(lambda: result)
    assert told(run).startswith(f"run {run.name}: done, 0 calls, 0 nlops, 0 s")
    assert "\x1b" not in str(run) and str(run).encode() and len(str(run)) < 500


def test_a_run_shows_a_program_nothing_that_would_lower_it() -> None:
    with computer() as machine:
        run = finish(machine.start(lambda: Value("what they say", UNTRUSTED)))
        failed = finish(machine.start(lambda: count(Value("what they say", UNTRUSTED))))

        def program() -> list[str]:
            texts = [told(run), str(run), told(failed), str(failed)]
            assert current().label is USER
            return texts

        other = finish(machine.start(program))
    assert not any("they say" in text for text in other.result)
    assert all("its outcome is not looked at (untrusted)" in text for text in other.result)
    assert told(run).endswith("; what they say")


# -- what else has stages -------------------------------------------------------------------------


def test_a_memory_is_printed_without_reading_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = memory(tmp_path)
    talk(store)
    with monkeypatch.context() as patch:
        patch.setattr(Reading, "_all", None)
        patch.setattr("builtins.open", None)
        assert told(store) == one_line(f"Memory({tmp_path}, bag, hybrid firmware)")
    store.close()
    assert told(store) == one_line(f"Memory({tmp_path}, bag, hybrid firmware, closed)")
    assert told(store.firmware) == "hybrid firmware"


def test_a_server_of_tools_is_open_within_its_with(tmp_path: Path) -> None:
    made = server(tmp_path)
    with made:
        assert told(made) == "McpServer(python, open; tools: look)"
    assert told(made) == "McpServer(python, closed; tools: look)"
    assert told(made["look"]).startswith("Driver look(), read: A tool of an MCP server.")
    url = "http://127.0.0.1:1/mcp"
    made = drivers.McpServer(f"{url}?key={SECRET}", tmp_path / "mill.json")
    assert told(made) == f"McpServer({url}, closed; tools: look)"


@pytest.mark.parametrize("url", [f"http://ann:{SECRET}@127.0.0.1:1", f"http://x/?key={SECRET}"])
def test_a_secret_in_an_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(NlpuError) as refused:
        Computer(url)
    assert told(refused.value)


def test_engines_and_clocks_tell_how_far_they_are() -> None:
    engine, clock = Scripted(Say("x", seconds=2.5)), FakeClock()
    person = ScriptedPerson()
    with Computer({"main": engine}, clock=clock, person=person) as machine:
        run = finish(machine.start(lambda: [echo("x"), send(Value("ann", UNTRUSTED), "y")]))
        assert told(machine) == "Computer(Scripted, 1 run, not journaled)"
    assert told(engine) == "Scripted(1 request seen, closed)"
    assert told(clock) == "FakeClock(at 2.5 s)"
    assert told(person) == "ScriptedPerson(asked 1 time)"
    (call,) = person.asked
    assert told(call).startswith('ExactCall(main/1: send({"to":"ann","body":"y"}); \'to\' decides')
    assert told(run.error)


def test_a_gate_tells_what_it_holds() -> None:
    held = threading.Event()
    gate = Gate(["echo"], on_stop=held.set)
    with computer() as machine:
        run = machine.start(lambda: echo(LONG), gate=gate)
        assert held.wait(60)
        assert told(gate) == "Gate(stopped, 1 held, breaks at echo)"
        assert told(gate.held()[0]).startswith("Held(main/0: echo, ('a long text")
        gate.go()
        finish(run)
    assert told(gate) == "Gate(open, 0 held, breaks at echo)"
