"""Short programs, transfer and kin; and several programs on the embedded model."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from kit import execute
from memory_kit import memory
from terminal_fixture import ESSAY, Terminal, nlpu

from nlpu.errors import Usage
from nlpu.memory.ingest import ingest
from nlpu.programs.agent_day import Person, lived
from nlpu.programs.kin import kin, samples
from nlpu.programs.research import researched
from nlpu.programs.transfer import transfer
from nlpu.runtime import Computer
from nlpu.testing.scripted import Scripted, Seen

__all__ = ["nlpu"]
LETTERS = {"ann": "I am Ann. " * 90, "bob": "Bob here. " * 90, "cem": "It is Cem. " * 9}


# -- transfer --------------------------------------------------------------------------------------


def test_every_piece_is_changed_and_blanks_stay() -> None:
    text = "One sentence of many words here.\n\n  And\tanother one.\n" * 3
    engine = Scripted(lambda seen: json.dumps({"text": seen.operands["text"].upper()}))
    assert execute(transfer, "a", "A", text, engine=engine).result == text.upper()
    assert len(engine.seen) > 2
    assert {(s.operands["before"], s.operands["after"]) for s in engine.seen} == {("a", "A")}


def test_blank_pieces_are_left_as_they_are() -> None:
    engine = Scripted(lambda seen: json.dumps({"text": seen.operands["text"].upper() or "BABBLE"}))
    text = "hello there." + "\n" * 150 + "world."
    assert execute(transfer, "a", "A", text, engine=engine).result == text.upper()
    assert all(seen.operands["text"] for seen in engine.seen)


@pytest.mark.parametrize("reply", ["", "no record", '{"text":""}', '{"text":"x'])
def test_a_piece_without_a_usable_answer_stays_as_it_was(reply: str) -> None:
    text = "One sentence. Another one.\n"
    assert execute(transfer, "a", "A", text, engine=Scripted(reply)).result == text


# -- kin -------------------------------------------------------------------------------------------


def folder(place: Path) -> str:
    for name, text in LETTERS.items():
        (place / f"{name}.txt").write_text(text)
    return str(place)


def model(seen: Seen) -> str:
    if "probabilit" in seen.instruction or "Did the same" in seen.instruction:
        return "yes" if seen.operands["known"][:3] == seen.operands["unknown"][:3] else "no"
    return f"Both begin with {seen.operands['known'][:3]}."


def test_the_author_is_first_with_a_reason(tmp_path: Path) -> None:
    run = execute(kin, folder(tmp_path), LETTERS["bob"][:400], engine=Scripted(model))
    assert [each.author for each in run.result.kin] == ["bob", "ann", "cem"]
    assert run.result.kin[0].likeness == 1.0
    assert str(run.result).startswith("1.000  bob: Both begin with Bob.")


def test_only_what_is_read_of_the_authors_is_noted(tmp_path: Path) -> None:
    (tmp_path / "long.md").write_text("# ann\n" + "It rained in the valley. " * 40_000)
    authors = str(tmp_path / "long.md")
    run = execute(kin, authors, "Who am I?", engine=Scripted(model), run_dir=tmp_path / "runs")
    assert run.result.kin[0].author == "ann"
    assert sum(each.stat().st_size for each in (tmp_path / "runs").iterdir()) < 200_000


def test_samples_come_from_a_folder_or_from_a_file_with_headings(tmp_path: Path) -> None:
    found = samples(Path(folder(tmp_path)))
    assert found == LETTERS
    file = tmp_path / "all.md"
    file.write_text("".join(f"# {name}\n{text}\n" for name, text in LETTERS.items()))
    assert {name: text.strip() for name, text in samples(file).items()} == {
        name: text.strip() for name, text in LETTERS.items()
    }
    for nothing in (tmp_path / "none", tmp_path / "all.bin"):
        (tmp_path / "all.bin").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(Usage, match="cannot be read"):
            samples(nothing)
    (tmp_path / "empty.md").write_text("no heading")
    with pytest.raises(Usage, match="has no samples"):
        samples(tmp_path / "empty.md")


def test_kin_is_well_formed_without_valid_answers(tmp_path: Path) -> None:
    found = execute(kin, folder(tmp_path), "Who am I?", engine=Scripted("")).result.kin
    assert {each.likeness for each in found} == {0.5} and all(each.reason for each in found)


def test_the_terminal_runs_both(nlpu: Terminal, tmp_path: Path) -> None:
    Path("unknown.txt").write_text(LETTERS["ann"])
    (tmp_path / "letters").mkdir()
    words = ("--engine", "scripted", "--json")
    found = nlpu("run", "kin", folder(tmp_path / "letters"), "--input", "unknown.txt", *words).json
    assert {each["author"] for each in found["result"]["kin"]} == set(LETTERS)
    assert nlpu("run", "transfer", "a", "A", "--input", "unknown.txt", *words).json["result"]


# -- on the embedded model -------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.local
def test_all_are_well_formed_on_the_embedded_model(tmp_path: Path) -> None:
    """At the same time, on one computer: a report, a day, a change and a comparison."""
    if not all(map(find_spec, ("torch", "transformers", "xgrammar"))):
        pytest.skip("the embedded processor's packages are not installed")
    essay = ESSAY.read_text()
    people = [Person(n, f"{n}, a baker", memory(tmp_path / n)) for n in ("Ann", "Bob")]
    with memory(tmp_path / "store") as store, Computer("local") as computer:
        ingest(store, [ESSAY])
        runs = [
            computer.start(researched, store, "Who made early computers?", 2),
            computer.start(lived, people, 2),
            computer.start(transfer, "The cat sleeps.", "The cats sleep.", "The dog barks."),
            computer.start(kin, folder(tmp_path), essay[:900]),
        ]
        report, day, changed, found = (run.wait().result for run in runs)
    for run in runs:
        print(run.result, run.receipt, sep="\n", end="\n\n")
    assert report.found == bool(report.citations)
    assert all(0 <= c.start < c.stop <= len(essay) and c.source for c in report.citations)
    assert len(day.scenes) == 9 and all(line for scene in day.scenes for line in scene.lines)
    assert 0 < len(changed) <= 600
    assert {each.author for each in found.kin} == set(LETTERS)
    assert all(0 <= each.likeness <= 1 and each.reason for each in found.kin)
