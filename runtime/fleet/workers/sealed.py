"""What a batch has its workers do, as one digest: so that nobody else changes it in the database.

Rules
1. Who can write the database could name another program or server there. So a worker is told the
   digest by whoever begins it; who comes by himself checks the mark of this user (``journal.own``).
2. A batch goes on with the program and the model that it was begun with, or says so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final

from nlpu.errors import NeedsPerson, Usage
from nlpu.runtime.fleet.neighbours import differing
from nlpu.runtime.journal.own import MARK, marked

_SAYS: Final = ("header", "engine", "model", "price", "system", "convention", "sheets")
_CHANGES: Final = {
    "source": "the program of the batch {stem} has changed since it began",
    "neighbours": "what the program of the batch {stem} imports has changed since: {which}",
    "processors": "the batch {stem} was begun on another model",
}


def _said(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts that say what is run, and where its calls go."""
    return {name: facts[name] for name in _SAYS if facts.get(name) is not None}


def seal(facts: Mapping[str, Any]) -> str:
    """Digest what workers are to do."""
    return blake2b(json.dumps(_said(facts), sort_keys=True).encode(), digest_size=16).hexdigest()


def mark(facts: Mapping[str, Any]) -> str:
    """Make the mark of this user; "" without a secret."""
    return str(marked(json.loads(json.dumps(_said(facts)))).get(MARK, ""))


def check(facts: Mapping[str, Any], given: str) -> None:
    """Hold them against a digest, "own" for this user's mark, or "" for nothing (rule 1).

    Raises Usage, NeedsPerson.
    """
    if given == MARK and not (facts.get(MARK) and facts[MARK] == mark(facts)):
        program, engine = facts.get("header", {}).get("program"), facts.get("engine")
        raise NeedsPerson(
            f"this batch is not known to be yours: another user or machine began it. It runs "
            f"{program} on {engine}, with your key. If that is right: --trust"
        )
    if given not in ("", MARK) and given != seal(facts):
        raise Usage(
            "somebody has changed what this batch runs, since this worker was begun; see who else "
            "writes to the database, and give the same command again"
        )


def check_same(before: Mapping[str, Any], now: Mapping[str, Any], stem: str) -> None:
    """Hold a batch's program, and model, against what was noted of them. Raises Usage (rule 2)."""
    for what, fact in now.items():
        was = before.get(what)
        if was is not None and was != fact:
            which = differing(was, fact) if what == "neighbours" else ""
            raise Usage(
                f"{_CHANGES[what].format(stem=stem, which=which)}; with --changed (changed=True) "
                "it goes on all the same, and results that are there stay; to begin anew: another "
                "--out (name=)"
            )
