"""Printing: every object that a person meets says what it is, and does nothing else."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextvars import Context
from pathlib import Path
from typing import Any

import pytest
from kit import Doomed, computer, count, echo, execute, finish, merge, resumed, said, yes
from memory_kit import memory, talk

import nlpu
from nlpu import HostError, Label, Op, Value, errors, lift, nlop, runtime
from nlpu import memory as hierarchy
from nlpu.engines.embedded.engine import EmbeddedEngine
from nlpu.engines.http.engine import HttpEngine
from nlpu.errors import BadOperand, NlpuError, ServerFault
from nlpu.eval.recipes import Trial, choose
from nlpu.judgement import Judgement
from nlpu.label import UNTRUSTED, USER, Integrity, intern_label
from nlpu.memory.store.page import Page
from nlpu.memory.store.queries import Reading
from nlpu.memory.window.entries import Entry
from nlpu.printing import MOST, first_line, one_line, shown
from nlpu.prompt.convention import SECOND
from nlpu.runtime import Budget, Computer, FakeClock, Run, drivers, spawn
from nlpu.runtime.drivers.approval import ExactCall
from nlpu.runtime.drivers.driver import driver
from nlpu.runtime.drivers.person import ScriptedPerson
from nlpu.runtime.executor.builtins import first
from nlpu.runtime.executor.clock import SystemClock
from nlpu.runtime.journal.edits import Edits
from nlpu.runtime.observe.forecast import forecast
from nlpu.runtime.observe.samples import Experience
from nlpu.runtime.scheduler.breakpoints import Gate, Held
from nlpu.testing.scripted import Say, Scripted
from nlpu.value import current
from nlpu.wire import Capabilities
from tests.project.test_architecture import MODULES, house_of, is_core

SECRET = "sk-very-secret"
LONG = "a long text " * 1000
MANY = intern_label(Integrity.USER, frozenset(f"person{n}@example.org" for n in range(99)))
HOUSES = ("nlpu",)
PUBLIC = (nlpu, runtime, hierarchy, drivers)


class Broken:
    def __repr__(self) -> str:
        raise ValueError("no text")


@nlop
def wordy(text: str) -> str:
    """Say nothing new."""


@driver(effect="external", roles={"body": "content"})
def send(to: str, body: str) -> bool:
    """Send a letter."""
    return True


def told(thing: Any) -> str:
    """What ``repr`` says, held to the rules; so is ``print``, but for a Value: that forces."""
    text = repr(thing)
    assert len(text) <= MOST, text
    assert "\n" not in text
    for each in (text, *(() if isinstance(thing, Value) else (str(thing),))):
        assert " object at 0x" not in each
        assert SECRET not in each
    return text


# -- one of each --------------------------------------------------------------------------------


def server(tmp_path: Path) -> drivers.McpServer:
    tool = {"description": "Look.", "inputSchema": {"type": "object"}}
    manifest = tmp_path / "mill.json"
    manifest.write_text(json.dumps({"look": {"effect": "read", "definition": tool}}))
    return drivers.McpServer(["python", f"--key={SECRET}"], manifest, env={"KEY": SECRET})


def found(tmp_path: Path) -> Any:
    with memory(tmp_path / "memory") as store:
        talk(store)
        return store.search("Where are bees?")[0]


def foreseen(tmp_path: Path) -> Any:
    known = Capabilities("scripted", 100_000, 4, tokenizer="chars")
    return forecast(lambda: echo("x"), (), {}, known=known, experience=Experience(), dry_runs=2)


def a_window(tmp_path: Path) -> hierarchy.Window:
    window = hierarchy.Window(2048, len, lambda text, label: "mem:x", protected="Be brief.")
    return window.pin("Today is Monday.").append(LONG[:600], UNTRUSTED).with_operands("When?")


def a_chunk(tmp_path: Path) -> nlpu.Chunk:
    return nlpu.Chunk.of("one two", 0, 3)


def processor(tmp_path: Path) -> Any:
    with computer() as machine:
        return machine.processors["main"]


def receipt(tmp_path: Path) -> Any:
    return execute(lambda: [str(echo("x")), count.using(retries=0)("x")]).receipt


OBJECTS: dict[str, Callable[[Path], Any]] = {
    "'one'": a_chunk,  # a text stays a text, of whatever length
    "Budget(calls=3, nlops=None, ": lambda tmp: Budget(calls=3),
    "Calibration(slope=1.0, ": lambda tmp: nlpu.Calibration(1.0, 0.0),
    "Capabilities(scripted, window 9, 1 in flight at most)": lambda tmp: Capabilities(
        "scripted", 9, 1, weaker=(LONG,), source=LONG
    ),
    "Case(a: {'text': 'a long": lambda tmp: nlpu.Case(
        id="a", operands={"text": LONG}, expected=LONG
    ),
    "ahead by 2(echo)": lambda tmp: nlpu.ahead_by(2)(echo),
    "cascade(echo, verified(echo))": lambda tmp: nlpu.cascade(echo, nlpu.verified(len)(echo)),
    "Choice(a long text": lambda tmp: choose([Trial(recipe=LONG, right=9, wrong=0)], 0.6),
    "Reliability(share=0.9, abstain=0.1, steps=12, table=False)": lambda tmp: nlpu.Reliability(
        0.9, 0.1, 12
    ),
    "Unsure('a long text": lambda tmp: nlpu.Unsure(why=LONG, answers=(LONG,), counts=(1,)),
    "Verified(len)": lambda tmp: nlpu.verified(len),
    "Vote(majority of 3)": lambda tmp: nlpu.majority(3, flags=[lambda said: LONG]),
    "Chat(1 turn, the last user: 'a long": lambda tmp: nlpu.Chat((("user", LONG),)),
    "Computer(scripted, no runs yet, not journaled)": lambda tmp: Computer("scripted"),
    "Computer(small=scripted, large=http://127.0.0.1:1, no runs": lambda tmp: Computer(
        {"small": "scripted", "large": "http://127.0.0.1:1"}, api_key=SECRET
    ),
    "Convention('2')": lambda tmp: SECOND,
    "Counts(calls=1, reused=0, ": lambda tmp: execute(lambda: echo("x")).counts,
    "Driver calculate(expression: authority), pure: Work": lambda tmp: drivers.calculate,
    "Driver send(to: authority, body: content), external: Send a letter.": lambda tmp: send,
    "Edits(main/1, main/2)": lambda tmp: Edits({"main/1": LONG, "main/2": LONG}),
    "EmbeddedEngine(the default model, 0 under way)": lambda tmp: EmbeddedEngine(),
    "EmbeddedEngine(xxxxx": lambda tmp: EmbeddedEngine("x" * 999),
    "Entry(user, readers person0@": lambda tmp: Entry(LONG, MANY),
    "ExactCall(main/0: send({": lambda tmp: ExactCall("main/0", send, json.dumps({"to": LONG})),
    "FakeClock(at 0 s)": lambda tmp: FakeClock(),
    "Files(read=read_file, list=list_files, ": drivers.files,
    "Forecast(calls 1 (1 to 1), nlops ": foreseen,
    "Fleet(letters, 2 workers: not begun)": lambda tmp: nlpu.Fleet(
        told, [], store=f"postgresql://ann:{SECRET}@127.0.0.1/runs", name="letters"
    ),
    "ForcedWait(line='test_printing.py:": lambda tmp: receipt(tmp).forced[0],
    "Found(number=4, page=Page(talk 150-205, untrusted: 'Bob: My bro": found,
    "Gate(stopped, 0 held, breaks at a, b)": lambda tmp: Gate(["a", "b"], stopped=True),
    "Held(main/0: echo, ('a long": lambda tmp: Held("main/0", echo, (LONG, LONG)),
    "HttpEngine(http://127.0.0.1:1, tiny)": lambda tmp: HttpEngine("127.0.0.1:1", "tiny", SECRET),
    "Interval(expected=": lambda tmp: foreseen(tmp).nlops,
    "Judgement(answer=True, probability=0.9)": lambda tmp: Judgement(answer=True, probability=0.9),
    "Label(untrusted)": lambda tmp: Label(),
    "Label(user, readers person0@example.org, person1": lambda tmp: MANY,
    "Limits(thinking_tokens=None, timeout_s=600.0": lambda tmp: nlpu.Limits(),
    "McpServer(python, closed; tools: look)": server,
    "Memory(": lambda tmp: memory(tmp / "memory"),
    "Op echo(text) -> text: Repeat the text.": lambda tmp: echo,
    "Op yes(text) -> yes or no: Is it so?": lambda tmp: yes,
    "Op long(text) -> text: a long": lambda tmp: nlpu.op(LONG, name="long"),
    "Operand(text: text)": lambda tmp: echo.operands[0],
    "Page(no source 0-0, untrusted: 'a long": lambda tmp: Page(LONG),
    "Page(a long text": lambda tmp: Page(LONG, LONG, label=MANY),
    "Part(echo: 1 call, 0.01 nlops, 0 s)": lambda tmp: receipt(tmp).by_op[0],
    "Price(prompt=0.0, ": lambda tmp: nlpu.Price(),
    "Processor(main: scripted, window 100,000, ": processor,
    "Receipt(2 calls, 0.02 nlops (0.01 wasted), depth 2; ": receipt,
    "Region(name='protected', ": lambda tmp: a_window(tmp).regions()[0],
    "Say('a long": lambda tmp: nlpu.Say(LONG),
    "Scripted(0 requests seen)": lambda tmp: Scripted("x"),
    "ScriptedPerson(asked 0 times)": lambda tmp: ScriptedPerson(),
    "SystemClock()": lambda tmp: SystemClock(),
    "Window(2,048 tokens: 1 pinned, 1 in the transcript, 1 operand)": a_window,
    "<Value 'a long text a": lambda tmp: Value(LONG),
    "<Value a Broken that cannot be printed>": lambda tmp: Value(Broken()),
    "<Value [[True, True,": lambda tmp: Value([[True] * 99_999] * 99_999),
    "<bound method Op.map of Op long(text) -> ": lambda tmp: nlpu.op(LONG, name="long").map,
    "<bound method Op.reduce of Op wordy(text) ": lambda tmp: wordy.reduce,
    "<function lift(len) at": lambda tmp: lift(len),
}


@pytest.mark.parametrize("begins", OBJECTS)
def test_every_object_says_what_it_is(begins: str, tmp_path: Path) -> None:
    assert told(OBJECTS[begins](tmp_path)).startswith(begins)


@pytest.mark.parametrize("kind", [k for k in vars(errors).values() if isinstance(k, type)])
def test_every_error_says_what_it_is(kind: type[NlpuError]) -> None:
    assert told(kind("what was wrong")) == f"{kind.__name__}('what was wrong')"
    assert told(kind(LONG)).startswith(f"{kind.__name__}('a long text ")
    assert str(kind(LONG)) == LONG


# -- no public class is left out ------------------------------------------------------------------


def said_types(thing: Any) -> Iterator[str]:
    """The names in what a function gives, or in what a class's public members are or give."""
    if inspect.isfunction(thing):
        yield from re.findall(r"\w+", str(thing.__annotations__.get("return")))
    elif inspect.isclass(thing):
        for name, kind in vars(thing).get("__annotations__", {}).items():
            yield from re.findall(r"\w+", "" if name.startswith("_") else str(kind))
        for name, member in vars(thing).items():
            if not name.startswith("_") or name in ("__call__", "__enter__", "__getitem__"):
                given = member.fget if isinstance(member, property) else member
                yield from said_types(getattr(given, "__func__", given))


