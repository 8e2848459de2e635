"""Settings that mean nothing are refused where they are given, in a sentence that names them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest
from kit import computer, echo, execute, finish

from nlpu import Label, Limits, NlpuError, Price, Value, lift, nlop, op, split
from nlpu.engines.embedded.engine import EmbeddedEngine
from nlpu.engines.http.engine import HttpEngine
from nlpu.engines.transformers_folder import TransformersEngine
from nlpu.errors import BadOp, BadOperand, Usage
from nlpu.label import Integrity
from nlpu.runtime import Budget, Computer, FakeClock, Run, driver, spawn
from nlpu.runtime.drivers import files, pin
from nlpu.runtime.drivers.person import ScriptedPerson
from nlpu.runtime.journal.edits import Edits
from nlpu.runtime.scheduler.breakpoints import Gate
from nlpu.testing.scripted import Say, Scripted

COUNTS: Sequence[Any] = (0, -1, 1.5, nan, "5", True)
WHOLES: Sequence[Any] = (-1, 1.5, nan, "5", True)
AMOUNTS: Sequence[Any] = (-1, nan, inf, "5", True, 10**400)
TIMES: Sequence[Any] = (-1, nan, "5", True, 10**400)
FLAGS: Sequence[Any] = ("no", 1, None)
TEXTS: Sequence[Any] = (5, b"x", ["x"])


def send(to: str) -> bool:
    """Send it."""
    return True


def engines(name: str) -> Callable[..., Any]:
    return {
        "Scripted": lambda **given: Scripted("hi", **given),
        "HttpEngine": lambda **given: HttpEngine(**({"url": "http://a"} | given)),
        "TransformersEngine": lambda **given: TransformersEngine("model", **given),
    }[name]


def started(**given: Any) -> Run:
    with computer() as machine:
        return finish(machine.start(lambda: str(echo("x")), **given))


def evaluated(**given: Any) -> Any:
    with computer() as machine:
        return machine.evaluate(echo, [({"text": "a"}, "a")], **given)


def waited(**given: Any) -> Run:
    with computer() as machine:
        return machine.start(lambda: None).wait(**given)


SETTINGS: list[tuple[type[NlpuError], str, Callable[..., Any], dict[str, Sequence[Any]]]] = [
    (
        BadOp,
        "say",
        lambda **given: op("Say", **given),
        {
            "name": TEXTS,
            "operands": WHOLES,
            "temperature": AMOUNTS,
            "processor": (*TEXTS, ""),
            "repetition_penalty": (0, *AMOUNTS),
        },
    ),
    (
        BadOp,
        "send",
        lambda **given: driver(**given)(send),
        {
            "name": (*TEXTS, ""),
            "roles": (5, ["to"]),
            "brings": ("user", None),
            "label_of": (5,),
            "audience": ("ann", 5, [5]),
            "idempotent": FLAGS,
            "deadline_s": (0, None, *TIMES),
            "most_bytes": (*COUNTS, None),
        },
    ),
    (
        Usage,
        "Limits",
        Limits,
        {
            "thinking_tokens": WHOLES,
            "timeout_s": (0, None, *TIMES),
            "patience_s": (None, *TIMES),
            "attempts": (*COUNTS, None),
            "backoff_s": AMOUNTS,
            "max_in_flight": COUNTS,
            "unloaded_s_per_token": AMOUNTS,
            "saturated_tokens_per_s": (0, *AMOUNTS),
        },
    ),
    (Usage, "Price", Price, {"prompt": AMOUNTS, "cached": AMOUNTS, "completion": AMOUNTS}),
    (
        Usage,
        "budget",
        Budget,
        dict.fromkeys(("calls", "nlops", "tokens", "money", "seconds"), TIMES),
    ),
    (
        Usage,
        "Computer",
        lambda **given: Computer(**({"engine": "scripted"} | given)),
        {
            "engine": (5, [Scripted()], {"a": 5}, {5: "scripted"}),
            "api_key": TEXTS,
            "run_dir": (5, "", b"x"),
            "durable": FLAGS,
            "clock": (5,),
            "person": (5,),
            "dry": FLAGS,
            "seed": ("x", 1.5, None),
            "prices": (5, Price(), {"other": Price()}, {"main": 5}),
            "limits": (5, None, {"other": Limits()}, {"main": 5}),
        },
    ),
    (
        Usage,
        "a run",
        started,
        {
            "budget": (5, "x", None),
            "gate": (5,),
            "stream": FLAGS,
            "header": (5,),
            "estimates": (5, ["say"], {"say": nan}, {"say": -1}, {"say": "5"}),
        },
    ),
    (
        Usage,
        "Scripted",
        engines("Scripted"),
        {
            "window": COUNTS,
            "slots": COUNTS,
            "max_in_flight": COUNTS,
            "latency_s": TIMES,
            "tokens_per_s": AMOUNTS,
            "model": (*TEXTS, ""),
        },
    ),
    (Usage, "Scripted", Scripted, {"script": (5, [])}),
    (
        Usage,
        "Say",
        lambda **given: Say(**({"text": "a"} | given)),
        {
            "text": TEXTS,
            "tokens": WHOLES,
            "seconds": TIMES,
            "cached_tokens": WHOLES,
        },
    ),
    (
        Usage,
        "HttpEngine",
        engines("HttpEngine"),
        {
            "url": (*TEXTS, ""),
            "model": (*TEXTS, ""),
            "api_key": TEXTS,
            "max_in_flight": COUNTS,
            "window": COUNTS,
            "tokenizer": (5, ""),
            "seed": ("no", 1),
            "priority": ("no", 1),
        },
    ),
    (Usage, "a model is given by its name", EmbeddedEngine, {"model": (*TEXTS, "")}),
    (
        Usage,
        "EmbeddedEngine",
        EmbeddedEngine,
        {
            "window": COUNTS,
            "max_in_flight": COUNTS,
            "threads": COUNTS,
            "tell": (5,),
        },
    ),
    (
        Usage,
        "TransformersEngine",
        engines("TransformersEngine"),
        {
            "window": COUNTS,
            "max_in_flight": COUNTS,
        },
    ),
    (
        Usage,
        "files",
        lambda **given: files(**({"root": "."} | given)),
        {
            "root": (5, "", None),
            "brings": ("user",),
            "most_bytes": COUNTS,
        },
    ),
    (
        Usage,
        "Gate",
        Gate,
        {
            "breakpoints": ("hello", 5, [5], None),
            "stopped": FLAGS,
            "on_stop": (5,),
        },
    ),
    (
        Usage,
        "Edits",
        Edits,
        {
            "results": (5, "x", {"main/0": 5}),
            "ops": (["x"], None),
            "distrusted": (5, "main/0"),
        },
    ),
    (Usage, "ScriptedPerson", ScriptedPerson, {"approve": (5,), "settle": (5,), "answer": (5,)}),
    (
        Usage,
        "an MCP server",
        lambda **given: pin(**({"where": ["x"], "manifest": "m"} | given)),
        {
            "where": (5, [5]),
            "env": (5, {"KEY": 1}),
        },
    ),
    (Usage, "wait", waited, {"timeout_s": ("5", True, [1])}),
    (Usage, "evaluate", evaluated, {"cache": (5, "")}),
    (Usage, "at least one name", evaluated, {"processors": (5, "main", [], [5])}),
    (Usage, "step", lambda **given: Gate().step(**given), {"calls": (-1, "5", 1.5)}),
    (Usage, "FakeClock", FakeClock, {"start_s": AMOUNTS}),
]
EACH = [
    pytest.param(error, who, make, name, bad, id=f"{who}-{name}-{bad!r:.20}")
    for error, who, make, named in SETTINGS
    for name, values in named.items()
    for bad in values
]


@pytest.mark.parametrize(("error", "who", "make", "name", "bad"), EACH)
def test_what_is_no_setting_is_refused_by_its_name(
    error: type[NlpuError], who: str, make: Callable[..., Any], name: str, bad: Any
) -> None:
    with pytest.raises(error) as caught:
        make(**{name: bad})
    said = str(caught.value)
    called = {"engine": "a processor is", "operands": "op: operands"}.get(name, name)
    assert called in said and len(said) < 300
    assert who in said or name in ("operands", "name")


def test_a_key_is_not_said_again() -> None:
    with pytest.raises(Usage, match="api_key must be a text") as caught:
        HttpEngine("http://a", api_key=b"sk-secret")  # type: ignore[arg-type]
    assert "secret" not in str(caught.value)


def test_waits_without_end_are_settings() -> None:
    assert Limits(timeout_s=inf, patience_s=inf).timeout_s == inf
    run = execute(lambda: str(echo("x")), budget=Budget(seconds=inf, calls=inf))  # type: ignore[arg-type]
    assert run.status == "done"


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda: echo("x", samples=1.5), "echo: samples must be a whole number more than 0"),
        (lambda: echo("x", sample="x"), "echo: sample must be a whole number, 0 or more"),
        (lambda: echo("x", samples=2, sample=1), "not both"),
        (lambda: echo.map({"b", "a"}), "sorted() on a set"),
        (lambda: echo.map({"a": 1}), "list() on a dict's keys or values"),
        (lambda: op("Say", operands=0).map(["a"]), "has no operands"),
        (lambda: split("a b", tokens=nan), "tokens must be a whole number"),  # type: ignore[arg-type]
        (lambda: split(b"a b"), "text must be a text, not b'a b'"),  # type: ignore[arg-type]
        (lambda: lift(5), "function must be a function, not 5"),  # type: ignore[arg-type]
        (lambda: lift(len, blocking="no"), "blocking must be True or False"),  # type: ignore[arg-type]
        (lambda: spawn(5), "program must be a function, not 5"),  # type: ignore[arg-type]
        (lambda: Label("user"), "a label is a nlpu.label.Integrity and"),  # type: ignore[arg-type]
        (lambda: Label(Integrity.USER, {"ann"}), "the readers (a frozenset of names;"),  # type: ignore[arg-type]
        (lambda: Value("x", "user"), "is a nlpu.Label, not 'user'"),  # type: ignore[arg-type]
    ],
)
def test_what_a_program_cannot_ask_for(work: Callable[[], Any], said: str) -> None:
    error = execute(work).error
    assert isinstance(error, BadOp | BadOperand) and said in str(error)


def varying(*texts: str) -> str:
    """Say."""
    return ""


def defaulting(text: str = "x") -> str:
    """Say."""
    return ""


def unknown(text: Nowhere) -> str:  # type: ignore[name-defined]  # noqa: F821
    """Say."""
    return ""


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: nlop(varying), "operand 'texts' of varying stands for several: take a list"),
        (lambda: nlop(defaulting), "operand 'text' of defaulting has a default"),
        (lambda: nlop(unknown), "an annotation of unknown cannot be read: name 'Nowhere'"),
        (lambda: nlop(5), "an op is made of a function, not of 5"),  # type: ignore[call-overload]
        (lambda: nlop(heat=1)(defaulting), "unknown setting 'heat'; settings are at_limit"),
        (lambda: op("Say", heat=1), "unknown setting 'heat'; settings are at_limit"),  # type: ignore[call-overload]
        (lambda: op(5), "text must be a text, not 5"),  # type: ignore[call-overload]
        (lambda: driver(unknown), "an annotation of unknown cannot be read: name 'Nowhere'"),
        (lambda: driver(5), "a driver is made of a function, not of 5"),  # type: ignore[call-overload]
        (lambda: driver(heat=1)(send), "cannot declare 'heat'; there are effect, roles, name"),
    ],
)
def test_what_no_op_and_no_driver_can_be_made_of(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(BadOp) as caught:
        make()
    assert said in str(caught.value)


def test_an_op_of_a_function_may_have_a_name_of_its_own() -> None:
    @nlop(name="other")
    def say(text: str) -> str:
        """Say."""

    assert (say.name, say.using(name="third").name) == ("other", "third")


def test_a_drivers_audience_is_a_set_however_it_is_given() -> None:
    ann = frozenset({"ann"})
    given = [driver(audience=each)(send) for each in (["ann"], {"ann"}, ann)]
    assert {each.audience for each in given} == {ann} and len({d.digest for d in given}) == 1


@pytest.mark.parametrize("program", [5, None, "x"])
def test_a_program_is_a_function(program: Any, tmp_path: Path) -> None:
    with computer(run_dir=tmp_path) as machine:
        for begin in (machine.start, lambda each: machine.resume("aaaaaaaa", each)):
            with pytest.raises(Usage, match="a run: program must be a function, not"):
                begin(program)
        with pytest.raises(NlpuError, match="5"):
            machine.resume(5, lambda: None)  # type: ignore[arg-type]


def test_a_stream_that_has_ended_says_so_again() -> None:
    with computer() as machine:
        run = machine.start(lambda: str(echo("x")), stream=True)
        assert "".join(run.stream()) == finish(run).result
        assert list(run.stream()) == [] == list(run.stream())


def test_a_gate_is_taken() -> None:
    assert started(gate=Gate(["nothing"])).status == "done"
