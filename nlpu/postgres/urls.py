"""What names a database, told from what names a folder. Imports nothing that a database needs."""

from __future__ import annotations

import os
import re
from typing import Final

from nlpu.errors import MissingPart, Usage
from nlpu.extras import adding

_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")
_SCHEMES: Final = ("postgresql", "postgres")
_MEANT: Final = re.compile(  # with a blank, a quote or a slash too many or few, or as libpq's words
    r"://|^\W*postgres\w*\s*(?::|//)|\b(?:password|dbname)\s*=", re.IGNORECASE
)
_IN_JSON: Final = re.compile(
    r'"(?:\\.|[\s\'<])*postgres(?:ql)?(?:\+\w+)?:/{0,2}((?:[^"\\\s]|\\.)+)\s*"', re.IGNORECASE
)
_PASSWORD: Final = re.compile(r"^[^/?#]*:[^/?#]*@|^[^/@]*:.*@|[?&#](?:ssl)?password=.")


def is_url(name: str) -> bool:
    """Tell what is, or was meant to be, a URL from the name of a folder."""
    return bool(_URL.match(name) or _MEANT.search(name))


def database_url(given: str | os.PathLike[str], what: str) -> str | None:
    """Give the URL of a database, None for a folder; ``what`` is kept there. Raises Usage."""
    if not is_url(os.fspath(given)):
        return None
    scheme = _URL.match(os.fspath(given))
    if scheme is None:  # not shown: it may hold a password, and made a folder would
        raise Usage(
            f"what is given for {what} looks like the URL of a database, and is neither one nor a "
            "folder's name: give it as postgresql://USER@HOST/NAME, with nothing before it"
        )
    if scheme[1] not in _SCHEMES:
        raise Usage(
            f"{what} cannot be kept in a {scheme[1]}:// store; name a folder, or a database: "
            "postgresql://USER@HOST/NAME"
        )
    if not isinstance(given, str):
        raise Usage("a database is named by a text, not a path: 'postgresql://USER@HOST/NAME'")
    return given


def without_passwords(text: str) -> str:
    """Give JSON back as it is. Raises Usage where a text in it is a URL with a password."""
    if any(_PASSWORD.search(found[1]) for found in _IN_JSON.finditer(text)):
        raise Usage(
            "the password in the URL of a database would be written into the run's journal, as "
            "arguments are: leave it out of the URL; it belongs in PGPASSWORD, ~/.pgpass or a "
            "service file (postgresql:///?service=NAME)"
        )
    return text


def no_psycopg(what: str) -> MissingPart:
    """Make the error of who asks for a database without what it needs."""
    command = adding("postgres")
    return MissingPart(f"{what} in a database need psycopg: {command}; or name a folder")
