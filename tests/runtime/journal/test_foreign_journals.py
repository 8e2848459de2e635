"""Whose code, whose key: what a journal names is run, and gets the key, if it is one's own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest
from journal_kit import PROGRAM, RUNS, Rows, begun_at, forge, forge_texts, headers, listener
from terminal_fixture import COMMAND, ROOT, Ended, Terminal, environment, nlpu

from nlpu.errors import ProgramError
from nlpu.runtime.journal import own
from nlpu.runtime.loader import digest_of, load
from nlpu.runtime.terminal.show.archive import find

__all__ = ["nlpu"]  # a fixture
KEY = "sesame-7431"
SCRIPTED = ("--engine", "scripted")
COMMANDS = {
    "resume": ("resume", "{run}"),
    "resume --changed": ("resume", "{run}", "--changed"),
    "replay": ("replay", "{run}"),
    "run --from": ("run", "--from", "{run}"),
    "show": ("show", "{run}"),
    "show --json": ("show", "{run}", "--json"),
    "show --html": ("show", "{run}", "--html", "a.html"),
    "show --trace": ("show", "{run}", "--trace", "a.json"),
    "show --program": ("show", "{run}", "--program"),
    "show --labels": ("show", "{run}", "--labels"),
    "repl": ("repl", "--resume", "{session}"),
    "repl last": ("repl", "--resume", "last"),
    "replay of a session": ("replay", "{session}"),
    "show --html of a session": ("show", "{session}", "--html", "a.html"),
}
PLAIN = ("show", "show --json")  # they run nothing, ever
GUESSED = ("show --html", "show --trace", "show --html of a session")  # without the program, too
EXACT = ("show --program", "show --labels")  # not without it


class Place:
    """A directory with a run of p.py and a session that ran it; both are done."""

    def __init__(self, nlpu: Terminal, path: Path) -> None:
        self.nlpu, self.path = nlpu, path
        (path / "p.py").write_text(PROGRAM)
        done = nlpu("run", "p.py:go", "What?", *SCRIPTED, "--json")
        self.run = done.json["run_id"]
        nlpu("repl", *SCRIPTED, stdin="a = run p.py:go q\nb = Hi {a}\n")
        self.session = nlpu("runs", "--json").json[0]["id"]
        (path / "ran").unlink()

    def __call__(self, command: str, *more: str) -> Ended:
        names = {"run": self.run, "session": self.session}
        return self.nlpu(*(word.format(**names) for word in COMMANDS[command]), *more)

    @property
    def ran(self) -> bool:
        """Whether the program's file was imported since this was last asked."""
        mark = self.path / "ran"
        found = mark.exists()
        mark.unlink(missing_ok=True)
        return found

    def file(self, name: str) -> Path:
        return self.path / RUNS / f"{name}.db"

    def forge(self, change: Any) -> None:
        for name in (self.run, self.session):
            forge(self.file(name), change)


@pytest.fixture
def place(nlpu: Terminal, tmp_path: Path) -> Place:
    return Place(nlpu, tmp_path)


