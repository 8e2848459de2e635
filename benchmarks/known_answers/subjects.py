"""Programs as an evaluation asks them: with their memory filled first, in a place of its own.

    nlpu eval benchmarks/known_answers/subjects.py:react --data benchmarks/known_answers/react.jsonl

``react`` and ``converse`` remember from one run to the next. A case has a memory of its own, made
of what it says; where it is, is noted in the run's journal, so a resumed case finds what it wrote.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from nlpu.label import USER
from nlpu.memory.controller import Memory
from nlpu.programs.converse import converse as one_message
from nlpu.programs.react import Trace
from nlpu.programs.react import react as one_question
from nlpu.value import current

STORES = Path(".nlpu", "known_answers")


def react(question: str, facts: tuple[str, ...] = ()) -> Trace:
    """Answer a question with a calculator and a clock, and a memory of the facts if there are any.

    The facts are the user's own words, as a question's are.
    """
    if not facts:
        return one_question(question)
    store = own_store()
    with Memory(store) as memory:
        for fact in facts:
            memory.write(fact, label=USER, source="facts")
    return one_question(question, store)


def converse(said: tuple[str, ...], question: str) -> str:
    """Say some messages, one after the other, then ask the question; its answer."""
    store = own_store()
    for message in said:
        one_message(message, store)
    return one_message(question, store)


def own_store() -> str:
    """A new directory, the same one when the run is resumed."""
    return str(current().remember(_new_directory))


def _new_directory() -> str:
    STORES.mkdir(parents=True, exist_ok=True)
    return tempfile.mkdtemp(dir=STORES)
