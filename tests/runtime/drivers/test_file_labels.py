"""``files(dir, brings=USER)`` vouches for the user's files, not for what programs wrote there."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kit import PATIENCE_S, Doomed, computer, echo, execute, finish, resumed, said

from nlpu import Label, Value
from nlpu.errors import DriverFailed, Refused
from nlpu.label import SYSTEM, UNTRUSTED, USER, Integrity
from nlpu.runtime import Run
from nlpu.runtime.drivers.driver import driver, label_given
from nlpu.runtime.drivers.file_labels import PLACE
from nlpu.runtime.drivers.folder import Files, files
from nlpu.runtime.drivers.person import ScriptedPerson
from nlpu.testing.scripted import Scripted

MAIL = Value("attacker", UNTRUSTED)
YES = ScriptedPerson(lambda call: True)


def label_read(folder: Path, path: str = "note", **options: Any) -> Label:
    """The label of what another run reads there."""
    mine = files(folder, brings=USER)
    return execute(lambda: mine.read(path), **options).label


def wrote(
    folder: Path, text: Any, path: Any = "note", seen: Any = None, brings: Label = USER
) -> None:
    """Some run writes it, a person approving."""

    def program() -> Any:
        if seen is not None:
            str(seen)
        return files(folder, brings=brings).write(path, text)

    run = execute(program, person=YES)
    assert run.error is None, run.error


def test_what_the_user_wrote_is_the_user_s(tmp_path: Path) -> None:
    (tmp_path / "note").write_text("mine")
    assert label_read(tmp_path) is USER
    wrote(tmp_path, "the program's, whom the user runs")
    assert label_read(tmp_path) is USER
    assert os.listdir(tmp_path) == ["note"], "no record of what is the user's"


@pytest.mark.parametrize("brings", [USER, SYSTEM, UNTRUSTED])
@pytest.mark.parametrize(("text", "seen"), [(MAIL, None), ("constant", MAIL)])
def test_what_untrusted_content_went_into_is_untrusted(
    tmp_path: Path, text: Any, seen: Any, brings: Label
) -> None:
    """By data or by control, whatever the folder was said to bring when it was written."""
    wrote(tmp_path, text, seen=seen, brings=brings)
    assert label_read(tmp_path) is UNTRUSTED


def test_within_a_run_too_and_the_letter_is_refused(tmp_path: Path) -> None:
    @driver(effect="external", roles={"body": "content"})
    def send(to: str, body: str) -> bool:
        """Send a letter."""
        raise AssertionError

    def program() -> Any:
        mine = files(tmp_path, brings=USER)
        mine.write("note", MAIL)
        return send(mine.read("note"), "body")

    run = execute(program, person=ScriptedPerson())
    assert isinstance(run.error, Refused) and "'to' decides" in str(run.error)


def test_readers_are_kept(tmp_path: Path) -> None:
    ann = Label(Integrity.USER, frozenset({"ann"}))
    wrote(tmp_path, Value("secret", ann))
    assert label_read(tmp_path) == ann


def test_it_is_known_from_whatever_root(tmp_path: Path) -> None:
    wrote(tmp_path, MAIL, "a/b/note")
    assert label_read(tmp_path, "a/b/note") is UNTRUSTED
    assert label_read(tmp_path / "a" / "b") is UNTRUSTED
    (tmp_path / "a").rename(tmp_path / "c")
    assert label_read(tmp_path / "c", "b/note") is UNTRUSTED


def test_written_again_it_is_as_it_was_written_last(tmp_path: Path) -> None:
    wrote(tmp_path, MAIL)
    wrote(tmp_path, "mine again")
    assert label_read(tmp_path) is USER
    wrote(tmp_path, MAIL)
    assert label_read(tmp_path) is UNTRUSTED


def test_a_change_by_another_hand_does_not_vouch_for_it(tmp_path: Path) -> None:
    wrote(tmp_path, MAIL)
    with (tmp_path / "note").open("a") as file:
        file.write("and a line of the user's")
    assert label_read(tmp_path) is UNTRUSTED
    (tmp_path / PLACE / "note").unlink()  # this does
    assert label_read(tmp_path) is USER


@pytest.mark.parametrize(
    "harm",
    [
        lambda place: (place / "note").write_text("{"),
        lambda place: (place / "note").write_text('{"text": "[\\"USER\\"]"}'),
        lambda place: (place / "note").write_bytes(b"\xff"),
        lambda place: ((place / "note").unlink(), (place / "note").mkdir()),
        lambda place: ((place / "note").unlink(), place.rmdir(), place.write_text("")),
        lambda place: (place.rename(place.parent / "old"), place.symlink_to("old")),
    ],
)
def test_a_record_that_cannot_be_read_is_untrusted(
    tmp_path: Path, harm: Callable[[Path], Any]
) -> None:
    wrote(tmp_path, "x", seen=Value("x", SYSTEM))
    assert label_read(tmp_path) is SYSTEM
    harm(tmp_path / PLACE)
    assert label_read(tmp_path) is UNTRUSTED


def test_names_that_were_chosen_by_untrusted_content(tmp_path: Path) -> None:
    """A name says something, too; what is in a file says nothing of its name."""

    def listed(path: str = "") -> Label:
        return execute(lambda: files(tmp_path, brings=USER).list(path)).label

    wrote(tmp_path, MAIL, "note")
    assert listed() is USER
    wrote(tmp_path, "text", "folder/mine")
    wrote(tmp_path, "text", Value("folder/theirs/note", UNTRUSTED))
    assert listed() is USER and listed("folder") is UNTRUSTED
    assert listed("folder/theirs") is UNTRUSTED
    assert execute(lambda: files(tmp_path).list()).result == ["folder/", "note"]


def test_records_are_no_files_of_the_folder(tmp_path: Path) -> None:
    wrote(tmp_path, MAIL)
    mine = files(tmp_path, brings=USER)
    for path in (f"{PLACE}/note", PLACE, PLACE.upper() + "/note"):
        with pytest.raises(DriverFailed, match="labels are kept there"):
            mine.read.function(path)
        with pytest.raises(DriverFailed, match="labels are kept there"):
            mine.write.function(path, "text")
        with pytest.raises(DriverFailed, match="labels are kept there"):
            mine.list.function(path)


def test_what_is_written_past_the_dispatcher_is_nobody_s_word(tmp_path: Path) -> None:
    files(tmp_path).write.function("note", "text")
    assert label_read(tmp_path) is UNTRUSTED
    assert label_given("text") is UNTRUSTED


# -- other lives -------------------------------------------------------------------------------


def reads(folder: Path) -> Callable[[], Any]:
    def program() -> Any:
        found = files(folder, brings=USER).read("note")
        return [found, echo(found)]

    return program


def test_a_resumed_run_knows_what_it_read(tmp_path: Path) -> None:
    """Whatever has become of the file since: the label is in the journal with the text."""
    folder, runs, grave = (tmp_path / name for name in ("folder", "runs", "grave"))
    folder.mkdir()
    wrote(folder, MAIL)
    first = execute(reads(folder), engine=Doomed(said, runs, grave, at=1), run_dir=runs)
    wrote(folder, "mine")
    again = resumed(grave, first, reads(folder), engine=Scripted(said))
    assert again.result == ["attacker", "attacker"] and again.label is UNTRUSTED
    replay = resumed(runs, first, reads(folder), replay=True)
    assert replay.result == first.result and replay.label is UNTRUSTED


def test_nor_is_it_lowered_by_what_was_written_since(tmp_path: Path) -> None:
    folder, runs = tmp_path / "folder", tmp_path / "runs"
    folder.mkdir()
    (folder / "note").write_text("mine")
    first = execute(reads(folder), run_dir=runs)
    wrote(folder, MAIL)
    assert resumed(runs, first, reads(folder), replay=True).label is USER


def test_an_edited_run_takes_it_over(tmp_path: Path) -> None:
    from nlpu.runtime.journal.edits import Edits

    folder, runs = tmp_path / "folder", tmp_path / "runs"
    folder.mkdir()
    wrote(folder, MAIL)
    first = execute(reads(folder), run_dir=runs)
    wrote(folder, "mine")

    def rerun(name: str) -> Run:
        with computer(Scripted(said), run_dir=runs) as machine:
            return finish(machine.rerun(name, reads(folder), edits=Edits({"main/1": "other"})))

    second = rerun(first.name)
    assert second.result == ["attacker", "other"] and second.label is UNTRUSTED
    assert resumed(runs, second, reads(folder)).label is UNTRUSTED


def test_a_kill_while_it_is_written_leaves_the_worse_label(tmp_path: Path) -> None:
    """The record is there before the text is: here it can be written, and the text cannot."""
    (tmp_path / "note").write_text("mine")
    theirs = files(tmp_path, brings=USER, most_bytes=20)
    (tmp_path / "other").mkdir()
    run = execute(lambda: theirs.write("other", MAIL), person=YES)
    assert isinstance(run.error, DriverFailed)
    wrote(tmp_path, MAIL)
    record = json.loads((tmp_path / PLACE / "note").read_text())
    assert "UNTRUSTED" in record["text"]


def test_who_reads_while_others_write_is_never_told_better(tmp_path: Path) -> None:
    """Untrusted and own texts take turns; each that is read has its own label, or a worse one."""
    over = threading.Event()

    def writes(mine: Files) -> None:
        for turn in range(20):
            text = Value("attacker", UNTRUSTED) if turn % 2 else Value("mine")
            mine.write("note", text)

    def reads_on() -> None:
        mine = files(tmp_path, brings=USER)
        while not over.is_set():
            run = execute(lambda: mine.read("note"))
            if run.error is None and run.result == "attacker" and run.label is not UNTRUSTED:
                wrong.append(run.label)

    wrong: list[Label] = []
    (tmp_path / "note").write_text("mine")
    reader = threading.Thread(target=reads_on)
    reader.start()
    try:
        assert execute(writes, files(tmp_path, brings=USER)).error is None
    finally:
        over.set()
        reader.join(PATIENCE_S)
    assert not wrong


def test_records_are_their_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        wrote(tmp_path, MAIL)
    finally:
        os.umask(before)
    (record,) = (tmp_path / PLACE).iterdir()
    assert record.stat().st_mode & 0o777 == 0o600
    assert label_read(tmp_path) == UNTRUSTED
