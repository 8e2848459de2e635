"""One memory for all runs of this process that look things up in it.

A store has one owner, so runs of a batch would shut each other out; those that only look can have
it together. It is closed when the last of them leaves. Who writes needs it alone: ``IN_TURN``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident

from nlpu.memory.controller import Memory
from nlpu.memory.store.page import Among

_OPEN: dict[tuple[object, ...], tuple[Memory, set[object]]] = {}


@contextmanager
def looked_up(store: str, among: Among) -> Iterator[Memory]:
    """Open a store that is there, or join those who have it open. Raises Usage, RunBusy."""
    key = os.getpid(), get_ident(), os.path.realpath(store), among  # runs of a loop's thread
    if key not in _OPEN:
        memory = Memory(store, new=False, among=among)  # no other program runs meanwhile
        _OPEN[key] = memory, set()
    memory, users = _OPEN[key]
    me = object()
    users.add(me)
    try:
        yield memory
    finally:
        users.remove(me)
        if not users:
            del _OPEN[key]
            memory.close()
