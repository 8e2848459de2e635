"""Keeps a server process, and takes it down with its owner: ``python serve_keeper.py COMMAND...``.

Theory of operation
-------------------
The owner holds the write end of this process's standard input and never writes. When the owner is
gone, by whatever death, the pipe ends and the keeper ends the server: SIGTERM to the process group,
SIGKILL to it after a grace. A server that ends by itself ends the keeper too, which prints its code
and dies with the rest of the group. A pipe works on every Unix and does not depend, as
PR_SET_PDEATHSIG does, on which thread started it; that signal is set too where there is one, for
the death of the keeper itself.

Rules
1. Standard library only, no package imports: it runs as a file in an isolated interpreter.
2. It leads a session of its own, so the terminal's Ctrl-C reaches the owner only.
3. Signals go to its own process group by id, which holds the server and all that it started.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time

GRACE_S = 8.0
_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _wait(server: subprocess.Popen[bytes], seconds: float | None) -> None:
    """Until the server ends, the owner is gone, or the time is over."""
    deadline = None if seconds is None else time.monotonic() + seconds
    owner = [sys.stdin.fileno()] if deadline is None else []
    while server.poll() is None and (deadline is None or time.monotonic() < deadline):
        if select.select(owner, [], [], 0.1)[0]:
            return


def main(command: list[str]) -> None:
    if os.getpgrp() != os.getpid():
        os.setsid()  # never signal the group of a shell that ran this by hand
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # ours to the group must not end us before the rest
    server = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        preexec_fn=_prepare,  # noqa: PLW1509 - this process has no other thread
    )
    _wait(server, None)
    code = server.poll()
    if code is None:
        os.killpg(0, signal.SIGTERM)
        _wait(server, GRACE_S)
    if code is not None and code >= 0:
        print(f"[keeper] the server ended with code {code}", flush=True)
    elif code is not None:
        print(f"[keeper] the server was killed by signal {-code}", flush=True)
    sys.stdout.flush()
    os.killpg(0, signal.SIGKILL)  # whatever the server left behind, and the keeper itself


def _prepare() -> None:
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    _die_with_parent()


if __name__ == "__main__":
    main(sys.argv[1:])
