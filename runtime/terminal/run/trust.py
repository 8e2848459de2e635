"""Whether a journal may have its program run here, and get the key: its user's own, or a yes.

Theory of operation
-------------------
A journal names a program's file and a server's URL, and whoever wrote it chose both. Before a file
is imported, and before the key goes to a URL that only the journal names, it must be known that
the run is this user's own (``journal.own``) and that each file is what it was when the run ran it.
Else a person is asked, once for each content of journal and files; where nobody is, it ends.

Rules
1. Nothing is imported, opened or sent before the answer. Only "y" or "yes" is one.
2. What is asked names the file, whose it is and what differs, and the URL that the key would go to.
   A yes is to what was asked: one to a look sends no key later.
3. ``--trust`` is a yes given beforehand. ``--changed`` is one to files that have changed of a run
   of one's own, and to nothing else.
4. A file that is gone is no question: loading it will say so. What is no plain file is not read,
   and the command ends: a journal may name a pipe or a device.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from shutil import get_terminal_size
from typing import Any

from nlpu.errors import NeedsPerson, Usage
from nlpu.runtime.journal import own
from nlpu.runtime.journal.header import digest_of_source
from nlpu.runtime.loader import digest_of, file_of, source_of
from nlpu.runtime.settings import KEY_VARIABLE, api_key, read
from nlpu.runtime.terminal.output import say
from nlpu.runtime.terminal.show.archive import EVALUATION, SESSION, Record


@dataclass(frozen=True, slots=True)
class Doubt:
    """Hold what speaks against a run.

    foreign: why it is not known to be one's own; "" if it is.
    files: what it would run, by digest as it is now; differing: those that have changed since.
    """

    foreign: str
    files: dict[Path, str]
    differing: tuple[Path, ...]

    @property
    def short(self) -> str:
        """Say why the program is not run, in a clause."""
        if self.foreign:
            return f"the journal is not known to be yours ({self.foreign}); --trust replays it"
        return "the program's source has changed since"


def files_of(record: Record) -> dict[Path, str]:
    """List the files that a run names, by digest as they are now; "" for one that is gone.

    Raises Usage for what is no plain file.
    """
    return {path: digest_of(path) for path in _known_files(record)}


def doubt_of(record: Record, now: dict[Path, str], url: str = "") -> Doubt | None:
    """Find what speaks against running a run's program with its files as they are ``now``.

    None where nothing does, or a person said yes. Runs nothing.

    url: where the key would go, if it would; who said yes to that said yes to a look, too.
    """
    known = _known_files(record)
    differing = tuple(path for path in known if now[path] and now[path] not in known[path])
    foreign = own.objection(record.path, record.past, record.texts)
    if not (foreign or differing):
        return None
    if any(own.said_yes(record.past, record.texts, now.values(), to) for to in {url, _url(record)}):
        return None
    return Doubt(foreign, now, differing)


def admit(
    record: Record, *, trust: bool = False, changed: bool | None = None, names_engine: bool = False
) -> dict[Path, str]:
    """Let a run be gone on with, replayed or edited, if need be after asking. Raises NeedsPerson.

    Gives the files that it may run, by digest.

    changed: None where the command has no such option.
    names_engine: the person names the engine now, so the journal's gets nothing.
    """
    now, url = files_of(record), "" if names_engine else _url(record)
    doubt = doubt_of(record, now, url)
    if doubt is None:
        return now
    if not (trust or (changed and not doubt.foreign)):
        also = " or, as it is yours, --changed" if changed is not None and not doubt.foreign else ""
        _ask(_told(record, doubt, url), f"--trust{also}")
    own.say_yes(record.past, record.texts, now.values(), url)
    return now


def admit_look(record: Record, *, trust: bool, asks: bool) -> None:
    """Do as ``admit``, for a look at a run's graph: it can do without, and then says so.

    Nobody is asked about a file that has changed: what it would show is not that run.
    """
    try:
        doubt = doubt_of(record, files_of(record))
    except Usage:  # what needs the program says so
        return
    if doubt is not None and not doubt.differing and (asks or trust):
        admit(record, trust=trust, names_engine=True)


def _known_files(record: Record) -> dict[Path, set[str]]:
    """List the files that a run names, with the digests that it ran them with."""
    header, past = record.past.header, record.past
    if record.program == EVALUATION:
        return _evaluated(header.get("eval", {}))
    found: dict[Path, set[str]] = {}
    if record.program != SESSION:
        path = file_of(record.program)
        return {} if path is None else {path: {_recorded(header, path)}}
    for position, (_, line) in own.lines_of(past):
        runs = isinstance(line, list) and len(line) > 3 and line[2] == "run"
        path = file_of(str(line[3])) if runs else None
        if path is not None:
            found.setdefault(path, set()).add(past.marks.get(position, ("", ""))[0])
    return found


def _evaluated(facts: Mapping[str, Any]) -> dict[Path, set[str]]:
    """List the files of an evaluation's ops, programs and metric: those it names, not those that
    it says it has digests of."""
    specs = [*facts.get("subjects", ()), facts.get("metric", "")]
    paths = [path for path in map(file_of, specs) if path is not None]
    return {path: {facts.get("files", {}).get(str(path), "")} for path in paths}


def _recorded(header: dict[str, object], path: Path) -> str:
    """Give the digest a program was begun with; of older runs as it is now, if it is that."""
    if "file" in header:
        return str(header["file"])
    try:
        same = header.get("source") == digest_of_source(source_of(path))
    except OSError:
        return ""
    return digest_of(path) if same else ""


def _url(record: Record) -> str:
    """Give the URL that the key would go to though only the journal names it."""
    url = str(record.past.header.get("engine", ""))
    if not url.startswith(("http://", "https://")) or api_key() is None:
        return ""
    return "" if read(("engine",)).engine == url else url


def _ask(told: list[str], yes: str) -> None:
    """Raises NeedsPerson but for a yes."""
    from nlpu.runtime.drivers.approval import lined
    from nlpu.runtime.terminal.run.person import chosen, person

    if person() is None:
        raise NeedsPerson(
            f"{'; '.join(told)}. Nothing was run or sent: look at it, and if it may go on: {yes}"
        )
    for each in told:
        say("\n".join(lined(each, get_terminal_size().columns)))
    if chosen("go on with it all the same? [y/N] ") not in ("y", "yes"):
        raise NeedsPerson("not trusted: nothing was run or sent")


def _told(record: Record, doubt: Doubt, url: str) -> list[str]:
    """List what a person has to know to decide (rule 2)."""
    it = f"the run {record.name}"
    told = [f"{it} is not known to be yours: {doubt.foreign}"] if doubt.foreign else []
    for path, digest in doubt.files.items():
        if digest:
            differs = path in doubt.differing
            which = "which is not what it ran before" if differs else "as its journal names it"
            owner = own.user(path.stat().st_uid)
            told.append(f"{it} runs the file {path} of {owner}, {which}")
    if not doubt.files and doubt.foreign:
        told.append(f"{it} runs the program {record.program} on what its journal says")
    if url:
        told.append(f"{KEY_VARIABLE} and texts would go to {url}, which only the journal names")
    return told
