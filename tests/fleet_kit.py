"""Workers of a batch in threads of this process, and programs for them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from threading import Thread
from typing import Any

from nlpu.errors import NlpuError
from nlpu.runtime.fleet.plan import Entry, Plan
from nlpu.runtime.journal.where import Database
from nlpu.runtime.loader import load

INPUTS = [*(f"text {n}" for n in range(20)), "odd", "text 3"]
PROGRAM = '''
from nlpu import nlop

@nlop(max_tokens=16, at_limit="trim")
def step(text: str) -> str:
    """Go on from the text."""

def chain(text: str) -> str:
    if text == "odd":
        raise ValueError("an odd text")
    for _ in range(3):
        text = str(step(text))
    return text
'''


class Threads:
    """``Hands`` whose workers are threads: they end when the batch does."""

    def __init__(self, database: Database, stem: str) -> None:
        self._database, self._stem = database, stem
        self._all: dict[str, Thread] = {}
        self.errors: dict[str, NlpuError] = {}
        self.told: dict[str, int] = {}  # how many outcomes each told

    def start(self, name: str, seal: str) -> None:
        self._all[name] = thread = Thread(target=self._work, args=(name, seal), daemon=True)
        thread.start()

    def _work(self, name: str, seal: str) -> None:
        from nlpu.runtime.fleet.workers.worker import work

        try:
            self.told[name] = work(self._database, self._stem, name, seal=seal, heed=False)
        except NlpuError as error:
            self.errors[name] = error

    def ended(self) -> dict[str, str]:
        done = [name for name, thread in self._all.items() if not thread.is_alive()]
        for name in done:
            del self._all[name]
        return {name: "an error" if name in self.errors else "" for name in done}

    @property
    def live(self) -> set[str]:
        return set(self._all)

    def where(self, name: str) -> str:
        return f"thread {name}"

    def close(self, wait_s: float) -> None:
        for thread in self._all.values():
            thread.join(wait_s)
            assert not thread.is_alive()


def crew(
    database: Database,
    folder: Path,
    inputs: Iterable[Any],
    *,
    program: str = PROGRAM,
    function: str = "chain",
    name: str = "mine.py",
    engine: str = "scripted",
    workers: int = 2,
    hands: Callable[[Database, str], Any] = Threads,
    facts: Mapping[str, Any] | None = None,
    **plan: Any,
) -> Any:
    """A batch of a program that is put into a file, by workers in threads."""
    from nlpu.runtime.fleet.driving.crew import Crew

    file = folder / name
    if not file.exists():
        file.write_text(program)
    loaded = load(str(file) if file.suffix == ".nl" else f"{file}:{function}")
    more = {
        "header": {"program": loaded.spec, "file": loaded.digest, "reads": "--each"},
        "engine": engine,
        **(facts or {}),
    }
    entries = (each if isinstance(each, Entry) else Entry("", (each,), {}) for each in inputs)
    named = Plan(**{"name": "batch", **plan})
    made = hands(database, named.name)
    return Crew(loaded.function, entries, named, database, more, made, workers)


def lines(items: Iterable[Any]) -> list[dict[str, Any]]:
    return [json.loads(item.line()) for item in items]