@pytest.fixture
def elsewhere(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Any:
    """From when it is called on, another user: with another secret."""
    other = tmp_path_factory.mktemp("state")
    return lambda: monkeypatch.setenv("XDG_STATE_HOME", str(other))


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NLPU_API_KEY", KEY)


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    with listener() as heard:
        yield heard


# -- code --------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_ones_own_runs_as_ever(place: Place, command: str) -> None:
    ended = place(command)
    assert ended.code == 0 and place.ran == (command not in PLAIN), ended
    assert "guessed" not in ended.err


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_that_has_changed_is_not_imported(place: Place, command: str) -> None:
    (place.path / "p.py").write_text(PROGRAM + "\n# another line\n")
    ended = place(command)
    if command == "resume --changed":  # that says so
        assert ended.code == 0 and place.ran
        return
    assert not place.ran
    told(ended, command, foreign=False)
    if command not in (*PLAIN, *GUESSED, *EXACT):
        assert str(place.path / "p.py") in ended.err and "which is not what" in ended.err
        place(command, "--trust")
        assert place.ran


@pytest.mark.parametrize("command", COMMANDS)
def test_a_foreign_journal_runs_no_code(place: Place, command: str, elsewhere: Any) -> None:
    elsewhere()
    ended = place(command)
    assert not place.ran
    told(ended, command, foreign=True)
    if command not in PLAIN:
        asked = place(command, "--trust")
        assert asked.code == 0 and place.ran and "guessed" not in asked.err
        again = place(command)  # a yes is remembered
        assert again.code == 0 and place.ran


def told(ended: Ended, command: str, foreign: bool) -> None:
    """How a command ends that did not get a yes."""
    if command in PLAIN:
        assert ended.code == 0 and "What?" not in ended.err
    elif command in GUESSED:
        why = "not known to be yours" if foreign else "source has changed"
        assert ended.code == 0 and "edges are partial, guessed" in ended.err and why in ended.err
        assert ("--trust" in ended.err) == foreign
    elif command in EXACT and not foreign:
        assert ended.code == 1 and "source has changed" in ended.err
    else:
        assert ended.code == 4 and "--trust" in ended.err and "Nothing was run" in ended.err
        assert ("not known to be yours" in ended.err) == foreign


def other_program(rows: Rows) -> None:
    for header in headers(rows):
        header["program"] = header["program"].replace("p.py", "q.py")


def other_line(rows: Rows) -> None:
    for row in rows:
        if row[0] == "clock" and row[2].count("/") == 1:
            row[4] = [word.replace("p.py", "q.py") for word in row[4]]


def another_line(rows: Rows) -> Rows:
    line = ["c = run q.py:go q", "c", "run", str(Path("q.py").absolute()) + ":go", "q"]
    at = max(int(row[2].split("/")[1]) for row in rows if row[0] == "clock") + 1
    return [*rows, ["clock", rows[0][1], f"main/{at}", "what was heard", line]]


def as_before_marks(rows: Rows) -> Rows:
    for header in headers(rows):
        for name in ("own", "file", "args_name"):
            header.pop(name, None)
    return [row for row in rows if row[0] != "mark"]


@pytest.mark.parametrize(
    ("which", "change"),
    [
        ("replay", other_program),
        ("replay of a session", other_line),
        ("replay of a session", another_line),
    ],
)
def test_ones_own_that_others_changed_is_foreign(place: Place, which: str, change: Any) -> None:
    (place.path / "q.py").write_text(PROGRAM)
    place.forge(lambda rows: None)
    assert place(which).code == 0 and place.ran, "written again as it was, it is one's own"
    forge(place.file(place.run if which == "replay" else place.session), change)
    ended = place(which)
    assert ended.code == 4 and "not known to be yours" in ended.err and not place.ran
    assert "q.py" in ended.err


def test_other_arguments_are_foreign(place: Place) -> None:
    forge_texts(place.file(place.run), "What?", "Whom?")
    assert place("replay").code == 4 and not place.ran


def test_a_journal_from_before_there_were_marks_is_asked_about_once(place: Place) -> None:
    place.forge(as_before_marks)
    for command in ("replay", "repl"):
        ended = place(command)
        assert ended.code == 4 and "or an older version" in ended.err and not place.ran
        assert place(command, "--trust").code == 0 and place.ran
        assert place(command).code == 0 and place.ran
    assert place("run --from").code == 0 and place.ran, "a yes is to the run, not to a command"


def test_a_yes_is_to_what_was_seen(place: Place, elsewhere: Any) -> None:
    elsewhere()
    assert place("replay", "--trust").code == 0 and place.ran
    (place.path / "p.py").write_text(PROGRAM + "# evil\n")
    assert place("replay").code == 4 and not place.ran
    (place.path / "p.py").write_text(PROGRAM)
    forge_texts(place.file(place.run), "What?", "Whom?")
    assert place("replay").code == 4 and not place.ran


def test_a_session_goes_on_being_ones_own(place: Place) -> None:
    nlpu = place.nlpu
    lines = "c = run p.py:go again\nedit _2 Ho\nd = run p.py:go more\n"
    assert nlpu("repl", "--resume", place.session, stdin=lines).code == 0
    for name in (place.session, f"{place.session}.2"):
        record = find(RUNS, name)
        assert own.objection(record.path, record.past, record.texts) == ""
        assert nlpu("repl", "--resume", name, stdin="a\n").code == 0


def test_a_foreign_session_that_was_gone_on_with_is_ones_own(place: Place, elsewhere: Any) -> None:
    elsewhere()
    more = place.nlpu("repl", "--resume", place.session, "--trust", stdin="c = run p.py:go more")
    assert more.code == 0
    assert place("repl").code == 0


def test_a_session_in_the_console_is_asked_about_too(place: Place, elsewhere: Any) -> None:
    elsewhere()
    ended = place.nlpu("repl", *SCRIPTED, stdin=f"resume {place.session}\n")
    assert ended.code == 1 and "not known to be yours" in ended.err and not place.ran


def test_a_yes_at_a_terminal(place: Place, elsewhere: Any) -> None:
    elsewhere()
    env = environment(PYTHONPATH=str(ROOT), TERM="xterm", COLUMNS="200", NO_COLOR="1")
    for answer, code in (("n", 4), ("", 4), ("y", 0)):
        command, *rest = [*COMMAND, "replay", place.run]
        child = pexpect.spawn(
            command,
            rest,
            cwd=str(place.path),
            env=env,
            encoding="utf-8",
            timeout=30,
            dimensions=(40, 250),
        )
        child.expect_exact(f"the run {place.run} is not known to be yours")
        child.expect_exact(f"runs the file {place.path / 'p.py'} of ")
        child.expect_exact("[y/N] ")
        child.sendline(answer)
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == code and place.ran == (code == 0)


def test_json_says_that_a_person_is_needed(place: Place, elsewhere: Any) -> None:
    elsewhere()
    ended = place("resume", "--json")
    assert ended.code == 4 and ended.json["status"] == "needs_person"


# -- files and secrets -------------------------------------------------------------------------


def test_moved_and_copied_it_stays_ones_own(place: Place) -> None:
    shutil.move(place.path / RUNS, place.path / "kept")
    shutil.copytree(place.path / "kept", place.path / "copied")
    for where in ("kept", "copied"):
        assert place("replay", "--run-dir", where).code == 0 and place.ran


def test_a_file_of_another_user_or_for_others_to_write_is_foreign(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.file(place.run).chmod(0o620)
    ended = place("replay")
    assert ended.code == 4 and "others can write its file" in ended.err and not place.ran
    place.file(place.run).chmod(0o644)
    assert place("replay").code == 0 and place.ran
    monkeypatch.setattr(own.os, "getuid", lambda: 12345)
    ended = place("replay")
    assert ended.code == 4 and "its file belongs to" in ended.err and not place.ran


def test_without_a_home_runs_go_on_and_nothing_is_ones_own(
    nlpu: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    place = Place(nlpu, tmp_path)
    assert place("replay").code == 4 and not place.ran
    assert place("replay", "--trust").code == 0 and place.ran


def test_a_secret_is_made_once_and_private_and_one_that_others_can_read_is_not_used(
    nlpu: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    before = os.umask(0)
    place = Place(nlpu, tmp_path)
    os.umask(before)
    secret = tmp_path / "state" / "nlpu" / "journal.key"
    assert [path.name for path in secret.parent.iterdir()] == ["journal.key"]
    assert (secret.stat().st_mode & 0o777, secret.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert len(secret.read_bytes()) == 32 and place("replay").code == 0 and place.ran
    kept = b"".join(path.read_bytes() for path in (tmp_path / RUNS).iterdir() if path.is_file())
    assert secret.read_bytes() not in kept and secret.read_bytes().hex().encode() not in kept
    secret.chmod(0o644)
    own._known.clear()
    ended = place("replay")
    assert ended.code == 4 and "not a secret that only you can read" in ended.err and not place.ran
    assert "none is known to be yours" in nlpu("doctor", "--offline", *SCRIPTED).out


# -- the key -----------------------------------------------------------------------------------


USES = (("resume",), ("run", "--from"))


@pytest.mark.parametrize("words", USES)
def test_the_key_goes_where_ones_own_run_was_begun(
    nlpu: Terminal, tmp_path: Path, words: tuple[str, ...], server: Any, key: None
) -> None:
    url, heard = server
    ended = nlpu(*words, begun_at(url, tmp_path))
    assert ended.code == 1 and heard and set(heard) == {f"Bearer {KEY}"}


@pytest.mark.parametrize("words", [*USES, ("replay",)])
def test_no_key_goes_to_a_url_that_only_a_foreign_journal_names(
    nlpu: Terminal, tmp_path: Path, words: tuple[str, ...], server: Any, key: None, elsewhere: Any
) -> None:
    url, heard = server
    name = begun_at(url, tmp_path)
    elsewhere()
    ended = nlpu(*words, name)
    assert ended.code == 4 and not heard and not (tmp_path / "ran").exists()
    assert f"NLPU_API_KEY and texts would go to {url}, which only the journal names" in ended.err
    assert nlpu(*words, name, *SCRIPTED).code == 4, "its program is not one's own either"
    nlpu(*words, name, "--trust", *SCRIPTED)
    assert not heard, "another engine was named"
    assert nlpu("show", name, "--labels", "--trust").code == 0 and not heard
    assert nlpu(*words, name).code == 4 and not heard, "a yes to these is none to the key"
    if words != ("replay",):  # which opens no engine
        nlpu(*words, name, "--trust")
        assert set(heard) == {f"Bearer {KEY}"}


def test_a_url_that_the_person_names_is_not_asked_about(
    nlpu: Terminal, tmp_path: Path, server: Any, key: None, elsewhere: Any
) -> None:
    url, heard = server
    name = begun_at(url, tmp_path)
    elsewhere()
    (tmp_path / "nlpu.toml").write_text(f'engine = "{url}"\n')
    ended = nlpu("resume", name)
    assert ended.code == 4 and url not in ended.err and not heard
    (tmp_path / "nlpu.toml").unlink()
    ended = nlpu("resume", name, "--engine", url)
    assert ended.code == 4 and url not in ended.err and not heard


def test_a_session_of_ones_own_that_was_led_elsewhere_gets_no_key(
    place: Place, server: Any, key: None
) -> None:
    url, heard = server

    def lead(rows: Rows) -> None:
        for header in headers(rows):
            header["engine"] = url

    place.forge(lead)
    for command in ("repl", "resume", "run --from"):
        ended = place(command)
        assert ended.code == 4 and url in ended.err and not heard and not place.ran


def test_a_file_that_changes_after_it_was_looked_at_is_not_run(place: Place) -> None:
    seen = digest_of(place.path / "p.py")
    (place.path / "p.py").write_text(PROGRAM + "# evil\n")
    with pytest.raises(ProgramError, match="changed while it was looked at"):
        load("p.py:go", only=seen)
    assert not place.ran
