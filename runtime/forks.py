"""Forked processes: what is read there of a run that goes on would lower a copy, and nobody here.

A child of ``os.fork`` (or of ``multiprocessing`` with its fork method) has all Values of its
parent, and can tell it of them. So there the scopes of living runs refuse to be read, as they do on
a foreign thread. A run that the child starts for itself is a run like any other.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from weakref import WeakSet

from runtime.graph import ASTRAY, Scope

if TYPE_CHECKING:  # it is handed in
    from runtime.kernel import Kernel

_KERNELS: WeakSet[Kernel] = WeakSet()
_HEEDED: list[bool] = []  # forks cannot be unheeded, so it is done once, and not on import


def heed_forks(kernel: Kernel) -> None:
    """From now on no child of this process reads what belongs to this kernel's living runs."""
    _KERNELS.add(kernel)
    if not _HEEDED and hasattr(os, "register_at_fork"):
        _HEEDED.append(True)
        os.register_at_fork(after_in_child=_in_child)


def _in_child() -> None:
    for kernel in list(_KERNELS):
        kernel.thread = ASTRAY  # of scopes that are made from now on
        scopes: list[Scope] = [run.root for run in kernel.runs.values()]
        while scopes:
            scope = scopes.pop()
            scope.reader = ASTRAY
            scopes += scope.children
