"""A content does not leave its Value off the path of labels: on threads, in contexts and callbacks.

A program of each test gets an untrusted Value that is there, reads it in a way that its scope might
not hear of, and sends to what it read. Either the reading is refused, or the sending is.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context
from functools import partial
from typing import Any

import pytest
from greenlet import greenlet
from kit import echo, execute
from off_path_kit import (
    BAD,
    Read,
    Way,
    caught_on,
    in_a_context,
    in_a_greenlet,
    in_a_pool,
    nobody_wrote_to_the_attacker,
    on_a_thread,
    send,
    sent_to_what_was_read,
    there,
)

from nlpu import Label, Value, lift
from nlpu.errors import NotInRun, ProgramError, Refused
from nlpu.label import UNTRUSTED
from nlpu.runtime import spawn
from nlpu.runtime.drivers.person import ScriptedPerson
from nlpu.value import current

__all__ = ["nobody_wrote_to_the_attacker"]  # a fixture


# -- where no scope is current --------------------------------------------------------------------


def through_map_of_a_pool(read: Read) -> str:
    with ThreadPoolExecutor() as pool:
        return next(iter(pool.map(lambda _: read(), [0])))


def on_a_timer(read: Read) -> str:
    return caught_on(lambda body: threading.Timer(0, body), read)


def where_an_object_goes(read: Read) -> str:
    """A finalizer runs where the last reference is dropped."""

    class Thing:
        pass

    things, found = [Thing()], []

    def gone() -> None:
        try:
            found.append(read())
        except ProgramError as error:
            found.append(error)

    weakref.finalize(things[0], gone)
    on_a_thread(lambda: str(things.clear()))
    if isinstance(found[0], ProgramError):
        raise found[0]
    return str(found[0])


def in_a_lifted_function(read: Read) -> str:
    return lift(read)().value


def in_a_blocking_one(read: Read) -> str:
    return lift(read, blocking=True)().value


APART: list[Way] = [
    in_a_pool,
    through_map_of_a_pool,
    on_a_thread,
    on_a_timer,
    in_a_context,
    where_an_object_goes,
    in_a_lifted_function,
    in_a_blocking_one,
]


@pytest.mark.parametrize("way", APART, ids=lambda way: way.__name__)
def test_where_no_scope_is_current_a_value_is_not_read(way: Way) -> None:
    run = sent_to_what_was_read(way)
    assert "lift(function, blocking=True)" in str(run.error), run.error
    assert isinstance(run.error, NotInRun) or "raised NotInRun" in str(run.error)


LOOKS: dict[str, Callable[[Any], Any]] = {
    "value": lambda v: v.value,
    "bool": bool,
    "format": "{}".format,
    "length": len,
    "index": lambda v: v[0],
    "list": list,
    "each": lambda v: v.each(),
    "int": int,
}


@pytest.mark.parametrize("name", LOOKS)
def test_nor_any_part_of_it(name: str) -> None:
    run = sent_to_what_was_read(on_a_thread, LOOKS[name])
    assert isinstance(run.error, NotInRun), run.error


def test_nor_is_its_repr_shown_there() -> None:
    def program() -> Any:
        mail = there()
        return on_a_thread(lambda: repr(mail)), in_a_context(lambda: repr(mail)), repr(BAD)

    shown = execute(program).result
    assert not any("attacker" in text for text in shown), shown


def test_nor_how_many_elements_it_has() -> None:
    def program() -> Any:
        many = echo.map(lift(list)(there()))
        while many.grown_values is None:  # type: ignore[attr-defined]
            str(echo(f"time passes {many.ready}"))
        for look in (many.each, lambda: many.grown_items):  # type: ignore[attr-defined]
            with pytest.raises(NotInRun):
                on_a_thread(lambda look=look: look() and "")  # type: ignore[misc]
        return str(current().label)

    assert execute(program).result == "user"


def test_the_loop_s_own_ways() -> None:
    """``run_in_executor`` and callbacks whose context is another, of an async program."""

    async def program(way: str) -> Any:
        mail = echo(BAD)
        while not mail.ready:
            await echo(f"time passes {mail.ready}")
        loop, done = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()

        def called() -> None:
            try:
                done.set_result(str(mail))
            except ProgramError as error:
                done.set_exception(error)

        async def awaits() -> str:
            return await mail

        if way == "executor":
            text = await loop.run_in_executor(None, str, mail)
        elif way == "to_thread":
            text = await asyncio.to_thread(str, mail)
        elif way == "task":
            text = await loop.create_task(awaits(), context=Context())
        else:
            context = copy_context() if way == "own context" else Context()
            loop.call_soon(called, context=context)
            text = await done
        return await send(text, "body")

    for way in ("executor", "to_thread", "task", "call_soon", "own context"):
        run = execute(program, way, person=ScriptedPerson())
        said = "write await v" if way == "own context" else "lift(function, blocking=True)"
        assert isinstance(run.error, ProgramError) and said in str(run.error), (way, run.error)


# -- where the scope is found ---------------------------------------------------------------------


def in_a_greenlet_of_a_greenlet(read: Read) -> str:
    return str(greenlet(lambda: greenlet(read).switch()).switch())


def in_a_copied_context(read: Read) -> str:
    return copy_context().run(read)


def in_a_callback(read: Read) -> str:
    """``call_soon`` copies the program's context; the program goes on when it has been called."""
    found: list[str] = []
    asyncio.get_running_loop().call_soon(lambda: found.append(read()))
    while not found:
        str(echo(f"time passes {current().label}"))
    return found[0]


