"""A classifier that is checked on cases before it is used, with examples and without.

    nlpu run examples/tickets.py "I was charged twice for one lamp."
    nlpu run examples/tickets.py "..." --engine scripted     # tries the wiring; classes are dice

``using(examples=...)`` gives the same op with examples in each prompt; ``check`` asks cases whose
answers are known and gives a report, as one Value. Both reports are made at the same time, and the
op that was right more often gets the ticket. Six cases are few, and the intervals in the report say
so: ``nlpu eval examples/tickets.py:taught --data FILE`` asks more. The default model (135M) was
right on two without examples, where it always says billing, and on five with them.
"""

import sys
from typing import Literal

from nlpu import Computer, nlop

CASES = [
    ({"ticket": "My card was charged for a lamp that I sent back."}, "billing"),
    ({"ticket": "The invoice has the wrong sum on it."}, "billing"),
    ({"ticket": "The parcel lies at the depot and nobody brings it."}, "delivery"),
    ({"ticket": "It came a week late, and to my neighbour."}, "delivery"),
    ({"ticket": "I cannot log in: the code never comes."}, "account"),
    ({"ticket": "Please change my e-mail address."}, "account"),
]


@nlop
def topic(ticket: str) -> Literal["billing", "delivery", "account"]:
    """Is the ticket about billing, delivery, or an account?"""


taught = topic.using(
    examples=[
        ("Why do I pay for shipping twice?", "billing"),
        ("Where is my parcel?", "delivery"),
        ("I forgot my password.", "account"),
    ]
)


def tickets(ticket: str) -> dict[str, object]:
    """The topic of a ticket, and how often each of two ways to ask was right."""
    plain, shown = topic.check(CASES), taught.check(CASES)  # twelve calls, side by side
    better = taught if shown.value.accuracy >= plain.value.accuracy else topic
    rights = {"plain": plain.value.right, "with examples": shown.value.right}
    return {"topic": better(ticket), "right of six": rights}


if __name__ == "__main__":
    with Computer() as computer:
        run = computer.run(tickets, " ".join(sys.argv[1:]) or "I was charged twice for one lamp.")
    print(run.result, run.receipt, sep="\n")
