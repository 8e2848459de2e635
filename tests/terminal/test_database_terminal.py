"""The commands with a database for a place of runs: from here, from elsewhere, and in bad shape."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from terminal_fixture import Terminal, nlpu

from nlpu.memory.store.postgres.names import place_of as place_of_pages
from nlpu.runtime.journal.places import journals, place_of
from nlpu.runtime.journal.where import Seat

__all__ = ["nlpu"]  # a fixture
SCRIPTED = ("--engine", "scripted")
PROGRAM = '''
from nlpu import nlop


@nlop
def step(text: str) -> str:
    """Go on."""


def go(text: str) -> str:
    return str(step(str(step(text))))
'''


@pytest.fixture
def url(postgres: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database that the commands are told of by the environment."""
    found = str(postgres.fresh())
    monkeypatch.setenv("NLPU_RUN_DIR", found)
    return found


def run_of(nlpu: Terminal, *words: str) -> Any:
    return nlpu("run", *(words or ("ask", "What is a loom?")), *SCRIPTED, "--json").json


def test_every_command_about_runs(nlpu: Terminal, url: str, tmp_path: Path) -> None:
    """As of a folder, and nothing is written into one."""
    (tmp_path / "mine.py").write_text(PROGRAM)
    made = run_of(nlpu, "mine.py:go", "a")
    name, result = made["run_id"], made["result"]
    assert [each["id"] for each in nlpu("runs", "--json").json] == [name]
    assert f'("a") = "{result[:40]}' in nlpu("runs").out
    assert nlpu("show", name, "--json").json["calls"] == 2
    assert "2 calls" in nlpu("show", name[:4]).out
    assert "0 calls in flight" in nlpu("show", name, "--live").out
    for word in ("replay", "resume"):
        again = nlpu(word, name, "--json").json
        assert (again["result"], again["receipt"]["calls"]) == (result, 0)
    assert nlpu("show", name, "--program").out.count("step") == 3
    assert "the result is user" in nlpu("show", name, "--labels").out
    assert nlpu("show", name, "--html", "r.html").code == 0
    (tmp_path / "better.txt").write_text("better")
    edited = nlpu("run", "--from", name, "--set", "main/0=better.txt", *SCRIPTED, "--json").json
    assert edited["result"] != result and edited["run_id"] == f"{name}.2"
    assert nlpu("show", name, f"{name}.2").code == 0
    assert len(nlpu("runs", "--json").json) == 2
    assert not (tmp_path / ".nlpu" / "runs").exists()


def test_what_stopped_goes_on_and_says_how(nlpu: Terminal, url: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PROGRAM)
    ended = nlpu("run", "mine.py:go", "a", *SCRIPTED, "--calls", "1")
    name = nlpu("runs", "--json").json[0]["id"]
    shown = str(place_of(url))
    assert ended.code == 3 and f"nlpu resume {name} --store {shown}" in ended.err
    assert "s3cret" not in ended.err + ended.out
    assert nlpu("resume", name, "--calls", "5").code == 0


def test_a_session(nlpu: Terminal, url: str) -> None:
    assert nlpu("repl", *SCRIPTED, stdin="hello\nruns\n").code == 0
    (name,) = [each["id"] for each in nlpu("runs", "--json").json]
    assert nlpu("repl", "--resume", "last", stdin="more\n").code == 0
    assert [each["id"] for each in nlpu("runs", "--json").json] == [name]


def test_another_machine_asks_before_it_runs_a_program(
    nlpu: Terminal, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(PROGRAM)
    made = run_of(nlpu, "mine.py:go", "a")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "other"))
    assert nlpu("show", made["run_id"]).code == 0, "to look runs nothing"
    asked = nlpu("replay", made["run_id"])
    assert asked.code == 4 and "not known to be yours" in asked.err
    assert nlpu("replay", made["run_id"], "--trust", "--json").json["result"] == made["result"]


def test_who_has_it_is_named(nlpu: Terminal, url: str) -> None:
    from nlpu.runtime.journal.postgres.store import PostgresStore

    name = run_of(nlpu)["run_id"]
    owner = PostgresStore(Seat(place_of(url), name))  # type: ignore[arg-type]
    try:
        busy = nlpu("resume", name, *SCRIPTED)
        assert busy.code == 1 and "is being executed by process" in busy.err
        assert "can be gone on with in 1" in busy.err
    finally:
        owner.close()
    assert nlpu("resume", name, *SCRIPTED).code == 0


