"""Printing: every object that a person meets says what it is, and does nothing else."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from house_kit import MODULES, house_of, is_core
from kit import computer, count, echo, execute, merge, yes
from memory_kit import memory, talk
from printing_kit import LONG, SECRET, Broken, send, server, told

import nlpu
from nlpu import Label, Op, Value, errors, lift, nlop, runtime
from nlpu import memory as hierarchy
from nlpu.engines.embedded.engine import EmbeddedEngine
from nlpu.engines.http.engine import HttpEngine
from nlpu.errors import BadOperand, NlpuError, ServerFault
from nlpu.eval.recipes import Trial, choose
from nlpu.judgement import Judgement
from nlpu.label import UNTRUSTED, Integrity, intern_label
from nlpu.memory.store.page import Page
from nlpu.memory.window.entries import Entry
from nlpu.printing import first_line, one_line, shown
from nlpu.prompt.convention import SECOND
from nlpu.runtime import Budget, Computer, FakeClock, Run, drivers
from nlpu.runtime.drivers.approval import ExactCall
from nlpu.runtime.drivers.person import ScriptedPerson
from nlpu.runtime.executor.clock import SystemClock
from nlpu.runtime.journal.edits import Edits
from nlpu.runtime.observe.forecast import forecast
from nlpu.runtime.observe.samples import Experience
from nlpu.runtime.scheduler.breakpoints import Gate, Held
from nlpu.testing.scripted import Scripted
from nlpu.wire import Capabilities

MANY = intern_label(Integrity.USER, frozenset(f"person{n}@example.org" for n in range(99)))
HOUSES = ("nlpu",)
PUBLIC = (nlpu, runtime, hierarchy, drivers)


@nlop
def wordy(text: str) -> str:
    """Say nothing new."""


# -- one of each --------------------------------------------------------------------------------


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
