"""Whose journal it is: a mark that comes with no file.

Theory of operation
-------------------
A journal says what is to be run (its program's file, its arguments) and where its calls go (the
engine's URL). Anybody can write that, so a run's header carries a mark: a hash of the header, keyed
with a secret of this user. The secret is made once and lies in the user's state directory; it is in
no journal. A run whose mark holds was begun by this user as its header says, wherever its file has
been moved or copied since.

A session of the REPL goes on hearing lines, which name programs too. Each is followed by a row of
its own: the digest of the program's file, and a mark over the header and all lines so far.

Rules
1. The mark covers how a run was begun: program, file, arguments, engine, edits, a session's lines.
   It does not cover results: what models said is data in anybody's journal.
2. A file that belongs to another user, or that others can write, is nobody's own.
3. Without a secret (a home that cannot be written) nothing is marked and nothing is one's own. A
   secret that others could read proves nothing and is not used.
4. What a person has said yes to is kept beside the secret: by a keyed hash of just that content.
"""

from __future__ import annotations

import hmac
import json
import os
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from nlpu.owner_only import make_dir, make_file
from nlpu.runtime.journal.records import Past
from nlpu.runtime.journal.store import text_hash
from nlpu.runtime.journal.where import Where

MARK: Final = "own"  # in a header
_SECRET: Final = "journal.key"
_BYTES: Final = 32
_known: dict[Path, bytes] = {}  # secrets read by this process


def state_dir() -> Path:
    """Name the user's directory for what must outlive caches and comes with no file."""
    place = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return _state_dir(place, os.environ.get("HOME")).absolute()


@lru_cache(8)  # each run of a fleet has a mark
def _state_dir(place: str, home: str | None) -> Path:
    """Expand it. home: what ``~`` depends on."""
    return Path(os.path.normpath(os.path.expanduser(place)), "nlpu")


# -- marks -----------------------------------------------------------------------------------------


def text_name(text: str) -> str:
    """Name a text that a header refers to by number only."""
    return text_hash(text.encode("utf-8", "surrogatepass")).hex()


def marked(header: Mapping[str, Any]) -> dict[str, Any]:
    """Give a header with its mark; without a secret (rule 3) as it is."""
    mark = _keyed(_digest(_plain(header)))
    return {**header, MARK: mark} if mark else dict(header)


class Told:
    """A run's header and the lines that it heard, as one digest that grows."""

    def __init__(self, header: Mapping[str, Any]) -> None:
        self.digest = _digest(_plain(header))

    def add(self, position: str, line: Any, file: str) -> None:
        """Take in a line and the digest of the file that it runs ("" for none)."""
        self.digest = _digest([self.digest, position, line, file])

    def mark(self) -> str:
        """Give the mark of all so far; "" without a secret."""
        return _keyed(self.digest)


def told(past: Past) -> Told:
    """Take in all that a past was told to run."""
    whole = Told(past.header)
    for position, (_, line) in lines_of(past):
        whole.add(position, line, past.marks.get(position, ("", ""))[0])
    return whole


def lines_of(past: Past) -> list[tuple[str, tuple[str, Any]]]:
    """List what a session's own scope was told, by position; other programs are told otherwise."""
    if past.header.get("program") != "repl":
        return []
    return [each for each in past.clocks.items() if each[0].count("/") == 1]


def objection(path: Where, past: Past, texts: Mapping[int, str]) -> str:
    """Say why a run is not known to be this user's own; "" if it is."""
    whose = _not_ours(path) if isinstance(path, Path) else ""  # there the mark alone tells
    if whose:
        return whose
    no_secret = trouble()
    if no_secret:
        return f"its mark cannot be checked: {no_secret}"
    header, whole = past.header, told(past)
    lines = lines_of(past)
    mark = past.marks.get(lines[-1][0], ("", ""))[1] if lines else header.get(MARK)
    if not (isinstance(mark, str) and _same(mark, whole.mark()) and _has_texts(header, texts)):
        return "it has no mark of yours: another user or machine, or an older version, wrote it"
    return ""


