"""Reading journaled runs, of this process or of others, without touching them.

Theory of operation
-------------------
A run directory holds one journal for each computer that wrote there, and a journal holds one run
for each start: ``name`` is the first, ``name.2`` the second. Here they are opened read-only; an
unfinished run is running if a living process holds its journal's lock, else it can be resumed.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nlpu.errors import JournalDamaged, NlpuError, Usage
from nlpu.runtime.graph.usage import cost_of
from nlpu.runtime.journal.header import typed
from nlpu.runtime.journal.odd_rows import checked, fold_in, past_in
from nlpu.runtime.journal.places import again, journals, opened
from nlpu.runtime.journal.records import Past
from nlpu.runtime.journal.store import Row, RunLog
from nlpu.runtime.journal.where import Place, Where
from nlpu.runtime.journal.witness import beside, side_of
from nlpu.runtime.keywords import arranged
from nlpu.runtime.loader import file_of
from nlpu.runtime.naming import run_name
from nlpu.runtime.scheduler.budget import TOKENS_PER_NLOP

SESSION = "repl"  # the program of a session of ``nlpu repl``
EVALUATION = "eval"  # and of an evaluation of ``nlpu eval``


@dataclass(frozen=True, slots=True)
class Record:
    """One journaled run.

    damage: why it could not be read. place: where its program is now, if it was moved.
    """

    name: str
    past: Past
    texts: dict[int, str]
    status: str
    seconds: float
    damage: str = ""
    path: Where = Path()
    rows: list[Row] = field(default_factory=list)
    place: str = ""

    @property
    def header(self) -> dict[str, Any]:
        """How it was begun."""
        return self.past.header

    @property
    def number(self) -> int:
        """Which run of its journal it is."""
        return _number(self.name)

    @property
    def origin(self) -> str:
        """The run it was edited from, if it was."""
        return str(self.past.header.get("from", {}).get("run", ""))

    @property
    def program(self) -> str:
        """What was run: a name from ``programs``, file:function, a function's name, or SESSION."""
        return self.place or str(self.past.header.get("program", ""))

    @property
    def unnamed(self) -> str:
        """Why its program cannot be found by name; "" where it can be looked for."""
        header = self.past.header
        if self.place or self.program in (SESSION, EVALUATION) or "file" in header:
            return ""
        older = "" if "engine" in header else "its journal does not say in which file it is"
        return str(header.get("unnamed", older))

    def moved(self, file: str | None) -> Record:
        """The same run with its program in that file, or ``file.py:function``. Raises Usage."""
        if file is None:
            return self
        if self.program in (SESSION, EVALUATION):
            raise Usage(f"--file is where one program is now, and the run {self.name} has several")
        path, function = file_of(file), self.program.rpartition(":")[2]
        if path is None or not path.is_file():
            raise Usage(
                f"--file {file}: there is no such file; it names FILE.py:FUNCTION or FILE.nl"
            )
        if path.suffix == ".py":
            function = file.rpartition(":")[2] if ".py:" in file else function
            return replace(self, place=f"{path.resolve()}:{function}")
        return replace(self, place=str(path.resolve()))

    @property
    def resumption(self) -> str:
        """The command that goes on with it, or the call, where Python started it."""
        if self.program == SESSION:
            return f"nlpu repl --resume {self.name}"
        if self.unnamed:
            return f"from the Python that started it, computer.resume({self.name!r}, {self.title})"
        engine = "" if "engine" in self.past.header else " --engine NAME|URL"
        return f"nlpu resume {self.name}{engine}"

    @property
    def title(self) -> str:
        """As ``program``, without the directory of a file; of an evaluation, of what."""
        named = [self.program, *self.past.header.get("eval", {}).get("subjects", [])]
        return " ".join(name.rpartition("/")[2] for name in named)

    @property
    def started_s(self) -> float:
        """When it was first started, in seconds since 1970."""
        return float(self.past.header.get("started_s", 0.0))

    @property
    def receipt(self) -> dict[str, Any] | None:
        """The receipt of its last life, once that has ended."""
        return None if self.past.end is None else self.past.end.receipt

    @property
    def calls(self) -> int:
        """Calls that it made and that have an outcome, in all its lives."""
        return len(self.past.paid)

    @property
    def nlops(self) -> float:
        """What these calls generated, in hundreds of tokens."""
        costs = (cost_of(outcome.usage) for outcome in self.past.paid)
        return sum(cost.completion_tokens for cost in costs) / TOKENS_PER_NLOP

    def _others(self) -> str:
        """Which of them would be read as another value than was given."""
        names = ", ".join(self.past.header.get("given", ()))
        return f" ({names}: annotate as what is given)" if names else ""

    def arguments(self, program: Callable[..., Any]) -> tuple[Any, Any]:
        """The program's arguments, of the types that it declares. Raises Usage."""
        text = self.texts.get(self.past.header.get("args", 0))
        if text is None or "given" in self.past.header:
            raise Usage(
                f"the run {self.name} was started from Python with arguments that only Python can "
                f"give again{self._others()}; resume it there with Computer.resume"
            )
        args, kwargs = json.loads(text)
        try:
            return arranged(program, *typed(program, args, kwargs))
        except (TypeError, ValueError) as error:
            raise Usage(
                f"the arguments of run {self.name} do not fit its program any more: {error}"
            ) from None


