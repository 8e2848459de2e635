"""A database: how it is named and opened, and what its errors mean.

Rules
1. A password is in no message: libpq's words about a URL are not passed on, as they may quote it.
2. What passes (``passing``) may be tried again; all else is told as it is.
3. Through a pooler, which may give the session to others between two transactions, nothing is
   prepared: under its name another's statement could be carried out.
"""

from __future__ import annotations

from typing import Any, Final, Protocol, TypeAlias
from urllib.parse import quote

import psycopg
from psycopg import conninfo

from nlpu.errors import NlpuError, StorageFailed, Usage
from nlpu.printing import one_line

Connection: TypeAlias = Any  # psycopg.Connection, of which mypy knows nothing
KEPT: Final = "what was finished before is kept and can be resumed"
_DEFAULTS: Final = {
    "connect_timeout": "10",
    "application_name": "nlpu",
    "client_encoding": "UTF8",
    "tcp_user_timeout": "15000",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
}
_PASSING: Final = ("08", "57P", "53300", "40")  # by the start of their SQLSTATE (rule 2)
_REMEDIES: Final = {  # by the start of the SQLSTATE
    "28": "Check the user, and the password: PGPASSWORD, ~/.pgpass, or in the URL",
    "3D": "Make it (createdb), or name another",
    "42501": "Its user may not: GRANT what is missing, or name a database of its own",
    "53100": "Free space on its disk; {kept}",
    "25006": "It takes no writes, as a standby does; name its primary",
}
_UP: Final = "See that it is up and can be reached, or name another; {kept}"
_SAID: Final = (  # while it connects libpq gives no SQLSTATE
    ("authentication failed", "28"),
    ("no password supplied", "28"),
    ("pg_hba.conf", "28"),
    ('database "', "3D"),
)


class Named(Protocol):
    """A database by its URL; ``str`` of it has no password."""

    @property
    def url(self) -> str:
        """Give the URL with all that opens it."""


# -- its name --------------------------------------------------------------------------------------


def told(url: str) -> tuple[str, bool]:
    """Give the URL without a password, and whether it had one. Raises Usage (rule 1)."""
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
    return f"postgresql://{shown}", bool(parts.get("password"))


def _parts(url: str) -> dict[str, Any]:
    hint = "as postgresql://USER@HOST/NAME; in a password @ is %40, / is %2F, ? is %3F, % is %25"
    if url.count("@") > 1 or "@" in url.partition("://")[2].partition("/")[2]:
        raise Usage(f"the URL of the database has an @ too many: give it {hint}")
    try:
        return dict(conninfo.conninfo_to_dict(url))
    except (psycopg.Error, UnicodeError):
        raise Usage(f"the URL of the database cannot be read: give it {hint}") from None


def _check_ports(ports: str) -> None:
    """Raises Usage, which shows no port: what is taken for one may be the password (rule 1)."""
    for each in filter(None, ports.split(",")):
        if not (each.isascii() and each.isdigit() and len(each) < 6 and 0 < int(each) < 65536):
            raise Usage(
                "the URL of the database has a port that is no number from 1 to 65535: give it as "
                "postgresql://USER:PASSWORD@HOST:PORT/NAME"
            )


def connect(database: Named) -> Connection:
    """Open a connection, of which every statement is a transaction. Raises psycopg.Error."""
    db = psycopg.connect(**{**_DEFAULTS, **_parts(database.url)}, autocommit=True)
    ((backend,),) = db.execute("SELECT pg_backend_pid()").fetchall()
    if backend != db.info.backend_pid:
        db.prepare_threshold = None  # rule 3
    return db


def check_holds_all(db: Connection, shown: str) -> None:
    """Raises Usage for a database whose columns of text do not hold every text."""
    if db.info.parameter_status("server_encoding") != "UTF8":
        raise Usage(
            f"the database {shown} does not hold every text, as its encoding is not UTF8: make one "
            "that does (createdb -E UTF8 -T template0), or name another"
        )


# -- errors ----------------------------------------------------------------------------------------


def passing(error: psycopg.Error) -> bool:
    """Tell whether it may go well another time: the server restarts, the connection was cut."""
    state = _state(error)
    lost = isinstance(error, psycopg.OperationalError) and not state
    return lost or state.startswith(_PASSING)


def _state(error: psycopg.Error) -> str:
    """Give the SQLSTATE, which libpq does not while it connects."""
    return error.sqlstate or next((state for words, state in _SAID if words in str(error)), "")


def typed(database: Named, error: psycopg.Error, kept: str = KEPT) -> NlpuError:
    """Say what the database did to us, and what to do; ``kept``: what is not lost."""
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
    remedy = remedy.format(kept=kept)
    return StorageFailed(f"cannot use the database {database}: {said}. {remedy}")


def _secrets(database: Named) -> list[str]:
    """The password, as it is and as a URL has it."""
    secret = str(_parts(database.url).get("password") or "")
    return sorted({secret, quote(secret, safe="")} - {""}, key=len, reverse=True)
