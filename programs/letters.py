"""Read short letters into records: how much money, which city, which date, from whom.

    nlpu run letters
    nlpu run letters --input mine.txt     # a letter a line

Each letter is one call, and they all run at the same time. The forty letters that lie beside this
file come with a key, so that anyone can count how many are read right.

A small model is better at copying than at anything else, so the job is made one of copying:

    the blank      What it writes are words of the letter with the blank before them. Its vocabulary
                   has " Lisbon" as one word, and that is what it has read; "Lisbon" right behind a
                   quotation mark is other pieces, which it would have to spell.
    the patterns   An amount ends in its currency, a date is a day and a month: what is begun
                   wrongly cannot be ended just anyhow.
    the example    One letter of another kind with its record: where the words come from is shown.
    the reward     A repetition penalty below 1 prefers words that stand in the prompt.

These were chosen by ninety-six other letters, of which SmolLM2 with 135M parameters read 82 without
the example, 93 under a stronger reward, and all with the four.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, RootModel, field_validator

from nlpu import ModelError, Value, lift, nlop
from nlpu.programs.calling import nested

FIELDS = ("amount", "city", "date", "sender")
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
FORTY = Path(__file__).with_name("letters.jsonl")


def words(pattern: str) -> Any:
    """A text in a letter, with the blank before it."""
    return Field(pattern=f"^ {pattern}$")


_MONEY = "(euros|dollars|pounds|crowns|francs|zloty)"
_MONTH, _DAY = f"({'|'.join(MONTHS)})", "[1-3]?[0-9]"


Amount = Annotated[str, words(f"(\\$[0-9]{{1,5}}|[0-9]{{1,5}} {_MONEY})")]
City = Annotated[str, words("[A-Z][a-z]{2,19}")]
Day = Annotated[str, words(f"({_DAY} {_MONTH}|{_MONTH} {_DAY})")]
Sender = Annotated[str, words("[A-Z][a-z]{1,14} [A-Z][a-z]{1,14}")]


class Words(BaseModel):  # what the model writes; a docstring would be told to it
    amount: Amount
    city: City
    date: Day
    sender: Sender


class Letter(BaseModel):
    """What a letter says."""

    model_config = ConfigDict(frozen=True, str_strip_whitespace=True)
    amount: int
    city: str
    date: str
    sender: str

    @field_validator("date")
    @classmethod
    def day_first(cls, date: str) -> str:
        """Both "March 4" and "4 March" are 4 March."""
        return " ".join(sorted(date.split(), key=str.isalpha))

    def __str__(self) -> str:
        return f"{self.amount}, {self.city}, {self.date}, {self.sender}"


class Letters(RootModel[list[Letter | None]]):
    """The records of some letters, in their order; None for a reply that was not valid."""

    def __str__(self) -> str:
        return "\n".join(str(each or "(no valid reply)") for each in self.root)


SHOWN = (
    "We ask for 640 crowns in Lund by 9 December. Yours, Emil Strand",
    Words(amount=" 640 crowns", city=" Lund", date=" 9 December", sender=" Emil Strand"),
)


@nlop(max_tokens=128, repetition_penalty=0.95, examples=[SHOWN])
def read_letter(letter: str) -> Words:
    """Copy the amount of money, the city, the date and the sender from the letter."""


@nested
def read(letter: str) -> Letter | None:
    """The letter as a record, by one call; None if its reply was not valid."""
    try:
        return record(read_letter(letter).value)
    except ModelError:
        return None


def record(words: Words) -> Letter:
    """The record that the words make."""
    digits = "".join(filter(str.isdigit, words.amount))
    return Letter.model_validate({**words.model_dump(), "amount": int(digits)})


def letters(text: str = "") -> Value[Letters]:
    """Read each letter of a text (a letter a line), or the forty that come with a key."""
    each = [line for line in text.splitlines() if line.strip()] or [text for text, _ in forty()]
    return together(*(read(letter) for letter in each))


@lift
def together(*records: Letter | None) -> Letters:
    """All records as one result."""
    return Letters(list(records))


def forty() -> list[tuple[str, Letter]]:
    """The forty letters, each with its key."""
    rows = map(json.loads, FORTY.read_text(encoding="utf-8").splitlines())
    return [(row.pop("letter"), Letter(**row)) for row in rows]


def score(records: Sequence[Letter | None]) -> dict[str, int]:
    """How many of the forty are right, in their places: of each field, and as a whole."""
    pairs = list(zip(records, (key for _, key in forty()), strict=False))
    right = {
        name: sum(getattr(said, name, None) == getattr(key, name) for said, key in pairs)
        for name in FIELDS
    }
    return {**right, "whole": sum(said == key for said, key in pairs)}