def records(run_dir: Place) -> list[Record]:
    """All runs of a directory, newest first. Raises Usage."""
    found = [record for path in journals(run_dir) for record in read(path)]
    return sorted(found, key=lambda record: (record.started_s, record.name), reverse=True)


def find(run_dir: Place, name: str) -> Record:
    """The run of a name or of the unique start of one. Raises Usage, JournalDamaged."""
    stems = {path.stem: path for path in journals(run_dir)}
    wanted = name.partition(".")[0]
    near = [stem for stem in stems if stem == wanted] or [s for s in stems if s.startswith(wanted)]
    if not wanted or not near:
        raise Usage(f"no run in {run_dir} is called {name!r}; see: nlpu runs")
    if len(near) > 1:
        raise Usage(f"{name!r} is the start of several runs: {', '.join(near)}; give more of it")
    full = near[0] + name[len(wanted) :]
    if full.endswith(".*"):
        raise Usage(
            f"{full} are the runs of a batch: nlpu show {full} lists them; name one of them"
        )
    for record in read(stems[near[0]], strict=True, name=full):
        if record.name == full:
            return record
    raise Usage(f"the journal {near[0]} has no run {full!r}; see: nlpu runs")


def read(path: Where, strict: bool = False, name: str = "") -> list[Record]:
    """The runs of one journal; one that cannot be read is a record too, unless ``strict``.

    name: of the only one that is to be read.
    """
    try:
        return _runs_of(path, _number(name) if name else None)
    except NlpuError as error:
        if strict:
            raise
        past = Past(header={"program": "?", "started_s": changed_s(path)})
        status = "damaged" if isinstance(error, JournalDamaged) else "unreadable"
        return [Record(path.stem, past, texts={}, status=status, seconds=0.0, damage=str(error))]


def _runs_of(path: Where, only: int | None) -> list[Record]:
    """Raises JournalDamaged, StorageFailed."""
    with closing(opened(path, read_only=True, run=only)) as journal:
        wanted = [number for number in journal.runs() if only in (number, None)]
        logs = [RunLog(journal, number, journal.read(number)) for number in wanted]
    return [_record(log, past_in(log, keep_host_failures=True)) for log in logs if checked(log)]


def followed(record: Record, pause: Callable[[], object]) -> Iterator[Record]:
    """The run as it is now and, after each pause, as it is then; the last is that of its end."""
    with closing(opened(record.path, read_only=True, run=record.number)) as journal:
        past, alive = Past(), True
        log = RunLog(journal, record.number, journal.read(record.number))
        fresh = checked(log)
        while True:
            fold_in(log, past, fresh)
            yield _record(log, past)
            if past.end is not None or not alive:
                return
            pause()
            log.path = again(record.path)
            alive = owner(log.path)  # asked before reading: what it committed last is read
            fresh = checked(log, after=log.extend(journal.follow(record.number)))


def _record(log: RunLog, past: Past) -> Record:
    assert log.path is not None  # it was read from there
    return replace(record_of(log.path, log.run, past), texts=log.texts, rows=log.rows)


def record_of(path: Where, number: int, past: Past) -> Record:
    """Make the record of a run, by its past."""
    status = "stopped" if past.end is None else str(past.end.status)
    seconds = past.seconds + past.life_ms / 1000
    if past.end is None:
        status = "running" if owner(path) else "stopped"
        if past.lives == 1:  # its last sign of life is the journal's last commit
            seconds = max(0.0, changed_s(path) - past.header.get("started_s", 0.0))
    return Record(run_name(path.stem, number), past, {}, status, round(seconds, 3), path=path)


def _number(name: str) -> int:
    """Which run of its journal a name means; 0 for none."""
    number = name.partition(".")[2] or "1"
    return int(number) if number.isascii() and number.isdigit() else 0


def changed_s(path: Where) -> float:
    """Tell when a journal changed last, in seconds since 1970; 0 if that cannot be told."""
    if not isinstance(path, Path):
        return path.changed_s
    return max(map(_changed_s, (path, beside(path, ".db-wal"), side_of(path))))


def _changed_s(path: Path) -> float:
    try:
        found = path.stat()
        read = path.suffix == ".db-wal" and not found.st_size  # whoever reads makes an empty one
        return 0.0 if read else found.st_mtime
    except OSError:
        return 0.0


def owner(path: Where) -> bool:
    """Whether a living process owns the journal."""
    if not isinstance(path, Path):
        return path.owned
    try:
        lock = os.open(beside(path, ".lock"), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False
