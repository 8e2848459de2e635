"""What labels do not cover: each test holds the loss as it is, so that it cannot grow unseen.

Program code is trusted. Labels follow Values and the scope's label; a program that wants to can
carry a content past both, and what it does so is not caught.
"""

from __future__ import annotations

import asyncio
from contextvars import Context, copy_context
from pathlib import Path
from typing import Any

import pytest
from kit import computer, echo, execute, finish, slow, yes
from label_kit import recall

from nlpu import Label, Value, lift
from nlpu.errors import BadOperand, DriverFailed
from nlpu.label import UNTRUSTED, USER
from nlpu.runtime import first, spawn
from nlpu.runtime.drivers.folder import files
from nlpu.testing.scripted import Scripted
from nlpu.value import current

BAD = Value("bad", UNTRUSTED)
_GLOBAL: list[str] = []


def labelled(program: Any, engine: Any = None) -> Label:
    """The label of the one Value that a program returns."""
    kept: list[Value[Any]] = []

    def keeping() -> Any:
        kept.append(program())
        return kept[0]

    run = execute(keeping, engine=engine)
    assert run.error is None, run.error
    return kept[0].label


def test_not_covered_what_programs_tell_each_other_through_globals() -> None:
    def tells() -> None:
        _GLOBAL[:] = [str(echo(BAD))]

    def program() -> Any:
        told = spawn(tells)
        while not _GLOBAL:
            str(echo("time passes"))
        assert not told.ready or told.label is UNTRUSTED
        return echo(_GLOBAL.pop())

    assert labelled(program) is USER  # lost


def test_not_covered_what_a_lifted_function_holds_in_its_closure() -> None:
    def program() -> Any:
        held: list[str] = []
        lift(lambda text: held.append(text) or "noted")(BAD)
        spawn(lambda: str(lift(lambda text: text)(BAD)))
        str(echo("time passes"))
        return lift(lambda: held[0])()

    assert labelled(lambda: spawn(program)) is USER  # lost


def test_not_covered_timing() -> None:
    """Whether something is there already, and which of several comes first."""

    def polls() -> Any:
        branch = spawn(lambda: str(echo("slow")) if yes(BAD) else "fast")
        for _ in range(3):
            str(echo("time passes"))
        return echo("it was yes" if not branch.ready else "it was no")

    def races() -> Any:
        delay = spawn(lambda: str(echo("99")) if yes(BAD) else "no")
        return first(lift(lambda text: "no")(delay), echo("9"))

    told = {"so?": "yes", "Repeat": "text"}
    assert labelled(polls, engine=told) is USER  # lost
    late = slow(lambda text: float(text) if text.isdigit() else 0.0)
    answers = Scripted(lambda seen: "yes" if "so?" in seen.instruction else late(seen))
    assert labelled(races, engine=answers) is USER  # lost


def test_not_covered_a_run_that_a_program_starts() -> None:
    """It is reached through a global or a closure, and begins as trusted as any run."""
    with computer() as machine:
        runs = []

        def program() -> None:
            runs.append(machine.start(echo, str(BAD)))

        finish(machine.start(program))
        assert finish(runs[0]).label is USER  # lost


def test_not_covered_private_attributes() -> None:
    def program() -> Any:
        return recall(BAD._content)

    assert labelled(program) is USER  # lost


def test_not_covered_that_a_memory_or_folder_lacks_something(tmp_path: Path) -> None:
    """What was not written is on no label, though not writing it may have been a decision."""
    pytest.importorskip("chromadb")
    from memory_kit import memory  # it needs chromadb

    def lacks(look: Any) -> bool:
        try:
            return not look()
        except (BadOperand, DriverFailed):
            return True

    mine = files(tmp_path, brings=USER)
    with memory(tmp_path / "store") as store:
        looks = (
            lambda: store.forget("flag"),
            lambda: store.read("no address"),
            lambda: store.search("flag"),
            lambda: mine.read("flag").value,
        )

        def writes() -> None:
            if yes(BAD):
                mine.write("flag", store.write("flag", source="flag"))

        def program() -> Any:
            child = spawn(writes)
            while not child.ready:
                str(echo(f"time passes {child.ready}"))
            return [lacks(look) for look in looks], str(current().label)

        run = execute(program, engine={"so?": "no", "Repeat": "text"})
        assert run.result == ([True] * 4, "user")  # lost


def test_not_covered_what_a_context_of_another_program_reads() -> None:
    handed: list[tuple[Context, Any]] = []

    def other() -> str:
        handed.append((copy_context(), current()))
        return str(echo("goes on"))

    def program() -> Any:
        mail = echo(BAD)
        spawn(other)
        while not (mail.ready and handed):
            str(echo(f"time passes {mail.ready} {len(handed)}"))
        return echo(handed[0][0].run(str, mail))

    assert labelled(program) is USER  # lost
    assert handed[0][1].label is UNTRUSTED


def test_not_covered_what_a_worker_of_another_program_reads() -> None:
    async def other(queue: asyncio.Queue[Any], over: asyncio.Future[None]) -> None:
        async def works() -> None:
            value, answer = await queue.get()
            answer.set_result(await value)

        working = asyncio.create_task(works())
        await over
        await working

    async def program() -> Any:
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[Any] = asyncio.Queue()
        answer, over = loop.create_future(), loop.create_future()
        child = spawn(other, queue, over)
        queue.put_nowait((echo(BAD), answer))
        text = await answer
        over.set_result(None)
        assert current().label is USER
        await child
        seen.append(text)

    seen: list[str] = []
    assert execute(program).error is None and seen  # lost


def test_not_covered_which_label_a_nested_program_has_and_whether_a_map_has_grown() -> None:
    def labels() -> Any:
        child = spawn(lambda: str(echo(BAD)))
        while not child.ready:
            str(echo(f"time passes {child.ready}"))
        return echo(str(child.label))

    def grows() -> Any:
        many: Any = echo.map(lift(lambda text: [text])(echo(BAD)))
        known = many.grown_items is not None
        str(echo("time passes"))
        return echo(f"{known}")

    assert labelled(labels) is USER  # lost
    assert labelled(grows) is USER  # lost


def test_not_covered_which_pages_a_search_prefers(tmp_path: Path) -> None:
    """Pages that are not found weigh in the order of those that are: words that many pages hold
    tell less. The label is that of the pages that were found."""
    pytest.importorskip("chromadb")
    from memory_kit import memory  # it needs chromadb

    with memory(tmp_path) as store:
        for text in ("mill river", "mill garden", "river harbour"):
            store.write(text, label=USER)
        before = [found.page.text for found in store.search("mill river", most=2)]
        for number in range(40):
            store.write(f"mill {number}", label=UNTRUSTED)

        def program() -> list[Any]:
            found = store.search("river", most=2)
            return [[each.page.text for each in found], str(current().label)]

        texts, label = execute(program).result
    assert "mill river" in before and set(texts) <= {"mill river", "river harbour"}
    assert label == "user"  # lost