def _has_texts(header: Mapping[str, Any], texts: Mapping[int, str]) -> bool:
    """Tell whether the texts that a header names by number are those that its mark covers."""
    names = [header.get("args_name", "")] if header.get("args", 0) else []
    return _text_names(header, texts) == [*names, *header.get("from", {}).get("names", [])]


def _text_names(header: Mapping[str, Any], texts: Mapping[int, str]) -> list[str]:
    """Name the texts that a header has by number, as they are."""
    number, link = header.get("args", 0), header.get("from", {})
    edits = [each for kind in ("results", "ops") for each in link.get(kind, {}).values()]
    return [text_name(texts.get(each, "")) for each in [*([number] if number else []), *edits]]


def _not_ours(path: Path) -> str:
    """Say what the file's owner and mode have against it (rule 2)."""
    found = path.stat()
    if found.st_uid != os.getuid():
        return f"its file belongs to {user(found.st_uid)}"
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"others can write its file (chmod go-w {path})"
    return ""


def user(number: int) -> str:
    """Name a user by number."""
    import pwd  # here: few ask

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


# -- what a person said yes to ---------------------------------------------------------------------


def said_yes(past: Past, texts: Mapping[int, str], files: Iterable[str], url: str) -> bool:
    """Tell whether a person has said yes to this run with files of these digests.

    url: where the key would go; a yes to a look is none to that.
    """
    name = _yes(past, texts, files, url)
    return bool(name) and (state_dir() / "trusted" / name).exists()


def say_yes(past: Past, texts: Mapping[int, str], files: Iterable[str], url: str) -> None:
    """Remember a yes (rule 4); where that cannot be, it is asked again."""
    name = _yes(past, texts, files, url)
    if name:
        with suppress(OSError):
            make_dir(state_dir() / "trusted")
            make_file(state_dir() / "trusted" / name)


def _yes(past: Past, texts: Mapping[int, str], files: Iterable[str], url: str) -> str:
    names = _text_names(past.header, texts)
    whole = ["yes", told(past).digest, past.header.get(MARK), names, sorted(files)]
    return _keyed(_digest([*whole, url] if url else whole))


# -- the secret ------------------------------------------------------------------------------------


def _keyed(digest: str) -> str:
    secret = _secret(state_dir() / _SECRET)
    return blake2b(digest.encode(), key=secret, digest_size=16).hexdigest() if secret else ""


def trouble() -> str:
    """Say why there is no secret (rule 3); "" if there is one. It is made if it can be."""
    path = state_dir() / _SECRET
    if _secret(path):
        return ""
    if os.path.lexists(path):
        return f"{path} is not a secret that only you can read; remove it, and a new one is made"
    return f"{path} cannot be made; see to that directory's permissions"


def _secret(path: Path) -> bytes:
    """Read the secret, or make it; b"" where neither can be (rule 3)."""
    if path not in _known:
        with suppress(OSError):
            if found := _read(path):
                _known[path] = found
    return _known.get(path, b"")


def _read(path: Path) -> bytes:
    with suppress(FileNotFoundError):
        return _checked(path)
    make_dir(path.parent)
    beside = path.with_name(f".{_SECRET}.{os.urandom(4).hex()}")
    try:
        make_file(beside)
        beside.write_bytes(os.urandom(_BYTES))
        with suppress(FileExistsError):  # of two processes the first decides
            os.link(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return _checked(path)


def _checked(path: Path) -> bytes:
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        found = os.fstat(file)
        private = found.st_uid == os.getuid() and not found.st_mode & 0o077
        content = os.read(file, _BYTES + 1)
    finally:
        os.close(file)
    return content if private and len(content) == _BYTES else b""


def _same(one: str, other: str) -> bool:
    return bool(other) and hmac.compare_digest(one.encode(), other.encode())


def _plain(header: Mapping[str, Any]) -> dict[str, Any]:
    """The header as it will be read from its row, without its mark."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(header)))
    plain.pop(MARK, None)
    return plain


def _digest(content: Any) -> str:
    return blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()
