"""llama.cpp's process, as the object that began it sees it.

Theory of operation
-------------------
``Process`` starts ``llama_server.py`` under this interpreter, hands it its order through a pipe and
waits until the model is loaded. It ends when its stdin does.

Rules
1. It ends with the object: when that is closed or given up, or when the program ends, however that
   ends. A fork of this process leaves it alone.
2. What it writes to stderr goes to a file without a name, and its last line is quoted when the
   process died; with --debug it goes to ours.
3. It has a process group of its own: a Ctrl-C is for us.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import weakref
from pathlib import Path
from typing import IO, Any, cast

from nlpu.errors import EngineDied, HostError, MissingPart
from nlpu.printing import one_line

_ALOUD = "NLPU_DEBUG"
_PROGRAM = Path(__file__).with_name("llama_server.py")
_SPINS = "500"  # of a thread that waits for another before it sleeps: some microseconds
_END_S = 5.0
_QUOTED_BYTES = 2000


class Process:
    """A process that has a model loaded. ``address``: where it listens."""

    def __init__(self, order: dict[str, Any]) -> None:
        """Begin it and wait (blocking) until it listens. Raises HostError."""
        aloud = bool(os.environ.get(_ALOUD))
        try:
            self._said: IO[bytes] | None = None if aloud else _file()
            self._child = _begun(self._said)
        except OSError as error:
            raise HostError(f"cannot begin llama.cpp's process: {error}") from error
        self.close = weakref.finalize(self, _end, self._child, self._said, os.getpid())
        try:
            self.address = self._listening({**order, "aloud": aloud, "library": _library()})
        except BaseException:
            self.close()
            raise

    @property
    def runs(self) -> bool:
        """Whether it was neither closed nor died."""
        return self.close.alive and self._child.poll() is None

    def died(self) -> EngineDied:
        """Say how it ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(_END_S)
        code, quoted = self._child.returncode, self._last_words()
        how = "does not answer" if code is None else f"ended with {_named(code)}"
        return EngineDied(f"llama.cpp's process {how}{quoted}")

    def _listening(self, order: dict[str, Any]) -> str:
        orders, answers = cast("IO[bytes]", self._child.stdin), self._child.stdout
        with contextlib.suppress(BrokenPipeError):  # it says why, or has ended
            orders.write(json.dumps(order).encode() + b"\n")
            orders.flush()
        line = cast("IO[bytes]", answers).readline()
        if not line:
            raise self.died()
        told: dict[str, str] = json.loads(line)
        if "missing" in told:
            raise _no_library(told["missing"])
        if "refused" in told:
            said = told["refused"]
            raise MissingPart(
                f"llama.cpp cannot load {order['path']} with a window of {order['window']} tokens "
                f"for {order['slots']} requests: the file is damaged, of an unknown architecture, "
                "or there is too little memory. Fetch it again, ask for a smaller window or fewer "
                "requests at once, or name another model"
                + (f". llama.cpp says: {one_line(said)} (all of it: --debug)" if said else "")
            )
        return told["address"]

    def _last_words(self) -> str:
        if self._said is None or self._said.closed:
            return ""
        size = self._said.seek(0, os.SEEK_END)
        self._said.seek(max(0, size - _QUOTED_BYTES))
        lines = self._said.read().decode(errors="replace").split("\n")
        said = [line for line in lines if line.strip()]
        return f": {one_line(said[-1])}" if said else ""


def _begun(said: IO[bytes] | None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", str(_PROGRAM)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=said,
        # libgomp's threads spin for milliseconds at every step they wait for, which on a busy
        # machine costs fifteen times the work; asleep at once they lose half the speed of an
        # idle one. A short spin keeps both (docs/log.md).
        env={"GOMP_SPINCOUNT": _SPINS, **os.environ},
        process_group=0,  # rule 3
    )


def _file() -> IO[bytes]:
    return tempfile.TemporaryFile()


def _end(child: subprocess.Popen[bytes], said: IO[bytes] | None, parent: int) -> None:
    """End the process by its stdin, and by force if it does not (rule 1)."""
    for pipe in (child.stdin, child.stdout):
        with contextlib.suppress(OSError):
            cast("IO[bytes]", pipe).close()
    if os.getpid() == parent:
        try:
            child.wait(_END_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    if said is not None:
        said.close()


def _named(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


def _library() -> str:
    """The folder that has the wheel. Raises MissingPart."""
    found = importlib.util.find_spec("xllamacpp")
    if found is None or found.origin is None:
        raise _no_library("it is not installed")
    return str(Path(found.origin).parents[1])


def _no_library(why: str) -> HostError:
    return MissingPart(
        f"the embedded processor cannot load xllamacpp ({why}): run `make install`; where "
        "libgomp.so.1 is missing, install your system's libgomp1"
    )
