"""Memory inside runs: operands filled, labels felt, the same pages on every resume."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kit import computer, execute, finish, said
from memory_kit import TALK, both, kept_in, memory, talk

from nlpu import nlop
from nlpu.errors import BadOperand, DoesNotFit
from nlpu.label import UNTRUSTED, USER
from nlpu.memory.controller import Memory
from nlpu.memory.window.window import window_for
from nlpu.runtime import Budget, spawn
from nlpu.testing.scripted import Scripted, Seen
from nlpu.value import CURRENT, current
from nlpu.wire import Capabilities

__all__ = ["kept_in"]
pytestmark = both


@nlop
def answer(question: str, context: str) -> str:
    """Answer the question from the context."""


@nlop
def reply(window: str) -> str:
    """Go on with the conversation."""


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with memory(tmp_path / "store") as opened:
        yield opened


def test_an_operand_is_filled_from_memory_to_its_room(store: Memory) -> None:
    talk(store)
    engine = Scripted(said, window=600)

    def program() -> str:
        return answer("Who keeps bees?", context=store).value

    run = execute(program, engine=engine)
    (seen,) = engine.seen
    assert TALK[3] in seen.operands["context"] and seen.operands["question"] == "Who keeps bees?"
    assert len(seen.operands["context"]) < len("\n\n".join(TALK))  # not all of it fits
    assert run.receipt.calls == 1 and run.error is None


def test_fences_of_any_length_leave_an_operand_within_its_window(store: Memory) -> None:
    store.write("The mill " + "`" * 60 + " was built.")
    store.write("The mill " + "stood still and nobody had money. " * 7)
    for window in range(640, 960, 16):
        run = execute(
            lambda: answer("Who built the mill?", store).value,
            engine=Scripted("Tom", window=window),
        )
        assert run.result == "Tom"


def test_an_operand_is_counted_by_the_processor_that_reads_it(store: Memory) -> None:
    class InBytes(Scripted):
        async def capabilities(self) -> Capabilities:
            return replace(await super().capabilities(), tokenizer=None)

    for number in range(40):
        store.write(f"Die Mühle Nummer {number} hörte auf, größer zu werden. Ä Ö Ü ß é è")
    engines = {"main": Scripted(said), "other": InBytes("Ja", window=1200)}
    there = answer.using(processor="other")
    assert execute(lambda: there("Mühle", store).value, engine=engines).result == "Ja"


def test_a_filled_operand_waits_for_its_question(store: Memory) -> None:
    talk(store)
    engine = Scripted("bees")

    def program() -> str:
        return answer(question=reply("what now?"), context=store).value

    assert execute(program, engine=engine).error is None
    assert engine.seen[1].operands["question"] == "bees"
    assert TALK[3] in engine.seen[1].operands["context"]


def test_two_memories_or_no_room_are_refused(store: Memory) -> None:
    with pytest.raises(BadOperand, match="one operand from memory, not question, context"):
        raise execute(lambda: answer(store, store).value).error  # type: ignore[misc]
    small = Scripted(said, window=700)
    with pytest.raises(DoesNotFit, match="leave no room for 'context'"):
        raise execute(lambda: answer("x" * 500, store).value, engine=small).error  # type: ignore[misc]


def test_labels_survive_every_level_and_lower_the_scope_that_reads(tmp_path: Path) -> None:
    labels = {}

    def program(store: Memory, name: str) -> None:
        labels[name, "before"] = current().label  # type: ignore[attr-defined]
        store.search(name, most=1)
        labels[name, "after"] = current().label  # type: ignore[attr-defined]
        labels[name, "result"] = answer(name, context=store).label if name == "fact" else None

    with memory(tmp_path) as store:
        store.write("a trusted fact", label=USER)
    with memory(tmp_path) as store:
        execute(program, store, "fact")
        assert labels["fact", "before"] is labels["fact", "after"] is USER
        store.write("a rumour that was read somewhere")
    with memory(tmp_path) as store:
        execute(program, store, "rumour")
        assert labels["rumour", "before"] is USER and labels["rumour", "after"] is UNTRUSTED


def test_an_untrusted_page_makes_the_result_untrusted(store: Memory) -> None:
    store.write("a rumour that was read somewhere")
    seen = []

    def program() -> None:
        value = answer("rumour", context=store)
        _ = value.value
        seen.append(value.label)

    execute(program)
    assert seen == [UNTRUSTED]


def test_a_resumed_run_sees_the_pages_it_saw(tmp_path: Path) -> None:
    def program(store: Memory) -> str:
        found = store.search("bees", most=2)
        notes = answer("bees", " ".join(each.page.text for each in found)).value
        store.write(f"bees bees bees: {notes}")  # would be found first the next time
        return answer("and now?", notes).value

    with memory(tmp_path / "store") as store:
        talk(store)
        with computer(run_dir=tmp_path) as machine:
            first = finish(machine.start(program, store, budget=Budget(calls=1)))
        assert first.error is not None  # the second call did not fit its budget
        engine = Scripted(said)
        with computer(engine, run_dir=tmp_path) as machine:
            again = finish(machine.resume(first.name, program, store, budget=Budget()))
    assert again.error is None
    assert again.receipt.reused == 1
    assert [seen.operands["question"] for seen in engine.seen] == ["and now?"]


def test_iterative_asks_through_the_scheduler_and_stands_on_the_receipt(tmp_path: Path) -> None:
    def model(seen: Seen) -> str:
        if "completely" in seen.instruction:
            return "no"
        if "lack" in seen.instruction:
            return "How many hives does the brother have?"
        return "yes" if "Seven" in seen.operands["note"] else "no"

    with memory(tmp_path, firmware="iterative") as store:
        talk(store)
        run = execute(
            lambda: [e.page.text for e in store.search("Tell me of bees")], engine=Scripted(model)
        )
    assert run.result[0] == TALK[5]
    assert {part.name: part.calls for part in run.receipt.by_op} == {
        "is_enough": 1,
        "missing": 1,
        "helps": len(TALK),
    }


def test_iterative_survives_any_reply(tmp_path: Path) -> None:
    with memory(tmp_path, firmware="iterative") as store:
        talk(store)
        run = execute(lambda: len(store.search("bees", most=3)), engine=Scripted(""))
        assert run.result == 3


def test_iterative_survives_pages_that_fit_no_window(tmp_path: Path) -> None:
    with memory(tmp_path, firmware="iterative") as store:
        store.write("bees " * 700)
        run = execute(lambda: len(store.search("bees")), engine=Scripted("no", window=3000))
        assert run.error is None and run.result == 1


def test_a_value_is_written_with_its_label(store: Memory) -> None:
    def program() -> str:
        return store.write(answer("Who?", "Seven."))

    assert store.read(execute(program, engine=Scripted("bees")).result).label is USER


def test_a_search_in_an_async_program_goes_into_a_nested_one(store: Memory) -> None:
    talk(store)

    def look() -> str:
        return store.search("bees", most=1)[0].page.text

    async def program() -> Any:
        return await spawn(look)

    assert execute(program).result == TALK[3]


def test_a_window_pages_out_to_memory_and_back(store: Memory) -> None:
    texts = [f"turn {number}: {'tell me more ' * 10}" for number in range(30)]

    def program() -> str:
        window = window_for(reply, current().processor(None), store.store)
        for text in texts:
            window = window.append(text, USER)
            _ = reply(window.data()).value
        address = window.working[0].text.rpartition(" ")[2].rstrip("]")
        return store.read(store.read(address).text.split("\n")[-1]).text

    run = execute(program, engine=Scripted("go on", window=1500))
    assert run.error is None and run.result in texts
    assert CURRENT.get() is None