def met() -> set[type]:
    """The classes that people meet: the public ones, and what they and public functions give."""
    ours: dict[str, set[type]] = {}
    for module in MODULES:
        if is_core(module) and house_of(module) != "programs":
            for name, kind in vars(importlib.import_module(module)).items():
                if inspect.isclass(kind) and kind.__module__.startswith(HOUSES):
                    ours.setdefault(name, set()).add(kind)
    todo = [getattr(house, name) for house in PUBLIC for name in house.__all__ if name[0] != "_"]
    done: set[type] = {thing for thing in todo if inspect.isclass(thing)}
    while todo:
        thing = todo.pop()
        space = vars(sys.modules.get(thing.__module__, nlpu))
        for name in said_types(thing):
            here = {space[name]} if name in space else ours.get(name, set())
            new = {kind for kind in here if inspect.isclass(kind)} - done
            new = {kind for kind in new if kind.__module__.startswith(HOUSES)}
            done |= new
            todo += new
    return done


def test_no_class_that_people_meet_is_without_a_repr() -> None:
    kinds = met()
    assert {Run, Computer, Op, Label, Page} <= kinds and len(kinds) > 25
    mute = {kind.__qualname__ for kind in kinds if kind.__repr__ is object.__repr__}
    mute -= {"Tokenizer", "Correction", "Rule"}  # protocols
    assert mute == set()


