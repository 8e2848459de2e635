"""Labels survive the memory levels: window, index and disk, firmware and what is made of pages.

Laws and cases are those of ``test_label_paths``; each case has pages of its own in one store.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path as File
from typing import Any

import pytest
from kit import echo, merge
from label_kit import CASES, PAIRS, Claim, Path, answer, both, loss, losses, seen
from memory_kit import memory

from nlpu import Label, Value
from nlpu.label import SYSTEM, UNTRUSTED, USER, join
from nlpu.memory.consolidate import reflect, review
from nlpu.memory.controller import Memory
from nlpu.memory.firmware import NAMES, open_firmware
from nlpu.memory.store.store import Disk
from nlpu.memory.window.window import Window
from nlpu.runtime import Computer, FakeClock
from nlpu.testing.scripted import Scripted, Seen
from nlpu.value import current

Text = Value[str]
_written = iter(range(10**9))


def written(store: Memory, label: Label, *, start: int = 0) -> tuple[str, str]:
    """A page whose text has a word of its own: the word and the address."""
    word = f"zq{next(_written)}x"
    return word, store.write(f"{word} stands here", label=label, source=word, start=start)


def replies(asked: Seen) -> str:
    """``iterative`` is told that it needs more, then that everything helps."""
    if "completely" in asked.instruction:
        return "no"
    return "yes" if "help to answer" in asked.instruction else answer(asked)


@pytest.fixture(scope="module")
def machine() -> Iterator[Computer]:
    with Computer(Scripted(replies), clock=FakeClock()) as made:
        yield made


@pytest.fixture
def store(tmp_path: File) -> Iterator[Memory]:
    with memory(tmp_path) as made:
        yield made


def now(made_of: Label) -> list[Claim]:
    return [(current().label, made_of), (echo("constant"), made_of)]


def reading(store: Memory) -> Path:
    def path(a: Text, b: Text) -> list[Claim]:
        word, address = written(store, a.label)
        at = store.write("after it", label=b.label, source=word, start=99)
        page = store.read(address)
        claims = [(page.label, a.label), *now(a.label)]
        around = store.neighbours(address)
        assert [each.address for each in around] == [at]
        return [*claims, (around[0].label, b.label), *now(both(a, b))]

    return path


def writing(store: Memory) -> Path:
    """What a program writes is labelled no better than it was given, and than the program is."""

    def path(a: Text, b: Text) -> list[Claim]:
        def label_of(address: str) -> Label:
            disk = store.levels.disk
            number = disk.number(address) or 0
            return disk.pages([number])[number].label

        word, address = written(store, a.label)
        first = label_of(address)
        store.write(f"{word} stands here", label=b.label, source=word)  # the same page again
        claims = [(first, a.label), (label_of(address), both(a, b))]
        _, default = written(store, Label())
        str(b)
        _, mine = written(store, USER)
        return [
            *claims,
            (label_of(default), UNTRUSTED),
            (label_of(mine), b.label),
            (label_of(store.store(f"{word}!", SYSTEM)), b.label),
        ]

    return path


def searching(store: Memory, firmware: str) -> Path:
    def path(a: Text, b: Text) -> list[Claim]:
        store.firmware = open_firmware(firmware)
        word, _ = written(store, a.label)
        other, _ = written(store, b.label)
        claims: list[Claim] = []
        for asked, made_of in ((word, a.label), (other, both(a, b))):
            found = [each.page for each in store.search(asked, most=3)]
            assert firmware == "recency" or any(asked in page.text for page in found)
            of_found = join(made_of, USER) if firmware != "recency" else USER
            for page in found:
                of_found = join(of_found, page.label)
            claims += now(of_found)
        return claims

    return path


def steering(store: Memory) -> Path:
    """A page that was read and not given out has decided what was looked for next."""

    def path(a: Text, b: Text) -> list[Claim]:
        store.firmware = open_firmware("iterative")
        word, _ = written(store, a.label)
        steps = [seen(lambda: store.search(word, most=1, tokens=1)), current().label]
        return [*((label, a.label) for label in steps)]

    return path


def answering(store: Memory) -> Path:
    def path(a: Text, b: Text) -> list[Claim]:
        store.firmware = open_firmware("hybrid")
        word, _ = written(store, a.label)
        return [
            (merge(Value(word, b.label), store), both(a, b)),
            (store.context(word, 90), a.label),
        ]

    return path


def reflecting(store: Memory) -> Path:
    def path(a: Text, b: Text) -> list[Claim]:
        pages = store.levels.pages(
            store.levels.disk.number(written(store, label)[1]) or 0 for label in (a.label, b.label)
        )
        made = reflect(store, list(pages.values()))
        label = store.read(made).label
        return [(label, both(a, b)), *now(both(a, b))]

    return path


def reviewing(store: Memory) -> Path:
    def path(a: Text, b: Text) -> list[Claim]:
        store.firmware = open_firmware("hybrid")
        store.levels.take_handed_out()
        numbers = [store.levels.disk.number(written(store, v.label)[1]) or 0 for v in (a, b)]
        store.levels.hand_out(dict.fromkeys(numbers, 1))
        made = review(store, 1.0)
        pages = [store.levels.disk.number(address) or 0 for address in made]
        labels = [page.label for page in store.levels.pages(pages).values()]
        assert labels
        return [*((label, both(a, b)) for label in labels[:1]), *now(both(a, b))]

    return path


def windowing(store: Memory) -> Path:
    """Pinned, appended, paged out with and without a summary, read again."""

    def path(a: Text, b: Text) -> list[Claim]:
        empty = Window(700, len, store.store)
        full = empty.append("x" * 150, a.label).append("y" * 150, b.label)
        paged = full.append("z" * 150, USER)
        claims = [
            (empty.pin("p", a.label).label, a.label),
            (paged.label, both(a, b)),
            (empty.with_operands("o" * 400, label=b.label).label, b.label),
            (echo(full.value()), both(a, b)),
        ]
        assert current().label is USER  # nothing has been read yet
        made = full.append("z" * 150, USER, condense=lambda texts: str(echo(texts[0][:9])))
        claims += [(made.label, both(a, b)), *now(a.label)]
        claims += [(seen(full.data), both(a, b)), (seen(full.text), both(a, b))]
        link = next(word for word in paged.data().split() if word.startswith("mem:")).rstrip("]")
        claims += [(seen(lambda: store.read(link)), a.label)]
        return [
            *claims,
            *(
                (each.label, both(a, b))
                for each in (
                    empty.append("mine"),
                    empty.pin("mine"),
                    empty.with_operands("mine"),
                )
            ),
        ]

    return path


PATHS: dict[str, Any] = {
    "read": reading,
    "write": writing,
    "operand": answering,
    "reflect": reflecting,
    "review": reviewing,
    "window": windowing,
    "steered": steering,
}


SLOW = pytest.mark.slow  # looking up by meaning takes its time


def some_slow(names: Any, fast: str) -> list[Any]:
    return [name if name in fast else pytest.param(name, marks=SLOW) for name in names]


@pytest.mark.parametrize("name", some_slow(PATHS, "read, write, reflect, window"))
def test_no_label_is_lost(machine: Computer, store: Memory, name: str) -> None:
    cases, lost = losses(machine, PATHS[name](store))
    assert cases >= CASES and not lost, lost[:5]


@pytest.mark.parametrize("firmware", some_slow(NAMES, "recency"))
def test_no_firmware_loses_a_label(machine: Computer, store: Memory, firmware: str) -> None:
    cases, lost = losses(machine, searching(store, firmware))
    assert cases >= CASES and not lost, lost[:5]


def test_labels_are_on_the_disk(tmp_path: File) -> None:
    """After a close, a kill (no close) and in a copy; one that cannot be read is untrusted."""
    with memory(tmp_path) as store:
        labels = dict([(written(store, label)[1], label) for (_, label), _ in PAIRS])
        (tmp_path / "copy").mkdir()
        with sqlite3.connect(tmp_path / "copy" / "memory.db") as copy:
            sqlite3.connect(tmp_path / "memory.db").backup(copy)
    copy.execute("ALTER TABLE page DROP COLUMN seal")  # as an earlier version had it
    copy.execute("UPDATE page SET label = NULL WHERE id % 2")
    copy.execute("UPDATE page SET label = 'USER' WHERE id % 3 = 0")
    copy.commit()
    copy.close()
    with memory(tmp_path) as store:
        assert {at: store.read(at).label for at in labels} == labels
    disk = Disk(tmp_path / "copy")
    pages = disk.pages(range(1, len(PAIRS) + 1))
    for number, page in pages.items():
        whole = number % 2 == 0 and number % 3
        assert page.label == (labels[page.address] if whole else UNTRUSTED)
    disk.close()
    assert len(labels) >= CASES and len(pages) == len(labels)


def test_a_loss_would_be_told() -> None:
    assert loss((USER, UNTRUSTED)) and not loss((UNTRUSTED, USER))
