"""``nlpu memory`` and ingest: files become pages once, and are found."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_kit import memory
from terminal_fixture import Terminal, nlpu

from nlpu.errors import MissingPart, Usage
from nlpu.label import UNTRUSTED, USER
from nlpu.memory.firmware import Base
from nlpu.memory.ingest import cut, ingest, name_of, text_of
from nlpu.memory.store.embedders import open_embedder
from nlpu.memory.store.levels import Levels, rough_tokens
from nlpu.memory.store.page import Page

__all__ = ["nlpu"]
BEES = "# Bees\n\nBees make honey in hives.\n\n# Mills\n\nThe mill grinds corn. It is old.\n"


@settings(deadline=None)
@given(st.text(st.sampled_from("ab #.\n"), max_size=400), st.integers(8, 40))
def test_pages_are_the_text_but_for_blanks(text: str, tokens: int) -> None:
    last = 0
    for start, stop in cut(text, tokens):
        assert not text[last:start].strip() and text[start:stop].strip()
        assert rough_tokens(text[start:stop]) <= tokens
        last = stop
    assert not text[last:].strip()


def test_pages_end_at_sections(tmp_path: Path) -> None:
    pages = [BEES[start:stop] for start, stop in cut(BEES)]
    assert [page.splitlines()[0] for page in pages] == ["# Bees", "# Mills"]


def test_ingest_is_idempotent_and_follows_changes(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    (folder / "deep").mkdir(parents=True)
    (folder / "bees.md").write_text(BEES)
    (folder / "deep" / "rain.txt").write_text("It rained in the valley. " * 60)
    (folder / "image.png").write_bytes(b"\0\1")
    with memory(tmp_path / "store") as store:
        steps: list[tuple[int, int]] = []
        taken = ingest(store, [folder], USER, progress=lambda *step: steps.append(step))
        assert (taken.files, taken.unchanged, taken.skipped) == (2, 0, [])
        assert steps == [(1, 2), (2, 2)]
        before = store.levels.disk.numbers()
        again = ingest(store, [folder], USER)
        assert (again.unchanged, again.pages) == (2, 0)
        (folder / "bees.md").write_text(BEES.replace("corn", "wheat"))
        assert ingest(store, [folder], USER).unchanged == 1
        after = store.levels.disk.numbers()
        assert len(after) == len(before) and len(set(after) & set(before)) == len(before) - 1
        page = store.search("What does the mill grind?", most=1)[0].page
        assert "wheat" in page.text and page.label is USER
        assert page.text == (folder / "bees.md").read_text()[page.start : page.stop]
        assert store.check() == []


def test_files_that_are_no_text_are_skipped_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00b")
    (tmp_path / "b.txt").write_bytes(b"caf\xe9")
    (tmp_path / "c.pdf").write_bytes(b"no pdf")
    os.mkfifo(tmp_path / "d.txt")  # nobody will ever write to it
    names = ["a.txt", "b.txt", "c.pdf", "d.txt"]
    with memory(tmp_path / "store") as store:
        taken = ingest(store, [tmp_path / name for name in names])
        assert [Path(name).name for name, _ in taken.skipped] == names
        assert "binary" in taken.skipped[0][1] and "UTF-8" in taken.skipped[1][1]
        assert "regular file" in taken.skipped[3][1]
        (tmp_path / "in").mkdir()
        os.mkfifo(tmp_path / "in" / "pipe.txt")
        (tmp_path / "in" / "lost.txt").symlink_to("nowhere")
        in_folder = ingest(store, [tmp_path / "in"]).skipped
        assert [Path(name).name for name, _ in in_folder] == ["lost.txt", "pipe.txt"]
        with pytest.raises(Usage, match="no file or folder"):
            ingest(store, [tmp_path / "nowhere"])


def test_a_files_name_may_be_any_bytes(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/na\xffme.txt"))
    path.write_text("Zebras.")
    with memory(tmp_path / "store") as store:
        assert ingest(store, [path]).pages == 1
        assert store.read(store.search("zebras")[0].page.address).source.endswith("/na\\xffme.txt")
        assert store.forget(name_of(path)) == 1
        for long in ("x" * 300, "é" * 200, "x" * 300 + "/a.txt"):
            with pytest.raises(Usage, match="name too long"):
                ingest(store, [Path(long)])


def test_pages_that_were_there_with_less_trust_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("The mill was built in 1712.")
    with memory(tmp_path / "store") as store:
        assert ingest(store, [tmp_path / "a.txt"]).distrusted == 0
        assert ingest(store, [tmp_path / "a.txt"], USER).distrusted == 1
        store.forget(str(tmp_path / "a.txt"))
        assert ingest(store, [tmp_path / "a.txt"], USER).distrusted == 0


def test_a_file_half_forgotten_is_taken_in_again(tmp_path: Path) -> None:
    class Killed(Base):
        def importance(self, levels: Levels, page: Page) -> float:
            raise KeyboardInterrupt

    path = tmp_path / "a.txt"
    path.write_text("Bees live in hives.")
    with memory(tmp_path / "store") as store:
        ingest(store, [path])
    path.write_text("Something else.")
    with memory(tmp_path / "store", firmware=Killed()) as store, pytest.raises(KeyboardInterrupt):
        ingest(store, [path])
    path.write_text("Bees live in hives.")
    with memory(tmp_path / "store") as store:
        assert ingest(store, [path]).unchanged == 0


def test_html_loses_its_markup_and_scripts() -> None:
    pytest.importorskip("bs4")
    page = b"<html><script>evil()</script><h1>Bees</h1><p>They <b>live</b> in hives.</p></html>"
    assert text_of(Path("x.html"), page).split() == ["Bees", "They", "live", "in", "hives."]


@pytest.fixture
def store(nlpu: Terminal, tmp_path: Path) -> Any:
    try:
        open_embedder("static")
    except MissingPart as missing:
        pytest.skip(str(missing))
    (tmp_path / "bees.md").write_text(BEES)
    assert nlpu("memory", "ingest", "bees.md", "--embedder", "static").out == (
        "1 files (0 unchanged), 2 pages\n"
    )
    return nlpu


def test_the_commands_of_memory(store: Terminal, tmp_path: Path) -> None:
    assert "2 pages stay untrusted" in store("memory", "ingest", "bees.md", "--trusted").err
    store("memory", "ingest", "bees.md")
    again = store("memory", "ingest", "bees.md", "--json").json
    assert (again["unchanged"], again["pages"]) == (1, 0)
    (found,) = store("memory", "search", "Where do bees live?", "--most", "1", "--json").json
    assert found["text"].startswith("# Bees") and found["label"] == str(UNTRUSTED)
    told = store("memory", "search", "bees", "--tokens", "12").out
    assert found["address"] in told and "bees.md[0:" in told and "mill" not in told
    shown = store("memory", "show", found["address"], "--around", "1")
    assert shown.out.startswith("# Bees") and "# Mills" in shown.out
    assert found["address"] in shown.err
    levels = {row["level"]: row for row in store("memory", "stats", "--json").json}
    assert levels["disk"]["pages"] == levels["vectors"]["pages"] == 2
    assert "hit rate" in store("memory", "stats").out
    assert store("memory", "check").out == "2 pages, no faults\n"
    assert store("memory", "rebuild", "--json").json == {"pages": 2}
    assert store("memory", "forget", found["address"]).out == "1 pages forgotten\n"
    assert store("memory", "forget", "bees.md").out == "1 pages forgotten\n"
    assert store("memory", "search", "bees").err == "nothing found\n"


def test_what_is_wrong_is_said(nlpu: Terminal, tmp_path: Path) -> None:
    none = nlpu("memory", "search", "x")
    assert none.code == 2 and "nlpu memory ingest" in none.err
    assert nlpu("memory", "ingest", "nowhere").code == 2
    with memory(tmp_path / "s") as store:
        store.write("x")
        busy = nlpu("memory", "show", "mem:x", "--store", "s")
        assert busy.code == 1 and "in use by process" in busy.err
    (tmp_path / "loop").symlink_to("loop")
    for nothing in ("mem:x", "loop", "x" * 300):
        assert nlpu("memory", "forget", nothing, "--store", "s").code == 2
    assert nlpu("memory", "search", "x", "--store", "s", "--firmware", "iterative").code == 2


def test_an_ingest_that_skipped_a_file_has_exit_code_1_and_takes_the_others(
    store: Terminal, tmp_path: Path
) -> None:
    (tmp_path / "data.txt").write_bytes(b"\0")
    (tmp_path / "mill.md").write_text("The mill is old.")
    some = store("memory", "ingest", "data.txt", "mill.md", "bees.md")
    assert some.code == 1 and some.out == "3 files (1 unchanged), 1 pages\n"
    assert "skipped data.txt: it is a binary file" in some.err
    assert store("memory", "ingest", "data.txt", "--json").code == 1
    assert store("memory", "ingest", "mill.md").code == 0