def test_every_public_class_is_in_the_table(tmp_path: Path) -> None:
    names = {
        thing
        for house in PUBLIC
        for n in house.__all__
        if isinstance(thing := getattr(house, n), type)
    }
    made = set[type]()
    for number, make in enumerate(OBJECTS.values()):
        (folder := tmp_path / str(number)).mkdir()
        made.add(type(make(folder)))
    rest = [kind for kind in names if kind not in made and not issubclass(kind, NlpuError)]
    assert rest == [Run]  # which has stages of its own, below


# -- Values ---------------------------------------------------------------------------------------


def test_a_value_in_every_state() -> None:
    kept: dict[str, Value[Any]] = {}
    seen: dict[str, str] = {}

    def program() -> str:
        kept.update(
            call=echo("x"),
            map=echo.map(["a", "b"]),
            reduce=merge_all.reduce(["a", "b"]),
            draws=echo.using(temperature=1.0)("x", samples=2),
            lifted=lift(len)("x"),
            nested=spawn(lambda: "x"),
            first=first(echo("y")),
            driven=send("ann", "x"),
            failing=count("no number"),
        )
        seen.update({name: told(value) for name, value in kept.items()})
        for value in kept.values():
            assert "<Value pending" in told(value) or value.ready
            Context().run(told, value)  # where no program runs
        return str(kept["call"])

    assert execute(program).result == "x"
    assert seen == {
        "call": "<Value pending, echo at main/0>",
        "map": "<Value pending, echo.map at main/1>",
        "reduce": "<Value pending, merge_all.reduce at main/2>",
        "draws": "<Value pending, echo at main/3>",
        "lifted": "<Value pending, len at main/4>",
        "nested": "<Value pending, <lambda> at main/5>",
        "first": "<Value pending, first at main/7>",
        "driven": "<Value pending, send at main/8>",
        "failing": "<Value pending, count at main/9>",
    }
    assert told(kept["call"]) == "<Value 'x'>"
    assert not any("pending" in told(value) for value in kept.values())


