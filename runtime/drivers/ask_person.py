"""A driver that asks the person at the terminal.

What a person answers is the person's: trusted, unless the question came from elsewhere.
"""

from __future__ import annotations

from nlpu.errors import NeedsPerson
from nlpu.label import USER
from nlpu.printing import shown
from nlpu.runtime.drivers.driver import driver
from nlpu.runtime.drivers.person import PERSON

_PATIENCE_S = 7 * 86_400.0  # of a program with a person


@driver(effect="read", roles={"question": "content"}, brings=USER, deadline_s=_PATIENCE_S)
async def ask(question: str) -> str:
    """Ask the person at the terminal and wait for the answer."""
    person = PERSON.get()
    if person is None:
        raise NeedsPerson(f"the program asks: {shown(question, 200)}. Resume the run at a terminal")
    return (await person.answers(question)).strip()
