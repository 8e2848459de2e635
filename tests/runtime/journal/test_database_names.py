"""The name of a database as a place of runs, and the secrets in it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from database_kit import told
from hypothesis import assume, example, given
from hypothesis import strategies as st
from kit import echo, finish, said

from nlpu.errors import Usage
from nlpu.runtime import Computer
from nlpu.runtime.journal.places import journals, place_of
from nlpu.runtime.journal.where import Database
from nlpu.runtime.settings import Settings
from nlpu.runtime.settings import read as read_settings
from nlpu.testing.scripted import Scripted

ROOT = Path(__file__).parents[3]


SECRETS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=8, max_size=20).filter(
    lambda text: text.strip("0") == text
)
NAMES = st.from_regex(r"[a-z]{1,5}", fullmatch=True)


@given(secret=SECRETS, user=NAMES, name=NAMES, in_query=st.booleans())
def test_a_password_is_shown_nowhere(secret: str, user: str, name: str, in_query: bool) -> None:
    """Neither by what is printed of a place, nor by the error of a server that is not there."""
    word = quote(secret, safe="")
    assume(secret not in f"postgresql://{user}@127.0.0.1:1/{name}" and word != secret)
    user_part = user if in_query else f"{user}:{word}"
    query = f"?password={word}" if in_query else ""
    database = place_of(f"postgresql://{user_part}@127.0.0.1:1/{name}{query}")
    assert str(database) == f"postgresql://{user}@127.0.0.1:1/{name}"
    error = told(journals, database)
    machine = repr(Computer(Scripted(), store=database))
    for shown in (str(database), repr(database), error, machine):
        assert secret not in shown and word not in shown
    assert isinstance(database, Database) and database.has_password


@example(secret="0?@000000", user="a")
@given(secret=st.from_regex(r"[ -~]{2,8}[@/?%#:][ -~]{2,8}", fullmatch=True), user=NAMES)
def test_a_password_that_is_not_escaped_is_shown_nowhere(secret: str, user: str) -> None:
    """It may be read as a host, a port, a path or a query: then none of these is shown."""
    try:
        database = place_of(f"postgresql://{user}:{secret}@127.0.0.1:1/runs")
    except Usage as error:
        shown = str(error)
    else:
        shown = f"{database} {database!r} {told(journals, database)}"
    assert secret not in shown
    for part in re.split("[@/?%#:&=]", secret):
        assert len(part) < 6 or part not in shown


@pytest.mark.parametrize("url", ["mysql://h/d", "sqlite:///x", "https://h/d", "redis://h"])
def test_another_store_is_refused(url: str) -> None:
    assert "runs cannot be kept in a" in told(place_of, url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:/ann:s3cret@h/runs",
        "postgresql:ann:s3cret@h/runs",
        "postgresql//ann:s3cret@h/runs",
        " postgresql://ann:s3cret@h/runs",
        '"postgresql://ann:s3cret@h/runs"',
        "'PostgreSQL://ann:s3cret@h/runs",
        " mysql://ann:s3cret@h/runs",
        "host=h user=ann password=s3cret dbname=runs",
        "password = 's3cret' host=h",
    ],
)
def test_a_url_with_a_slip_is_no_folder_and_shown_nowhere(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of that name would be made, with the password in it, and be told of."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "nlpu.toml"
    file.write_text(f"run_dir = {json.dumps(url)}")
    for what in ("run_dir", "store"):
        assert "s3cret" not in told(lambda: Settings().over({what: url}, lambda name: f": {name}"))  # noqa: B023
    assert "s3cret" not in told(place_of, url)
    assert "s3cret" not in told(read_settings)
    assert [*tmp_path.iterdir()] == [file]


def test_a_path_is_no_url() -> None:
    assert "not a path" in told(place_of, Path("postgresql://h/d"))
    assert place_of("runs") == Path("runs") == place_of(Path("runs"))
    for name in ("postgres/runs", "of postgresql", "year=2026/user=ann", "/srv/postgresql/16"):
        assert place_of(name) == Path(name)
    both = {"run_dir": "runs", "store": "runs"}
    with pytest.raises(Usage, match="give one"):
        Computer(Scripted(), **both)  # type: ignore[arg-type]


def test_no_secret_is_kept_of_a_run(postgres: Any) -> None:
    """Nothing in the database has the password that it was opened with."""
    url = postgres.fresh()
    name, secret = urlsplit(url).path[1:], urlsplit(url).password
    with Computer(Scripted(said), store=url) as machine:
        finish(machine.start(lambda: echo("a")))
    kept = postgres.do("SELECT body FROM nlpu.log UNION SELECT body FROM nlpu.text", name)
    kept += postgres.do("SELECT owner::bytea FROM nlpu.journal", name)
    assert len(kept) > 4 and secret
    assert not [body for (body,) in kept if secret.encode() in body]


def test_psycopg_is_imported_when_it_is_asked_for(tmp_path: Path) -> None:
    code = (
        "import sys; from nlpu.runtime import Computer; from nlpu.testing import Scripted\n"
        "with Computer(Scripted(), run_dir='runs') as c: c.run(len, 'abc')\n"
        "import nlpu.runtime.terminal.show.run_folder as f; from pathlib import Path\n"
        "assert f.summaries(Path('runs'))[0]\n"
        "assert 'psycopg' not in sys.modules\n"
        "sys.modules['psycopg'] = None\n"
        "try: Computer(Scripted(), store='postgresql://h/d')\n"
        "except Exception as e: print(type(e).__name__, e)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        text=True,
        capture_output=True,
        check=False,
        env={"PYTHONPATH": ":".join([str(ROOT), *sys.path])},
    )
    assert done.stdout.startswith("MissingPart runs in a database need psycopg: pip install"), done
