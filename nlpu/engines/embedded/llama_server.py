"""llama.cpp's server, in a process of its own: the program that ``process.py`` starts.

Theory of operation
-------------------
It reads one line of JSON from stdin (which model, how large, under which key), loads the model
through the ``xllamacpp`` wheel, writes one line to stdout (where it listens, or why not), and stays
until stdin ends. All that is asked of the model goes through its port.

Rules
1. It imports the wheel and the standard library, nothing of ours: it is there in 60 ms.
2. It ends with the process that started it, however that ends: stdin ends then; and where a fork
   holds stdin open, another parent is seen within a second.
3. What llama.cpp keeps beyond its slots (its cache of prompts in memory) is off: memory is what the
   window and the slots need, and no more.
4. What llama.cpp says would go past all that we write to a terminal: so it says nothing, unless
   asked to. A load that failed is tried once more, aloud, into a file without a name.
5. Whatever ends it ends it at once: to take a loaded server down as Python's end would waits for a
   thread of llama.cpp's that may never end.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import sys
import tempfile
from typing import Any

BATCH = 256  # prompt tokens between two looks at who still listens; larger ones read no faster
_DOORS = 2  # that the port has beside one for each slot
_LOOK_S = 1.0


def main() -> None:
    """Serve until stdin ends."""
    parent, answers = os.getppid(), os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # answers alone are for who reads them
    order = json.loads(sys.stdin.buffer.readline())
    sys.path.append(order["library"])
    told, server = _loaded(order)
    print(json.dumps(told), file=answers, flush=True)
    while server is not None and os.getppid() == parent:
        if select.select([0], [], [], _LOOK_S)[0]:
            break
    os._exit(0)


def _loaded(order: dict[str, Any]) -> tuple[dict[str, str], Any]:
    """What there is to tell, and the server, if there is one."""
    try:
        import xllamacpp
    except ImportError as error:
        return {"missing": str(error)}, None
    try:
        server = xllamacpp.Server(_settings(xllamacpp, order))
    except RuntimeError:
        return {"refused": "" if order["aloud"] else _why(xllamacpp, order)}, None
    return {"address": server.listening_address}, server


def _settings(library: Any, order: dict[str, Any]) -> Any:
    settings = library.CommonParams()
    settings.model.path = order["path"]
    settings.n_ctx, settings.n_parallel = order["window"] * order["slots"], order["slots"]
    settings.n_batch = settings.n_ubatch = BATCH
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = order["threads"]
    settings.cache_ram_mib, settings.slot_prompt_similarity = 0, 0.0  # rule 3
    settings.warmup, settings.verbosity = False, int(order["aloud"])
    settings.fit_params = False  # window and slots are what is asked for; fitting takes a second
    settings.hostnames, settings.api_keys = ["127.0.0.1"], [order["key"]]
    settings.n_threads_http = order["slots"] + _DOORS
    settings.ui = settings.endpoint_slots = settings.endpoint_props = False
    return settings


def _why(library: Any, order: dict[str, Any]) -> str:
    """What llama.cpp says of a model that it could not load (rule 4)."""
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        with contextlib.suppress(RuntimeError):
            library.Server(_settings(library, {**order, "aloud": True}))
        said.seek(0)
        found = re.findall(r" E (?:\w+ +)?\w+: (.*error.*)", said.read().decode(errors="replace"))
    return found[0] if found else ""


if __name__ == "__main__":
    try:
        main()
    except BaseException:  # rule 5
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
        os._exit(1)
