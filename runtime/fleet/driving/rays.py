"""Workers as Ray actors: Ray places them, keeps them alive, and shows them in its tools.

Rules
1. Ray carries names and texts. Programs are found by name on each node, claims and results go
   through the database, so an actor is a process like any other worker.
2. Actors are detached: they outlive whoever began them. They are named ``nlpu:BATCH:NUMBER``, in
   the namespace ``nlpu``; what they say is in Ray's logs.
3. Ray listens beyond loopback, whatever address it is given: it is said each time (``tell``), once
   there is one to be used.
4. Ray is imported when it is asked for. It reports nothing home.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from nlpu.errors import MissingPart, Unreachable, Usage
from nlpu.extras import adding
from nlpu.printing import one_line
from nlpu.runtime.journal.where import Database

LISTENS: Final = (
    "Ray listens on this machine's network, not on loopback alone: who reaches its ports and has "
    "its token (anybody, where RAY_AUTH_MODE=disabled) can run code here"
)
_TOKENS: Final = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
_TOKEN: Final = "~/.ray/auth_token"
_NAMESPACE: Final = "nlpu"
_PATIENCE_S: Final = 5.0
_AGAIN: Final = 8  # times that Ray begins a worker anew


class Actors:
    """``Hands`` that Ray has. ``address``: ``local``, ``auto``, or where it is.

    Raises MissingPart, Unreachable.
    """

    def __init__(
        self, database: Database, stem: str, address: str, tell: Callable[[str], object]
    ) -> None:
        self._database, self._stem = database, stem
        place = _place_of(address)
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # rule 4
        if any(map(os.environ.get, _TOKENS)) or os.path.exists(os.path.expanduser(_TOKEN)):
            os.environ.setdefault("RAY_AUTH_MODE", "token")  # it is read when Ray is imported
        try:
            import ray
        except ImportError as error:
            raise MissingPart(
                f"--ray needs Ray: {adding('fleet')}; or leave it out: workers are processes then"
            ) from error
        if place is not None:
            _check_there(address, place)
        tell(LISTENS)
        self._ray: Any = ray
        self._all: dict[str, Any] = {}
        self._connect(address)

    def _connect(self, address: str) -> None:
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        local = {"include_dashboard": False, "num_cpus": 64} if address == "local" else {}
        try:
            self._ray.init(
                address=address,
                namespace=_NAMESPACE,
                ignore_reinit_error=True,
                **quiet,
                **local,
            )
        except Exception as error:  # of Ray's own kinds
            raise _unreachable(address, one_line(str(error), 160)) from None

    def start(self, name: str, seal: str) -> None:
        """Have a worker placed."""
        from nlpu.runtime.fleet.driving.actor import Worker

        made = self._ray.remote(Worker).options(
            name=f"nlpu:{self._stem}:{name}",
            lifetime="detached",
            max_restarts=_AGAIN,
            max_task_retries=_AGAIN,
            num_cpus=1,
            scheduling_strategy="SPREAD",
        )
        actor = made.remote()
        self._all[name] = actor, actor.work.remote(self._database.url, self._stem, name, seal)

    def ended(self) -> dict[str, str]:
        """Give those that have ended since: how, where that was not in order."""
        found = {}
        for name, (actor, told) in [*self._all.items()]:
            if self._ray.wait([told], timeout=0)[0]:
                found[name] = self._how(told)
                self._end(name, actor)
        return found

    def _how(self, told: Any) -> str:
        try:
            return "an error" if self._ray.get(told) else ""
        except Exception:
            return f"more than {_AGAIN} deaths of its process"  # than Ray begins it anew

    def _end(self, name: str, actor: Any) -> None:
        del self._all[name]
        with suppress(Exception):  # it is gone
            self._ray.kill(actor)

    @property
    def live(self) -> set[str]:
        """Those that have not."""
        return set(self._all)

    def where(self, name: str) -> str:
        """Say where its log is."""
        return f"Ray's logs of the actor nlpu:{self._stem}:{name} (ray logs, or its dashboard)"

    def close(self, wait_s: float) -> None:
        """Wait for them to end; who does not is ended."""
        told = [told for _, told in self._all.values()]
        if told:
            self._ray.wait(told, num_returns=len(told), timeout=wait_s)
        for name, (actor, _) in [*self._all.items()]:
            self._end(name, actor)
        self._ray.shutdown()


def _place_of(address: str) -> tuple[str, int] | None:
    """Read where a Ray is; None for those that Ray finds. Raises Usage."""
    if address in ("local", "auto"):
        return None
    host, _, port = address.rpartition(":")
    is_port = port.isascii() and port.isdigit() and len(port) < 6 and 0 < int(port) < 65536
    if not host or not is_port or "/" in host:
        raise Usage(
            f"--ray takes local, auto, or HOST:PORT of a Ray, not {one_line(address, 60)!r}"
        )
    return host, int(port)


def _check_there(address: str, place: tuple[str, int]) -> None:
    """Ray itself tries for minutes. Raises Unreachable."""
    try:
        socket.create_connection(place, timeout=_PATIENCE_S).close()
    except (OSError, UnicodeError) as error:
        raise _unreachable(address, getattr(error, "strerror", None) or str(error)) from None


def _unreachable(address: str, why: str) -> Unreachable:
    return Unreachable(
        f"no Ray can be used at {address}: {why}. Begin one (ray start --head), name where it is "
        f"(its token is read from RAY_AUTH_TOKEN, or {_TOKEN}), or give --ray local"
    )
