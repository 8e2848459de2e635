"""A database's password is written and shown nowhere, however Python is given its URL."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kit import computer, echo, execute, finish, said
from pydantic import BaseModel

from nlpu.errors import Usage
from nlpu.memory import Memory
from nlpu.postgres.urls import without_passwords
from nlpu.runtime.journal.header import args_text
from nlpu.testing.scripted import Scripted

SECRETS = st.from_regex(r"[!-~]{8,20}", fullmatch=True).filter(lambda word: word.strip("0") == word)
NAMES = st.from_regex(r"[a-z]{1,5}", fullmatch=True)


class Place(BaseModel):
    """Where something is."""

    url: str


def asks(question: str, store: Any = "") -> str:
    return str(echo(question))


WAYS: dict[str, Callable[[str], tuple[tuple[Any, ...], dict[str, Any]]]] = {
    "in its place": lambda url: (("a", url), {}),
    "by name": lambda url: (("a",), {"store": url}),
    "in a list of records": lambda url: (("a", [Place(url=url)]), {}),
    "with a memory's name": lambda url: (("a",), {"store": {"notes": f"{url}#notes"}}),
}


def kept_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@settings(max_examples=10, deadline=None)
@given(SECRETS, NAMES, st.booleans(), st.sampled_from([*WAYS]))
def test_as_an_argument_it_is_refused_before_anything_is_written(
    secret: str, user: str, in_query: bool, way: str
) -> None:
    word = quote(secret, safe="")
    place = f"{user}@127.0.0.1/db?password={word}" if in_query else f"{user}:{word}@127.0.0.1/db"
    args, named = WAYS[way](f"postgresql://{place}")
    shown = []
    with tempfile.TemporaryDirectory() as made:
        with computer(run_dir=Path(made)) as machine:
            with pytest.raises(
                Usage, match=r"belongs in PGPASSWORD, ~/\.pgpass or a service"
            ) as one:
                finish(machine.start(asks, *args, **named))
            assert finish(machine.start(asks, "b")).status == "done", "the computer goes on"
            shown += [str(one.value), repr(one.value)]
        with computer(run_dir=Path(made)) as machine:
            inputs = [named.get("store", args[-1])]
            with pytest.raises(Usage, match="PGPASSWORD") as one:
                list(machine.map(lambda store: asks("a", store), inputs, name="b"))
            shown.append(str(one.value))
        kept = kept_in(Path(made))
    assert kept and secret.encode() not in kept and word.encode() not in kept
    assert not [text for text in shown if secret in text or word in text]


@pytest.mark.parametrize(
    "word", ['p"w-word', "p\\w-word", "p/w-word", "p%22-word", "ä-word", "p:w-word"]
)
def test_one_with_odd_signs_is_seen(word: str) -> None:
    with pytest.raises(Usage):
        args_text((f"postgres://u:{word}@h/db",), {})


@pytest.mark.parametrize(
    "url",
    [
        " postgresql://u:p-word@h/db",
        "\npostgresql://u:p-word@h/db\n",
        "postgresql:/u:p-word@h/db",
        "'postgres://u:p-word@h/db'",
        "PostgreSQL+psycopg://u:p-word@h/db",
    ],
)
def test_one_in_a_url_with_a_slip_is_seen(url: str) -> None:
    """No memory can be opened by it, and that would be told behind the journal's first row."""
    with pytest.raises(Usage):
        args_text((url,), {})


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann@h:5432/db#notes",
        "Postgres: a note to ann@h",
        "postgresql://h:5432,i:5433/db",
        "postgresql:///?service=runs",
        "postgresql:///db?host=/tmp&user=ann",
        "https://ann:word@h/x",  # no database's
        "The URL is postgresql://ann:word@h/db, he wrote.",  # a text that a program reads
    ],
)
def test_what_has_none_is_kept_as_it_is(url: str, tmp_path: Path) -> None:
    assert without_passwords(f'["{url}"]') == f'["{url}"]'
    run = execute(asks, "a", url, run_dir=tmp_path)
    assert run.error is None and url.encode() in kept_in(tmp_path)


def test_of_a_memory_that_a_program_opens_nothing_is_kept_or_shown(
    postgres: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it finds there is noted in the run's journal; where that is, without the word."""
    url = f"{postgres.fresh()}#notes"
    secret = str(urlsplit(url).password)
    wrong = url.replace(secret, "wr%2Fng-word")

    def remembers(place: int) -> int:
        with Memory((url, wrong)[place], embedder="static") as memory:
            memory.write("Tom built the mill in 1880.", source="mill.md")
            print(memory, repr(memory))
            return len(memory.search(str(echo("mill"))))

    with computer(Scripted(said), run_dir=tmp_path) as machine:
        runs = [finish(machine.start(remembers, place)) for place in (0, 1)]
        assert runs[0].result == 1
        assert "authentication failed" in str(runs[1].error)
        shown = f"{runs} {runs[1].error!r} {runs[1].error} {machine}"
    shown += "".join(capsys.readouterr())
    kept = kept_in(tmp_path)
    for word in (secret, "wr%2Fng-word", "wr/ng-word"):
        assert word not in shown and word.encode() not in kept
