"""Switching between the hub and the greenlets of plain programs.

Theory of operation
-------------------
The hub switches to a program, and gets control back when the program is parked or has ended. A
greenlet that a program makes for itself is inside of the program's scope; when it ends, it goes on
in who made it. If another program switched to it, that one would wait for ever, and the one that
made it would go on before its Value is there: the one gets an error, the other is parked again.

Rules
1. A program that was switched to is parked or has ended; until it is either, it gets an error.
2. A parked program goes on when what it waits for is there, and at no other time but its end.
3. A greenlet reads in the name of who made it only while that program runs: no other is lowered.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from greenlet import getcurrent, greenlet

from nlpu.errors import ProgramError
from nlpu.runtime.graph.node import Scope
from nlpu.value import look_around


def _parents_scope() -> Scope | None:
    """The scope of the program that made this greenlet, whose own context is empty (rule 3)."""
    parent = getcurrent().parent
    while parent is not None:
        scope: Scope | None = getattr(parent, "program_scope", None)
        if scope is not None:
            return scope if getattr(parent, "program_runs", False) else None
        parent = parent.parent
    return None


look_around(_parents_scope)


class Switch:
    """Of one executor: its hub. A greenlet that goes on is marked as the program that runs."""

    def __init__(self) -> None:
        self.hub: greenlet | None = None
        self._parked: greenlet | None = None  # the one that switched back last
        self._strayed: BaseException | None = None  # what a greenlet raised in another's program

    def to(self, living: greenlet) -> None:
        """Let a program go on until it is parked or ends. From the hub only."""
        self.hub, living.program_runs = getcurrent(), True
        switch: Callable[[], object] = living.switch
        while not living.dead:
            self._parked = self._strayed = None
            try:
                switch()
            except Exception as error:  # it goes on here, since who made it has ended
                self._strayed = error
            if self._parked is living:
                break
            switch = _thrower(living, self._strayed)
        living.program_runs = False

    def park(self, living: greenlet, waken: Callable[[Callable[[], None]], object]) -> None:
        """Switch to the hub until that which is given to ``waken`` is called there (rule 2). From
        that program only."""
        assert self.hub is not None  # it has switched here
        woken: list[bool] = []

        def wake() -> None:
            woken.append(True)
            self.to(living)

        waken(wake)
        while not woken:
            self._parked = living
            try:
                self.hub.switch()
            except Exception as error:  # news for who switched to the greenlet that raised it
                self._strayed = error

    def strand(self, living: greenlet) -> NoReturn:
        """Never go on in a program, whatever is thrown into it. From that program only."""
        assert self.hub is not None
        while True:
            self._parked = living
            with suppress(BaseException):
                self.hub.switch()


def _thrower(living: greenlet, cause: BaseException | None) -> Callable[[], object]:
    """Tell a program that the greenlet that it switched to has ended elsewhere (rule 1)."""
    error = ProgramError(
        "a program switched to a greenlet that another one made: when that ends, it goes on in "
        "the program that made it; make greenlets where they are used"
    )
    error.__cause__ = cause
    return lambda: living.throw(error)
