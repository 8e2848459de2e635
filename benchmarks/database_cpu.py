"""What a PostgreSQL on this machine has used of its processors, with all its processes."""

from __future__ import annotations

import os
from pathlib import Path

from nlpu.errors import MissingPart
from nlpu.runtime.journal.where import Database

_PARENT, _OWN, _WITH_ENDED = 1, slice(11, 13), slice(11, 15)  # fields behind a process's name


def database_cpu_s(database: Database) -> float:
    """CPU seconds of the server and of its processes, those that have ended, too.

    Raises MissingPart where it is not on this machine.
    """
    from nlpu.postgres.connection import connect

    with connect(database) as db:
        ((backend,),) = db.execute("SELECT pg_backend_pid()").fetchall()
        fields = _fields(Path("/proc", str(backend)))
        if len(fields) < _WITH_ENDED.stop:
            raise MissingPart(f"{database} is not on this machine, or this is no Linux")
        server = fields[_PARENT]
        ticks = sum(map(int, _fields(Path("/proc", server))[_WITH_ENDED]))
        for path in Path("/proc").glob("[0-9]*"):
            child = _fields(path)
            if child[_PARENT : _PARENT + 1] == [server]:
                ticks += sum(map(int, child[_OWN]))
    return ticks / os.sysconf("SC_CLK_TCK")


def _fields(process: Path) -> list[str]:
    """What the kernel tells of a process of PostgreSQL, behind its name; nothing of another."""
    try:
        name, _, rest = (process / "stat").read_text().rpartition(")")
    except OSError:  # it has ended
        return []
    return rest.split() if name.endswith("(postgres") else []
