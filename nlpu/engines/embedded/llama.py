"""llama.cpp in this process, through the ``xllamacpp`` wheel: one loaded model with its slots.

Theory of operation
-------------------
The wheel's ``Server`` is llama.cpp's own server as an object: ``handle_completions`` runs one
request and returns when it is done, releasing the interpreter while the model works, and calls back
for every token and for every batch of prompt that was read. It listens on a loopback port as well,
whether one wants it or not; the port is asked for two things that the object has no door for, how a
text is cut into tokens and how many there are.

Rules
1. All methods block and may be called from any thread; nobody calls them on an event loop, except
   ``encode``, which takes a fraction of a millisecond.
2. The port carries a random key that never leaves this object; without it every route but the
   health check answers 401.
3. A request ends early only by its listener's True: after the next token, or after the next
   ``BATCH`` tokens of prompt. What the listener raises would end it, too, as if it had said True:
   it is kept, and raised when the request has ended.
4. What llama.cpp keeps beyond its slots (its cache of prompts in memory) is off: memory is what the
   window and the slots need, and no more.
5. What it says goes to the process's stderr, past all that we write there: so it says nothing,
   unless with --debug. Of a load that failed, a child process asks again, aloud.
6. The port hangs up on a connection that was silent for five seconds, as on a busy machine one is:
   what is asked then is asked once more, on a new one.
"""

from __future__ import annotations

import errno
import http.client
import json
import os
import re
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from nlpu.engines.embedded.gguf import metadata_of
from nlpu.errors import EngineDied, HostError, MissingPart, ServerFault
from nlpu.printing import one_line

BATCH = 256  # prompt tokens between two call-backs; reading is no faster in larger pieces
SPINS = "500"  # of a thread that waits for another before it sleeps: some microseconds
_ALOUD = "NLPU_DEBUG"
_AGAIN = (
    "import sys; from pathlib import Path; from nlpu.engines.embedded import llama; "
    "llama.Llama(Path(sys.argv[1]), *map(int, sys.argv[2:]))"
)
_AGAIN_S = 60  # a load that lasts longer says nothing of why it failed
_NO_LOOPBACK = (errno.ENETUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL, errno.EHOSTUNREACH)
Listener = Callable[[dict[str, Any]], bool]


class Llama:
    """A loaded GGUF model."""

    def __init__(self, path: Path, window: int, slots: int, threads: int | None = None) -> None:
        """Load it: some tenths of a second for a small model. Raises MissingPart."""
        trained = _trained_window(metadata_of(path))
        self.window = min(window, trained) if trained else window
        key = secrets.token_hex(32)
        self._server: Any = _started(path, self.window, slots, threads, key)
        self._door = threading.Lock()  # around the one connection to the port
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self.address: str = self._server.listening_address
        port = urlsplit(self.address)
        self._port = http.client.HTTPConnection(str(port.hostname), cast(int, port.port))
        self.tokens = int(self._asked("GET", "/v1/models")["data"][0]["meta"]["n_vocab"])

    def generate(self, body: dict[str, Any], listener: Listener) -> None:
        """Run one request; each event goes to ``listener``, which ends it by returning True.

        Raises EngineDied after ``close``, ServerFault for what the listener raised.
        """
        server = self._server
        if server is None:
            raise EngineDied("the embedded processor was closed")
        raised: list[Exception] = []

        def guarded(event: dict[str, Any]) -> bool:
            try:
                return listener(event)
            except Exception as error:  # rule 3
                raised.append(error)
                return True

        server.handle_completions(body, guarded)
        if raised:
            raise ServerFault(
                f"the embedded processor said what cannot be read: {raised[0]!r}"
            ) from raised[0]

    def encode(self, text: str, special: bool) -> list[int]:
        """The ids of a text; with ``special`` the text of a special token becomes that token."""
        body = {"content": text, "add_special": False, "parse_special": special}
        tokens: list[int] = self._asked("POST", "/tokenize", body)["tokens"]
        return tokens

    def close(self) -> None:
        """Unload the model, once no request runs. Idempotent."""
        self._server = None
        self._port.close()

    def _asked(self, method: str, route: str, body: Any = None) -> Any:
        text = None if body is None else json.dumps(body)
        with self._door:
            for again in (True, False):
                try:
                    self._port.request(method, route, text, self._headers)
                    answer = self._port.getresponse()
                    content = answer.read()
                    break
                except (OSError, http.client.HTTPException) as error:
                    self._port.close()
                    if not (again and isinstance(error, ConnectionError)):  # rule 6
                        raise _silence(error) from error
        if answer.status != 200:
            raise ServerFault(f"the embedded processor answered {answer.status} on {route}")
        return json.loads(content)


