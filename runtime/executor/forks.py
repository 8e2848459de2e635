"""Forked processes: what is read there of a run that goes on would lower a copy, and nobody here.

A child of ``os.fork`` (or of ``multiprocessing`` with its fork method) has all Values of its
parent, and can tell it of them. So there the scopes of living runs refuse to be read, as they do on
a foreign thread. A run that the child starts for itself is a run like any other.

A loop's thread does not come along either, and what waits for it in the child waits for ever. So
what a computer and its runs do with the loop begins with ``check_process``.
"""

from __future__ import annotations

import os
from weakref import WeakSet

from nlpu.errors import Usage
from nlpu.runtime.executor.programs import Programs
from nlpu.runtime.graph.node import ASTRAY, Scope

_HEEDED_FOR: WeakSet[Programs] = WeakSet()
_HEEDED: list[bool] = []  # forks cannot be unheeded, so it is done once, and not on import


def heed_forks(programs: Programs) -> None:
    """From now on no child of this process reads what belongs to living runs of these."""
    _HEEDED_FOR.add(programs)
    if not _HEEDED and hasattr(os, "register_at_fork"):
        _HEEDED.append(True)
        os.register_at_fork(after_in_child=_in_child)


def _in_child() -> None:
    for programs in list(_HEEDED_FOR):
        programs.thread = ASTRAY  # of scopes that are made from now on
        scopes: list[Scope] = [run.root for run in programs.runs.values()]
        while scopes:
            scope = scopes.pop()
            scope.reader = ASTRAY
            scopes += scope.children


def check_process(owner: int, what: str) -> None:
    """Raise Usage if this is not the process that made it."""
    if os.getpid() != owner:
        raise Usage(
            f"{what} belongs to process {owner}, and this is a fork of it, without the thread that "
            "would go on with it: make a Computer here, after the fork (in a server with workers, "
            "when the worker starts)"
        )
