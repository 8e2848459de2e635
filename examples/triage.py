"""A judge that decides a branch: by its answer, and by how sure it is.

    nlpu run examples/triage.py "The server is down, please help now!" "Lunch on Friday?" \\
        --model qwen2.5-coder-1.5b
    nlpu run examples/triage.py "The server is down!" --engine scripted     # tries the wiring

A ``Judgement`` is yes or no with the probability of yes, read off the model's first token. An
``if`` on it is an ordinary ``if``: Python waits there, for that verdict alone. All mails are judged
at once because all were asked about before the first ``if``. What is neither clearly one nor the
other is left to a person. The 1.5B calls somebody for the first mail and is not sure of the second,
the 0.5B is sure of neither; the default (135M) cannot judge at all, and the run warns of it.
"""

import sys

from nlpu import Computer, Judgement, Value, nlop

MAILS = ["The server is down, please help now!", "Lunch on Friday?"]


@nlop
def urgent(mail: str) -> Judgement:
    """Does the mail ask for help at once?"""


@nlop(max_tokens=60, at_limit="trim")
def reply(mail: str) -> str:
    """Write a short, friendly reply to the mail."""


def triage(*mails: str, sure: float = 0.75) -> dict[str, str | Value[str]]:
    """What is to be done about each mail."""
    verdicts = [urgent(mail) for mail in mails]
    done: dict[str, str | Value[str]] = {}
    for mail, verdict in zip(mails, verdicts, strict=True):
        yes = verdict.value.probability
        if yes >= sure:
            done[mail] = "call somebody"
        elif yes <= 1 - sure:
            done[mail] = reply(mail)  # a Value: the loop goes on while it is written
        else:
            done[mail] = f"a person decides ({yes:.0%} urgent)"
    return done


if __name__ == "__main__":
    with Computer() as computer:
        run = computer.run(triage, *(sys.argv[1:] or MAILS))
    print(run.result, run.receipt, sep="\n")
