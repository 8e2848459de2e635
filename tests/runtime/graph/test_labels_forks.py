"""A forked process has all of its parent's Values: it reads none of a run that goes on."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextvars import Context
from typing import Any

import pytest
from kit import PATIENCE_S, echo, execute
from off_path_kit import (
    BAD,
    Read,
    Way,
    nobody_wrote_to_the_attacker,
    on_a_thread,
    send,
    there,
)

from nlpu import Value
from nlpu.errors import BadOperand, NotInRun
from nlpu.label import UNTRUSTED
from nlpu.runtime import spawn
from nlpu.runtime.drivers.person import ScriptedPerson
from nlpu.value import current, literal

__all__ = ["nobody_wrote_to_the_attacker"]  # a fixture
FORK = multiprocessing.get_context("fork")


def told(text: str) -> str:
    """What a child said, or what it says that it raised."""
    if text.startswith("NotInRun: "):
        raise NotInRun(text)
    return text


def attempt(read: Read) -> str:
    try:
        return read()
    except BaseException as error:
        return f"{type(error).__name__}: {error}"


def in_a_fork(read: Read) -> str:
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(theirs, attempt(read).encode())
        os._exit(0)
    os.close(theirs)
    with open(ours) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return told(said)


def in_a_process(read: Read) -> str:
    ours, theirs = FORK.Pipe(duplex=False)
    process = FORK.Process(target=lambda: theirs.send(attempt(read)))
    process.start()
    assert ours.poll(PATIENCE_S)
    said = str(ours.recv())
    process.join(PATIENCE_S)
    return told(said)


def in_a_fork_of_a_thread(read: Read) -> str:
    return on_a_thread(lambda: in_a_fork(read))


WAYS: list[Way] = [in_a_fork, in_a_process, in_a_fork_of_a_thread]
MAKES: list[Callable[[], Any]] = [
    there,
    lambda: there(lambda: spawn(lambda: BAD.value)),
    lambda: literal("attacker", UNTRUSTED, current()),
]


@pytest.mark.parametrize("make", range(len(MAKES)))
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_forked_process_reads_nothing_of_a_living_run(way: Way, make: int) -> None:
    def program() -> Any:
        mail = MAKES[make]()
        return send(way(lambda: str(mail)), "body").value

    run = execute(program, person=ScriptedPerson())
    assert "lift(function, blocking=True)" in str(run.error), run.error
    assert "forked process" in str(run.error)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_nor_a_literal_that_a_program_was_given(way: Way) -> None:
    def program(mail: Value[str]) -> Any:
        return send(way(lambda: mail.value), "body").value

    run = execute(program, Value("attacker", UNTRUSTED), person=ScriptedPerson())
    assert "lift(function, blocking=True)" in str(run.error), run.error


def test_nor_how_many_elements_there_are() -> None:
    def program() -> Any:
        many = echo.map(["attacker"])
        str(many)
        return send(in_a_fork(lambda: str(len(many.each()))), "body").value

    assert "blocking=True" in str(execute(program, person=ScriptedPerson()).error)


def test_the_parent_goes_on_as_before() -> None:
    def program() -> Any:
        mail = echo("mine")
        with pytest.raises(NotInRun):
            in_a_fork(lambda: str(mail))
        return str(mail), in_a_fork(lambda: "contents are free")

    assert execute(program).result == ("mine", "contents are free")


def test_a_child_reads_what_finished_runs_left_and_has_runs_of_its_own() -> None:
    run = execute(lambda: echo("left"))
    kept: list[Value[str]] = []

    def program() -> None:
        kept.append(echo("left"))
        str(kept[0])

    assert execute(program).error is None
    assert in_a_fork(lambda: str(kept[0])) == "left" == run.result
    assert in_a_fork(_its_own) == "its own"
    assert execute(lambda: in_a_fork(lambda: Context().run(_its_own))).result == "its own"


def _its_own() -> str:
    return str(execute(lambda: str(echo("its own"))).result)


# -- as bytes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_value_is_not_pickled(protocol: int) -> None:
    def program() -> Any:
        mail = there()
        for value in (mail, BAD, Value("x"), [{"deep": BAD}]):
            with pytest.raises(BadOperand, match=r"give its content \(str\(v\), v.value\)"):
                pickle.dumps(value, protocol)
            with pytest.raises(BadOperand, match="cannot be pickled"):
                on_a_thread(lambda value=value: str(pickle.dumps(value, protocol)))  # type: ignore[misc]

    assert execute(program).error is None


def test_nor_handed_to_a_pool_of_processes() -> None:
    def program() -> Any:
        mail = Value("attacker", UNTRUSTED)
        with ProcessPoolExecutor(1, mp_context=FORK) as pool:
            return send(pool.submit(str, mail).result(PATIENCE_S), "body").value

    run = execute(program, person=ScriptedPerson())
    assert isinstance(run.error, BadOperand) and "cannot be pickled" in str(run.error)


def test_a_copy_of_a_value_is_that_value() -> None:
    def program() -> Any:
        mail = there()
        for value in (mail, BAD):
            assert copy.copy(value) is value and copy.deepcopy([value])[0] is value
        return send(copy.deepcopy(mail), "body").value

    assert "'to' decides" in str(execute(program, person=ScriptedPerson()).error)
