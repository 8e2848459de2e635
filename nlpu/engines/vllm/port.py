"""Whose a port is: whether it can be had, and whether processes of ours listen on it.

Rules
1. A port is tried before a server is started for it: that takes minutes, and the answer is known.
2. Who listens is read from /proc. Where there is none, whoever answers is believed.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from nlpu.errors import HostError, Usage

_LISTEN = "0A"  # in /proc/net/tcp
_PROC = Path("/proc")


def port_of(given: int | str) -> int:
    """A port's number; 0 stands for any free one. Raises Usage."""
    text = str(given)
    if not (text.isascii() and text.isdigit() and int(text) < 65536):
        raise Usage(f"--port is a number from 0 to 65535 (0 is any free one), not {text!r}")
    return int(text)


def claim(port: int) -> int:
    """The port, or a free one for 0, if a server can listen on it. Raises HostError (rule 1)."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise HostError(
                f"port {port} on 127.0.0.1 cannot be had ({error.strerror}): end what listens "
                "there, or choose another with --port (0 is any free one)"
            ) from None
        found: int = probe.getsockname()[1]
        return found


def listens(group: int, port: int) -> bool:
    """Whether a process of the process group listens on the port (rule 2)."""
    if not (_PROC / "net" / "tcp").exists():
        return True
    wanted = set(_listening(port))
    return bool(wanted) and any(wanted & sockets for sockets in _sockets(group))


def _listening(port: int) -> Iterator[str]:
    """The sockets that listen on a port, as /proc names them."""
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (_PROC / "net" / table).read_text().splitlines()[1:]:
                place, state, inode = (line.split()[n] for n in (1, 3, 9))
                if state == _LISTEN and int(place.rpartition(":")[2], 16) == port:
                    yield f"socket:[{inode}]"


def _sockets(group: int) -> Iterator[set[str]]:
    """What each process of a group has open; processes come and go meanwhile."""
    for entry in _PROC.iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and os.getpgid(int(entry.name)) == group:
                yield {os.readlink(file) for file in (entry / "fd").iterdir()}
