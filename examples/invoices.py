"""Read letters into typed records, and let Python do the sums.

    nlpu run examples/invoices.py --model qwen2.5-coder-0.5b     # the three letters of this file
    nlpu run examples/invoices.py 'letters=["Please pay 20 euros by 2026-05-01. Ann"]'
    nlpu run examples/invoices.py --engine scripted     # tries the wiring; the records are dice

The result type is a pydantic model. A grammar made of it holds the model to its fields, types and
bounds while it writes, so what comes back is a ``Bill`` and no text to be parsed; a reply that does
not fit all the same is asked for again, once, with what was wrong. Each letter is one call. Valid
is not yet right: the 0.5B reads all three (165 euros, 90 dollars), the default model (135M) one.
"""

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from nlpu import Computer, lift, nlop

LETTERS = [
    "Please send 120 euros for the roof by 2026-05-12. Tom Baker",
    "The taxi from the airport was 90 dollars, to be paid by 2026-06-01. Best, Adam Wolski",
    "You owe us 45 euros for the lamps; the last day is 2026-05-20. Ines Reyes",
]


class Bill(BaseModel):  # a docstring here would be told to the model
    amount: Annotated[int, Field(ge=0, le=100_000)]
    currency: Literal["euros", "dollars"]
    due: date
    sender: Annotated[str, Field(pattern=r"^[A-Z][a-z]+( [A-Z][a-z]+)?$")]


@nlop(max_tokens=80)
def bill(letter: str) -> Bill:
    """Copy from the letter: the amount, its currency, the day it is due, and who wrote it."""


@lift
def total(bills: list[Bill]) -> dict[str, int]:
    """The sum of each currency."""
    sums: dict[str, int] = {}
    for each in bills:
        sums[each.currency] = sums.get(each.currency, 0) + each.amount
    return sums


def invoices(letters: list[str] = LETTERS) -> dict[str, object]:
    """The records of some letters, and what they come to."""
    bills = bill.map(letters)
    return {"bills": bills, "total": total(bills)}  # total waits for the records; we do not


if __name__ == "__main__":
    with Computer() as computer:
        run = computer.run(invoices)
    print(run.result, run.receipt, sep="\n")