def test_no_command_shows_a_password(
    nlpu: Terminal, postgres: Any, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However a command ends, and wherever the URL was given."""
    name = run_of(nlpu)["run_id"]
    wrong = postgres.url("nowhere", password="wr%2Fng-w%40rd")
    commands = [
        ("runs",),
        ("runs", "--json"),
        ("show", name),
        ("show", "nosuch"),
        ("resume", "nosuch"),
        ("doctor", "--offline"),
        ("doctor", "--offline", "--json"),
        ("runs", "--store", wrong),
        ("run", "ask", "a", *SCRIPTED, "--store", wrong, "--json"),
        ("doctor", "--store", wrong),
        ("memory", "stats", "--store", wrong),
        ("run", "ask", "a", "--engine", wrong),
        ("run", "ask", "a", *SCRIPTED, "--store", wrong.replace("%40", "@")),
        ("runs", "--store", wrong.replace("postgresql", "mysql")),
        ("runs", "--store", wrong.replace("%2F", "%zz")),
    ]
    for words in commands:
        ended = nlpu(*words)
        for secret in ("s3cret", "wr/ng", "ng-w", "w@rd", "w%40rd"):
            assert secret not in ended.out + ended.err, words
        assert "Traceback" not in ended.err, words
    monkeypatch.delenv("NLPU_RUN_DIR")
    (tmp_path / "nlpu.toml").write_text(f'run_dir = "{wrong}"\n')
    refused = nlpu("runs")
    assert refused.code == 2 and "belongs in PGPASSWORD" in refused.err
    assert "ng-w" not in refused.err
    (tmp_path / "nlpu.toml").write_text('run_dir = "postgresql://u@127.0.0.1:1/runs"\n')
    assert "127.0.0.1" in nlpu("runs").err


def test_a_program_is_given_no_database_for_a_folder(
    nlpu: Terminal, url: str, tmp_path: Path
) -> None:
    """A parameter run_dir is a folder's name to programs: what is none is not given."""
    (tmp_path / "asks.py").write_text("def go(run_dir: str = ''):\n    return run_dir or '-'\n")
    assert run_of(nlpu, "asks.py:go")["result"] == "-"
    assert len(journals(place_of(url))) == 1
    assert json.loads(nlpu("runs", "--json").out)[0]["status"] == "done"


def test_every_command_about_a_memory(
    nlpu: Terminal, postgres: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a folder, and nothing is written into one; no command shows the password."""
    place = f"{postgres.fresh()}#notes"
    monkeypatch.setenv("NLPU_STORE", place)
    (tmp_path / "mill.md").write_text("# The mill\nTom built the mill in 1880.")
    said = [nlpu("memory", "stats")]
    assert said[0].code == 2 and "there is no memory in postgresql://nlpu@" in said[0].err

    def memory(*words: str, code: int = 0) -> Any:
        said.append(nlpu("memory", *words))
        assert said[-1].code == code, said[-1]
        return said[-1]

    assert memory("ingest", "mill.md", "--embedder", "static").out.startswith("1 files (0 unch")
    assert memory("ingest", "mill.md", "--store", place).out.startswith("1 files (1 unch")
    (found,) = memory("search", "Who built the mill?", "--json").json
    assert found["source"].endswith("mill.md")
    assert memory("show", found["address"]).out == "# The mill\nTom built the mill in 1880.\n"
    assert [row["pages"] for row in memory("stats", "--json").json] == [0, 1, 1]
    assert memory("check").out == "1 pages, no faults\n"
    assert memory("rebuild").out == "1 pages embedded\n"
    monkeypatch.setenv("PGPASSWORD", urlsplit(place).password or "")  # arguments have none
    words = ("run", "answer", "Who built the mill?", *SCRIPTED, "--json")
    said.append(nlpu(*words, f"store={place}"))
    assert (
        said[-1].code == 2
        and "the password in the URL of a database would be written" in said[-1].err
    )
    said.append(nlpu(*words, f"store={place_of_pages(place)}"))
    assert said[-1].code == 0 and said[-1].json["receipt"]["calls"] > 0, said[-1]
    said.append(nlpu("show", said[-1].json["run_id"]))
    assert memory("forget", "mill.md").out == "1 pages forgotten\n"
    assert memory("search", "mill").err.endswith("nothing found\n")
    said += [nlpu("doctor", "--offline"), nlpu("memory", "stats", "--store", "mysql://u:s3cret@h")]
    assert "pages cannot be kept in a mysql:// store" in said[-1].err
    for ended in said:
        assert "s3cret" not in ended.out + ended.err and "Traceback" not in ended.err
    assert not list(tmp_path.rglob("memory.db"))
    journals = [path for path in tmp_path.rglob("*.db*") if b"s3cret" in path.read_bytes()]
    assert journals == []
