"""The database: how it is named, opened and brought up to date, and what its errors mean.

Theory of operation
-------------------
All is in one schema, ``nlpu``. What is made there is a list of steps, of which ``nlpu.meta`` counts
those that were done:

    journal   one row for each computer's journal: how much of it there is, and whose it is
    text      every distinct text of a run once, with its hash
    log       one row for each thing that happened: as in SQLite, but by run
    batch, work, worker, lane, place
              a batch of many processes (``runtime.fleet.workers``): its inputs, who carries them
              out, and what all of them share

Rules
1. Only a database that is ours, or has no schema of this name, is written to.
2. Whoever writes does the steps that are missing, one process at a time; who only reads does not.
3. A password is in no message: libpq's words about a URL are not passed on, as they may quote it.
4. What passes (``passing``) may be tried again; all else is told as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeAlias
from urllib.parse import quote

import psycopg
from psycopg import conninfo

from nlpu.errors import NlpuError, RunBusy, StorageFailed, Usage
from nlpu.printing import one_line
from nlpu.runtime.journal.postgres.owners import is_dead
from nlpu.runtime.journal.postgres.statements import DELETE, LOOK, SIZE
from nlpu.runtime.journal.postgres.steps import STEPS
from nlpu.runtime.journal.where import Database, Seat

Connection: TypeAlias = Any  # psycopg.Connection, of which mypy knows nothing
MARK: Final = "journals of nlpu"
_LOCK: Final = 0x4E4C5055  # "NLPU": of who makes the schema
_DEFAULTS: Final = {
    "connect_timeout": "10",
    "application_name": "nlpu",
    "client_encoding": "UTF8",
    "tcp_user_timeout": "15000",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
}
_PASSING: Final = ("08", "57P", "53300", "40")  # by the start of their SQLSTATE (rule 4)
_KEPT: Final = "what was finished before is kept and can be resumed"
_REMEDIES: Final = {  # by the start of the SQLSTATE
    "28": "Check the user, and the password: PGPASSWORD, ~/.pgpass, or in the URL",
    "3D": "Make it (createdb), or name another",
    "42501": "Its user may not: GRANT what is missing, or name a database of its own",
    "53100": f"Free space on its disk; {_KEPT}",
    "25006": "It takes no writes, as a standby does; name its primary",
}
_UP: Final = f"See that it is up and can be reached, or name another; {_KEPT}"
_SAID: Final = (  # while it connects libpq gives no SQLSTATE
    ("authentication failed", "28"),
    ("no password supplied", "28"),
    ("pg_hba.conf", "28"),
    ('database "', "3D"),
)


# -- its name --------------------------------------------------------------------------------------


def database_of(url: str) -> Database:
    """Make a database of its URL. Raises Usage (rule 3)."""
    parts = _parts(url)
    _check_ports(str(parts.get("port") or ""))
    named, shown = {each: parts.get(each) or "" for each in ("user", "host", "port", "dbname")}, ""
    if named["user"]:
        shown = f"{quote(str(named['user']), safe='')}@"
    place = str(named["host"])
    is_socket = place.startswith(("/", "@"))
    shown += "" if is_socket else place + (f":{named['port']}" if named["port"] else "")
    shown += f"/{quote(str(named['dbname']), safe='')}"
    if is_socket:
        shown += f"?host={quote(place)}" + (f"&port={named['port']}" if named["port"] else "")
    return Database(url, f"postgresql://{shown}", has_password=bool(parts.get("password")))


def _parts(url: str) -> dict[str, Any]:
    hint = "as postgresql://USER@HOST/NAME; in a password @ is %40, / is %2F, ? is %3F, % is %25"
    if url.count("@") > 1 or "@" in url.partition("://")[2].partition("/")[2]:
        raise Usage(f"the URL of the database has an @ too many: give it {hint}")
    try:
        return dict(conninfo.conninfo_to_dict(url))
    except (psycopg.Error, UnicodeError):
        raise Usage(f"the URL of the database cannot be read: give it {hint}") from None


def _check_ports(ports: str) -> None:
    """Raises Usage, which shows no port: what is taken for one may be the password (rule 3)."""
    for each in filter(None, ports.split(",")):
        if not (each.isascii() and each.isdigit() and len(each) < 6 and 0 < int(each) < 65536):
            raise Usage(
                "the URL of the database has a port that is no number from 1 to 65535: give it as "
                "postgresql://USER:PASSWORD@HOST:PORT/NAME"
            )


# -- connections -----------------------------------------------------------------------------------


def connect(database: Database) -> Connection:
    """Open a connection, of which every statement is a transaction. Raises psycopg.Error."""
    return psycopg.connect(**{**_DEFAULTS, **_parts(database.url)}, autocommit=True)


def reach(database: Database) -> None:
    """Raise StorageFailed where it lets nobody in now: for whoever has begun nothing yet."""
    try:
        connect(database).close()
    except psycopg.Error as error:
        raise typed(database, error) from None


@contextmanager
def looking(database: Database) -> Iterator[Connection | None]:
    """Give a connection to read with; None where no journal ever was. Raises StorageFailed."""
    try:
        with connect(database) as db:
            yield db if steps_done(db, database, least=len(STEPS)) else None
    except psycopg.Error as error:
        raise typed(database, error) from None


def seats(database: Database, stem: str | None = None) -> list[Seat]:
    """List the journals, or the one that is asked for. Raises StorageFailed."""
    with looking(database) as db:
        return [] if db is None else seen(db, database, stem)


def seen(db: Connection, database: Database, stem: str | None = None) -> list[Seat]:
    """List the journals that a connection sees."""
    found = db.execute(LOOK, {"stem": stem})
    return [
        Seat(database, name, changed_s, owned and not is_dead(owner))
        for name, changed_s, owned, owner in found
    ]


def size(seat: Seat) -> int:
    """Count the bytes of a journal's rows and texts. Raises StorageFailed."""
    with looking(seat.database) as db:
        found = db.execute(SIZE, {"stem": seat.stem}).fetchall() if db is not None else []
    return int(found[0][0]) if found else 0