def in_a_generator(read: Read) -> str:
    """A generator reads for whoever asks for its next item."""
    items = (read() for _ in range(1))
    return str(spawn(lambda: next(items)))


def when_an_object_goes(read: Read) -> str:
    class Thing:
        def __del__(self) -> None:
            found.append(read())

    found: list[str] = []
    thing = Thing()
    thing.itself = thing  # type: ignore[attr-defined]
    del thing
    gc.collect()
    return found[0]


KNOWN: list[Way] = [
    in_a_greenlet,
    in_a_greenlet_of_a_greenlet,
    in_a_copied_context,
    in_a_callback,
    in_a_generator,
    when_an_object_goes,
]


@pytest.mark.parametrize("way", KNOWN, ids=lambda way: way.__name__)
def test_where_the_scope_is_found_it_is_lowered(way: Way) -> None:
    run = sent_to_what_was_read(way)
    assert isinstance(run.error, Refused) and "acted on untrusted content" in str(run.error)


def test_a_bare_greenlet_is_inside_of_its_parent_s_scope() -> None:
    """It issues there, too, and what it makes is labelled as what the program makes."""

    def program() -> Any:
        said = greenlet(lambda: echo("from within")).switch()
        str(BAD)
        made = greenlet(lambda: Value("made")).switch()
        assert made.label is UNTRUSTED
        return said

    assert execute(program).result == "from within"


def test_a_bare_greenlet_cannot_wait() -> None:
    run = execute(lambda: greenlet(lambda: str(echo("x"))).switch())
    assert isinstance(run.error, ProgramError) and "on its own thread" in str(run.error)


def test_an_asynchronous_generator_reads_for_who_resumes_it() -> None:
    labels: list[Label] = []

    async def program() -> None:
        mail = echo(BAD)

        async def items() -> AsyncIterator[str]:
            yield await mail

        reading = items()

        async def resumes() -> None:
            await anext(reading)

        await asyncio.create_task(resumes())
        labels.append(current().label)
        await reading.aclose()

    assert execute(program).error is None and labels == [UNTRUSTED]


def test_on_a_thread_a_value_is_refused_whether_it_is_there_or_not() -> None:
    """``copy_context`` carries the scope to a thread; what is read there must not hang on time."""

    def program() -> None:
        mail, later = there(), echo("later")
        for value in (mail, later):
            with pytest.raises(NotInRun, match="blocking=True"):
                on_a_thread(partial(copy_context().run, str, value))
            context = copy_context()
            with pytest.raises(NotInRun, match="blocking=True"):
                in_a_pool(partial(context.run, str, value))

    assert execute(program).error is None


def test_what_is_left_of_a_program_reads_no_more() -> None:
    """A callback that comes after its program's end would lower nobody."""
    found: list[Any] = []

    def leaves(mail: Value[str]) -> None:
        def called() -> None:
            try:
                found.append(str(mail))
            except ProgramError as error:
                found.append(error)

        asyncio.get_running_loop().call_soon(lambda: asyncio.get_running_loop().call_soon(called))

    def program() -> Any:
        mail = there()
        str(spawn(leaves, mail))
        while not found:
            str(echo(f"time passes {mail.ready}"))

    assert execute(program).error is None
    assert isinstance(found[0], NotInRun) and "after its end" in str(found[0])
