"""``Fleet``: a batch of many processes as Python makes it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from nlpu.checks import ANY_TEXT, COUNT, FLAG, FUNCTION, WHOLE, check, maybe
from nlpu.errors import Usage
from nlpu.processor import Price
from nlpu.runtime.fleet.driving.crew import Crew
from nlpu.runtime.fleet.driving.keeper import Hands
from nlpu.runtime.fleet.driving.local import Processes
from nlpu.runtime.fleet.mapped import planned
from nlpu.runtime.journal.places import local, place_of
from nlpu.runtime.journal.where import Database
from nlpu.runtime.naming import named
from nlpu.runtime.scheduler.budget import UNLIMITED, Budget

_FITS = {
    "program": FUNCTION,
    "workers": COUNT,
    "ray": maybe(ANY_TEXT),
    "engine": ANY_TEXT,
    "model": maybe(ANY_TEXT),
    "name": ANY_TEXT,
    "at_once": WHOLE,
    "ordered": FLAG,
    "retry": FLAG,
    "changed": FLAG,
}


def warned(text: str) -> None:
    """Warn whoever made a fleet."""
    warnings.warn(text, RuntimeWarning, stacklevel=4)


class Fleet(Crew):
    """A program over many inputs, carried out by many processes; iterate over it for the items.

    Use it with ``with``, or go through it to its end. The same again goes on, as after any death.

    Args:
        program: A function of a file, found there by name on every worker.
        inputs: As of ``Computer.map``; they, and results, go as JSON.
        store: The database: ``postgresql://USER@HOST/NAME``.
        name: Of the batch: letters and digits.
        workers: How many processes.
        ray: Where Ray is that places them: ``local``, ``auto`` or its address. None: they are
            processes of this machine.
        engine: ``local``, ``scripted`` or a server's URL, which all workers reach.
        budget: Of all workers together.
        price: Of its model.
    """

    def __init__(
        self,
        program: Callable[..., Any],
        inputs: Iterable[Any],
        *,
        store: str | Database,
        name: str,
        workers: int = 2,
        ray: str | None = None,
        engine: str = "local",
        model: str | None = None,
        at_once: int = 0,
        ordered: bool = True,
        budget: Budget = UNLIMITED,
        retry: bool = False,
        changed: bool = False,
        price: Price | None = None,
    ) -> None:
        check("Fleet", locals(), _FITS)
        plan = (name, at_once, ordered, budget, retry, changed)
        entries, planned_ = planned(program, inputs, plan)
        found = named(program)
        if "unnamed" in found:
            raise Usage(
                f"Fleet: workers find a program by its name in a file, and this has none: "
                f"{found['unnamed']}"
            )
        database = place_of(store)
        if not isinstance(database, Database):
            raise Usage("Fleet: workers share a database: store='postgresql://USER@HOST/NAME'")
        facts = {
            "header": {**found, "engine": engine, "model": model, "price": price and asdict(price)},
            "engine": engine,
            "model": model,
            "price": price and asdict(price),
        }
        hands = hands_of(database, name, ray, warned)
        super().__init__(program, entries, planned_, database, facts, hands, workers)


def hands_of(
    database: Database, stem: str, ray: str | None, tell: Callable[[str], object]
) -> Hands:
    """Make what begins workers: this machine's processes, or Ray.

    Raises Usage, MissingPart, Unreachable.
    """
    if not (stem.isascii() and stem.isalnum()):
        raise Usage(f"{stem!r} cannot name a batch: take letters and digits")
    if ray is None:
        return Processes(database, stem, local(database).parent / "workers")
    from nlpu.runtime.fleet.driving.rays import Actors  # Ray, for those who ask for it

    return Actors(database, stem, ray, tell)