def delete(seat: Seat) -> None:
    """Remove a journal, with all its runs.

    Raises RunBusy where somebody owns it or has changed it since it was looked at, StorageFailed.
    """
    asked = {"stem": seat.stem, "changed_s": seat.changed_s}
    with looking(seat.database) as db:
        if db is not None and not db.execute(DELETE, asked).fetchall():
            raise RunBusy(f"the journal {seat} is in use")


# -- the schema ------------------------------------------------------------------------------------


def prepare(db: Connection, database: Database, steps: Sequence[str] = STEPS) -> None:
    """Make the schema, or bring it up to date (rules 1, 2). Raises Usage, psycopg.Error."""
    if steps_done(db, database, most=len(steps)) == len(steps):
        return
    with db.transaction():
        db.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        done = steps_done(db, database, most=len(steps))
        if not done:
            db.execute("CREATE SCHEMA nlpu")
            db.execute("CREATE TABLE nlpu.meta (mark text NOT NULL, steps int NOT NULL)")
            db.execute("INSERT INTO nlpu.meta VALUES (%s, 0)", (MARK,))
        for step in steps[done:]:
            db.execute(step.encode())
        db.execute("UPDATE nlpu.meta SET steps = %s", (len(steps),))


def steps_done(
    db: Connection, database: Database, *, least: int = 0, most: int = len(STEPS)
) -> int:
    """Count the steps that were done; 0 where there is no schema. Raises Usage (rule 1)."""
    # Not to_regnamespace: it may answer from before the lock that was waited for.
    if not db.execute("SELECT FROM pg_namespace WHERE nspname = 'nlpu'").fetchall():
        return 0
    try:
        found = db.execute("SELECT mark, steps FROM nlpu.meta").fetchall()
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
        found = []
    if [mark for mark, _ in found] != [MARK]:
        raise Usage(f"the database {database} has a schema nlpu that is not ours: name another")
    done = int(found[0][1])
    if not least <= done <= most:
        which = "a newer" if done > most else "an earlier"
        what = "upgrade nlpu" if done > most else "the next run that begins there brings it up"
        raise Usage(
            f"the database {database} was made by {which} version of nlpu (its schema is {done}, "
            f"this one's {max(least, most)}): {what}, or name another"
        )
    return done


# -- errors ----------------------------------------------------------------------------------------


def passing(error: psycopg.Error) -> bool:
    """Tell whether it may go well another time: the server restarts, the connection was cut."""
    state = _state(error)
    lost = isinstance(error, psycopg.OperationalError) and not state
    return lost or state.startswith(_PASSING)


def _state(error: psycopg.Error) -> str:
    """Give the SQLSTATE, which libpq does not while it connects."""
    return error.sqlstate or next((state for words, state in _SAID if words in str(error)), "")


def typed(database: Database, error: psycopg.Error) -> NlpuError:
    """Say what the database did to us, and what to do."""
    said = error.diag.message_primary or str(error) or type(error).__name__
    for secret in _secrets(database):
        said = said.replace(secret, "***")
    state = _state(error)
    if isinstance(error, psycopg.DataError) and state in ("", "22P02", "22P05"):
        return Usage(
            f"a text cannot be kept in the database {database}: it has a character that no "
            "database takes, U+0000 or half of a surrogate pair; leave that out"
        )
    said = one_line(said.partition("\n")[0], 300)
    remedy = next((what for start, what in _REMEDIES.items() if state.startswith(start)), _UP)
    return StorageFailed(f"cannot use the database {database}: {said}. {remedy}")


def _secrets(database: Database) -> list[str]:
    """The password, as it is and as a URL has it."""
    secret = str(_parts(database.url).get("password") or "")
    return sorted({secret, quote(secret, safe="")} - {""}, key=len, reverse=True)
