"""A worker as Ray's actors are: told names, and a database's URL, by texts; it gives a text."""

from __future__ import annotations

import json
import sys

from nlpu.errors import NlpuError
from nlpu.runtime.fleet.items import side_of
from nlpu.runtime.fleet.workers.worker import work
from nlpu.runtime.journal.places import place_of
from nlpu.runtime.journal.where import Database


class Worker:
    """What Ray keeps alive: if its process dies, ``work`` is begun again in another."""

    def work(self, url: str, stem: str, name: str, seal: str) -> str:
        """Work at a batch; gives why it was stopped, as JSON [kind, message, side], or ""."""
        database = place_of(url)
        assert isinstance(database, Database)
        try:
            work(database, stem, name, seal=seal, heed=False)
        except NlpuError as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            return json.dumps([type(error).__name__, str(error), side_of(error)])
        return ""