def _silence(error: Exception) -> HostError:
    """Why the port does not answer."""
    if getattr(error, "errno", None) in _NO_LOOPBACK:
        return HostError(
            "the embedded processor needs the loopback interface (127.0.0.1), which is down here: "
            "bring it up, for example with `ip link set lo up`"
        )
    return ServerFault(f"the embedded processor does not answer: {error!r}")


def _trained_window(facts: dict[str, Any]) -> int:
    return int(facts.get(f"{facts.get('general.architecture')}.context_length", 0))


def _library() -> Any:
    """The wheel's module. Raises MissingPart."""
    # libgomp's threads spin for milliseconds at every step they wait for, which on a busy machine
    # costs fifteen times the work; asleep at once they lose half the speed of an idle one. A short
    # spin keeps both (docs/log.md). It is read once, when the library loads.
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    try:
        import xllamacpp  # here: nothing heavy is loaded before a model is asked for
    except ImportError as error:
        raise MissingPart(
            f"the embedded processor cannot load xllamacpp ({error}): run `make install`; where "
            "libgomp.so.1 is missing, install your system's libgomp1"
        ) from error
    return xllamacpp


def _started(
    path: Path, window: int, slots: int, threads: int | None, key: str, doors: int = 1
) -> Any:
    """The wheel's server; ``doors``: how many requests its port takes at once."""
    settings = _library().CommonParams()
    settings.model.path = str(path)
    settings.n_ctx, settings.n_parallel = window * slots, slots
    settings.n_batch = settings.n_ubatch = BATCH
    cores = threads or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else threads
    cores = cores or os.cpu_count() or 1
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = cores
    settings.cache_ram_mib, settings.slot_prompt_similarity = 0, 0.0
    settings.warmup, settings.verbosity = False, int(bool(os.environ.get(_ALOUD)))
    settings.fit_params = False  # window and slots are what is asked for; fitting takes a second
    settings.hostnames, settings.api_keys, settings.n_threads_http = ["127.0.0.1"], [key], doors
    settings.ui = settings.endpoint_slots = settings.endpoint_props = False
    try:
        return _library().Server(settings)
    except RuntimeError as error:
        raise MissingPart(
            f"llama.cpp cannot load {path} with a window of {window} tokens for {slots} requests: "
            "the file is damaged, of an unknown architecture, or there is too little memory"
            f"{_why(path, window, slots)}"
        ) from error


def _why(path: Path, window: int, slots: int) -> str:
    """What llama.cpp says of a model that it could not load (rule 5)."""
    if os.environ.get(_ALOUD):
        return ""
    words = [sys.executable, "-P", "-c", _AGAIN, str(path), str(window), str(slots)]
    try:
        told = subprocess.run(
            words,
            env=os.environ | {_ALOUD: "1"},
            capture_output=True,
            timeout=_AGAIN_S,
            check=False,
        ).stderr.decode(errors="replace")
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.findall(r" E (?:\w+ +)?\w+: (.*error.*)", told)
    return f". llama.cpp says: {one_line(found[0])} (all of it: --debug)" if found else ""
