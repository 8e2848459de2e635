"""Who owns a journal, by name: a process of a machine, which can be known to be dead.

Rules
1. Only a process of this machine, of this boot and this numbering of processes (a container has its
   own) is ever known to be dead. A number that another process has by now is not that one's.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from nlpu.runtime.journal.witness import boot_id

WORKERS: Final = "workers"  # an owner: those of a batch, of whom each has a lease of its own


class _Process(NamedTuple):
    host: str
    pid: str
    space: str  # the boot and the numbering that the number is of; "" where they are not known
    began: str


def this_process() -> str:
    """Name this process as an owner."""
    try:
        space = f"{boot_id().hex()}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        space = ""
    pid = str(os.getpid())
    return " ".join(_Process(socket.gethostname().replace(" ", "_"), pid, space, _began(pid)))


def told(owner: str) -> str:
    """Name an owner for a person."""
    if owner == WORKERS:
        return "the workers of its batch"
    host, pid, *_ = [*owner.split(" "), "?", "?"]
    return f"process {pid} on {host}" if host else "nobody"


def is_dead(owner: str) -> bool:
    """Tell whether an owner is known to be dead (rule 1)."""
    parts = owner.split(" ")
    if len(parts) != len(_Process._fields):
        return False
    other, here = _Process(*parts), _Process(*this_process().split(" "))
    return bool(here.space) and other.space == here.space and _began(other.pid) != other.began


def _began(pid: str) -> str:
    """When a process began, in ticks; "" for one that is not there, or dead and not buried."""
    with suppress(OSError):
        fields = Path("/proc", pid, "stat").read_text("ascii", "replace").rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]
    return ""
