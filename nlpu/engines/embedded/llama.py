"""llama.cpp as an object: one loaded model with its slots, in a process of its own.

Theory of operation
-------------------
llama.cpp's server, of the ``xllamacpp`` wheel, is asked through its loopback port. ``generate``
runs one request and returns when it is done, and calls back for every token and for every batch of
prompt that was read. The wheel would run in this process, too; but while it loads a model no thread
of this interpreter runs, and what ends llama.cpp would end the program.

Rules
1. All methods block and may be called from any thread; nobody calls them on an event loop, except
   ``encode``, which takes a fraction of a millisecond.
2. The port carries a random key that goes to the other process through a pipe, and nowhere else;
   without it no route that reads or writes a text answers anything but 401.
3. A request ends early only by its listener's True: its connection is closed, which ends it after
   the next token, or after the next batch of prompt. What the listener raises would end it, too: it
   is raised when the request has ended.
4. What was asked when llama.cpp died fails with EngineDied; what is asked next begins it anew, with
   the same file or not at all.
5. The port hangs up on a connection that was silent for five seconds, as on a busy machine one is:
   what is asked then is asked once more, on a new one.
"""

from __future__ import annotations

import errno
import http.client
import json
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from nlpu.engines.embedded.gguf import metadata_of
from nlpu.engines.embedded.process import Process
from nlpu.errors import EngineDied, HostError, ServerFault

_NO_LOOPBACK = (errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL, errno.EHOSTUNREACH)
_EVENT, _END = b"data: ", b"[DONE]"
Listener = Callable[[dict[str, Any]], bool]


class Llama:
    """A loaded GGUF model."""

    def __init__(self, path: Path, window: int, slots: int, threads: int | None = None) -> None:
        """Load it: some tenths of a second for a small model. Raises HostError."""
        trained = _trained_window(metadata_of(path))
        self.window = min(window, trained) if trained else window
        key = secrets.token_hex(32)
        self._order = {
            "path": str(path),
            "window": self.window,
            "slots": slots,
            "threads": threads or _cores(),
            "key": key,
        }
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._door, self._closed = threading.Lock(), False  # around what follows
        self._path, self._file = path, _file_of(path)
        self._begin()
        self.tokens = int(self._asked("GET", "/v1/models")["data"][0]["meta"]["n_vocab"])

    @property
    def address(self) -> str:
        """Where llama.cpp listens."""
        return self._process.address

    def generate(self, body: dict[str, Any], listener: Listener) -> None:
        """Run one request; each event goes to ``listener``, which ends it by returning True.

        Raises EngineDied after ``close`` and where llama.cpp's process ended, ServerFault for what
        the listener raised.
        """
        process = self._living()
        port = _connection(process.address)
        try:
            port.request("POST", "/v1/completions", json.dumps(body), self._headers)
            for event in _events(port.getresponse()):
                if _wants_no_more(listener, event):
                    return
        except (OSError, http.client.HTTPException) as error:
            raise _silence(error, process) from error
        finally:
            port.close()

    def encode(self, text: str, special: bool) -> list[int]:
        """The ids of a text; with ``special`` the text of a special token becomes that token."""
        body = {"content": text, "add_special": False, "parse_special": special}
        tokens: list[int] = self._asked("POST", "/tokenize", body)["tokens"]
        return tokens

    def close(self) -> None:
        """Unload the model, once no request runs. Idempotent."""
        with self._door:
            self._closed = True
            self._port.close()
            self._process.close()

    def _begin(self) -> None:
        self._process = Process(self._order)
        self._port = _connection(self._process.address)

    def _living(self) -> Process:
        """The process, begun anew if it died (rule 4). Raises EngineDied once it is closed."""
        with self._door:
            if self._closed:
                raise EngineDied("the embedded processor was closed")
            if not self._process.runs:
                self._port.close()
                self._process.close()
                self._begin_anew()
            return self._process

    def _begin_anew(self) -> None:
        if _file_of(self._path) != self._file:
            raise HostError(
                f"llama.cpp's process ended, and {self._path} is another file by now than the one "
                "that it had loaded: begin with that one anew, or put the old one back"
            )
        self._begin()

    def _asked(self, method: str, route: str, body: Any = None) -> Any:
        text = None if body is None else json.dumps(body)
        process = self._living()
        with self._door:
            for again in (True, False):
                try:
                    self._port.request(method, route, text, self._headers)
                    answer = self._port.getresponse()
                    content = answer.read()
                    break
                except (OSError, http.client.HTTPException) as error:
                    self._port.close()
                    if not (again and isinstance(error, ConnectionError)):  # rule 5
                        raise _silence(error, process) from error
        if answer.status != 200:
            raise ServerFault(f"the embedded processor answered {answer.status} on {route}")
        return json.loads(content)


def _connection(address: str) -> http.client.HTTPConnection:
    port = urlsplit(address)
    return http.client.HTTPConnection(str(port.hostname), cast(int, port.port))


def _events(answer: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    """What llama.cpp tells of a request, to its end; an error is one event."""
    if answer.status != 200:
        yield json.loads(answer.read())
        return
    for line in answer:
        told = line.removeprefix(_EVENT).strip()
        if told == _END:
            return
        if told and line.startswith(_EVENT):
            yield json.loads(told)
    raise http.client.IncompleteRead(b"")


def _wants_no_more(listener: Listener, event: dict[str, Any]) -> bool:
    try:
        return listener(event)
    except Exception as error:  # rule 3
        raise ServerFault(f"the embedded processor said what cannot be read: {error!r}") from error


def _silence(error: Exception, process: Process) -> HostError:
    """Why the port does not answer."""
    if getattr(error, "errno", None) in _NO_LOOPBACK:
        return HostError(
            "the embedded processor needs the loopback interface (127.0.0.1), which is down here: "
            "bring it up, for example with `ip link set lo up`"
        )
    return process.died()


def _file_of(path: Path) -> tuple[int, int, int] | None:
    """What tells a file from the one that takes its place; None where there is none."""
    with suppress(OSError):
        found = path.stat()
        return found.st_ino, found.st_size, found.st_mtime_ns
    return None


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _trained_window(facts: dict[str, Any]) -> int:
    return int(facts.get(f"{facts.get('general.architecture')}.context_length", 0))