@nlop
def merge_all(texts: list[str]) -> str:
    """Merge the texts."""


def test_a_failed_value_says_why_and_where() -> None:
    def program() -> str:
        failing = count.using(retries=0)("no number")
        with pytest.raises(NlpuError):
            int(failing)
        return told(failing)

    why = "the reply 'no number' is not a whole number"
    assert execute(program).result == f'<Value failed: Malformed("{why}"), count at main/0>'


@pytest.mark.parametrize("content", ["what they say", ["what they say"], Broken()])
def test_a_repr_neither_shows_nor_lowers(content: Any) -> None:
    untrusted = Value(content, UNTRUSTED)
    page, entry = Page("what they say"), Entry("what they say", UNTRUSTED)

    def program() -> list[str]:
        texts = [told(thing) for thing in (untrusted, page, entry, [untrusted])]
        assert current().label is USER
        _ = untrusted.value  # this looks, and it counts
        assert current().label is UNTRUSTED
        return [*texts, told(untrusted), told(page)]

    *before, value, after = execute(program).result
    assert before == [
        "<Value not looked at (untrusted)>",
        "Page(no source 0-0, untrusted: not looked at)",
        "Entry(untrusted: not looked at)",
        "[<Value not looked at (untrusted)>]",
    ]
    assert value == told(untrusted) and "not looked at" not in value
    assert after == "Page(no source 0-0, untrusted: 'what they say')"


def test_whether_it_failed_is_not_shown_either() -> None:
    def program() -> list[str]:
        once = count.using(retries=0)
        good, bad = once(Value("1", UNTRUSTED)), once(Value("one", UNTRUSTED))
        echo("time passes").value  # noqa: B018
        assert good.ready and bad.ready
        return [told(good), told(bad)]

    good, bad = execute(program).result
    assert good == "<Value not looked at (untrusted), count at main/0>"
    assert bad == "<Value not looked at (untrusted), count at main/1>"


def test_what_a_program_issued_that_has_looked_is_not_shown_to_one_that_has_not() -> None:
    kept: list[Value[Any]] = []

    def looks() -> str:
        kept.append(echo(str(Value("what they say", UNTRUSTED))))
        return "done"

    def program() -> str:
        spawn(looks)
        echo("time passes").value  # noqa: B018
        assert current().label is USER
        return told(kept[0])

    assert "echo" not in execute(program).result
    other = execute(lambda: [spawn(looks).value, told(kept[-1])])  # this one has looked itself
    assert "echo at main/0/0" in other.result[1]


def test_str_of_a_value_forces_and_lowers() -> None:
    def program() -> list[Any]:
        pending = echo(Value("what they say", UNTRUSTED))
        return [str(pending), str(current().label)]

    assert execute(program).result == ["what they say", "untrusted"]


def test_a_repr_makes_no_call() -> None:
    engine = Scripted(said)
    execute(lambda: [told(echo("x")) for _ in range(9)], engine=engine)
    assert engine.seen == []


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


# -- the parts ------------------------------------------------------------------------------------


def test_the_parts_never_raise_and_are_short() -> None:
    cyclic: list[Any] = []
    cyclic.append(cyclic)
    for content in (Broken(), [Broken()], 10**5000, cyclic, LONG * 100, {"a": {1: LONG}}, b"\xff"):
        for text in (shown(content), first_line(content, 60), one_line(shown(content), 60)):
            assert 0 < len(text) <= 60 and "\n" not in text
    assert shown([1, "a"]) == "[1, 'a']"
    assert first_line("\n one\n two") == "one …" and first_line("one\n") == "one"
    assert told(ServerFault("x" * 500)).endswith("…")
    with pytest.raises(BadOperand):
        str(merge("a"))
