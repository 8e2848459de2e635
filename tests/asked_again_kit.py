"""A typed op, a model that is wrong about everything until it is told so, and what that cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from journal_kit import Opened
from kit import said
from pydantic import BaseModel, Field

from nlpu import nlop
from nlpu.runtime.journal.records import past_of
from nlpu.testing.scripted import Seen


class Person(BaseModel):
    name: str
    age: int = Field(ge=18)


@nlop
def person(text: str) -> Person:
    """Who is it?"""


ANN, BEN = '{"name":"Ann","age":30}', '{"name":"Ben","age":7}'


def stubborn(seen: Seen) -> str:
    """Is wrong about everything, until it is told so."""
    right = {"Who": ANN, "many": "3", "so?": "yes"}
    wrong = {"Who": BEN, "many": "three", "so?": "perhaps"}
    told = right if seen.again else wrong
    return next((text for word, text in told.items() if word in seen.instruction), said(seen))


def folded(run_dir: Path) -> Any:
    return past_of(rows_of(run_dir))


def rows_of(run_dir: Path) -> list[Any]:
    journal = Opened(next(run_dir.glob("*.db")), read_only=True)
    journal.close()
    return journal.rows
