"""A chat: each answer is written with all that was said before, in the model's own frame.

    nlpu run examples/interview.py "What is a loom?" "Who invented it?"
    nlpu run examples/interview.py "What is a loom?" --engine scripted     # tries the wiring

A ``Chat`` is a frozen value that grows by making a longer one, so a server has read all but the
newest turn before. Any op can take one as an operand: ``reply`` answers it, ``subject`` reads it.
"""

import sys

from nlpu import Chat, Computer, nlop


@nlop(max_tokens=60, at_limit="trim", repetition_penalty=1.1)
def reply(chat: Chat) -> str:
    """Answer as a weaver would, in one sentence."""


@nlop(max_tokens=12, at_limit="trim")
def subject(chat: Chat) -> str:
    """Name the subject of the conversation in a few words."""


def interview(*questions: str) -> str:
    """The interview as it went, under its subject."""
    chat = Chat()
    for question in questions:
        asked = chat.user(question)
        chat = asked.assistant(reply(asked).value)
    about = subject(chat.user("Thank you! What did we talk about?"))
    return f"{about}\n\n{chat}"


if __name__ == "__main__":
    with Computer() as computer:
        run = computer.run(interview, *(sys.argv[1:] or ["What is a loom?", "Who invented it?"]))
    print(run.result, run.receipt, sep="\n")
