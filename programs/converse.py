"""Talk with somebody who remembers, from one run to the next.

    nlpu run converse "My sister Vera has moved to Lisbon."
    nlpu run converse "Where does Vera live now?"

What is said goes into a memory stream: each statement with the time and with how much it matters.
An answer is written from the memories that fit the message best. When something that matters was
said, the memories that came up with it get credit and a reflection on them is written, linked to
them and found later like any other memory; old ones that never helped are condensed. (After Park
and others, "Generative agents", 2023.)
"""

from __future__ import annotations

from memory.consolidate import review
from memory.controller import Memory
from nlpu import ModelError, nlop
from nlpu.label import USER
from programs.calling import careful
from runtime import now

MEMORIES = 8  # for one answer
MATTERS = 7  # of 10: from here on it is worth a reflection


@nlop(max_tokens=160, at_limit="trim", repetition_penalty=1.1)
def respond(memories: str, message: str) -> str:
    """Answer the message as a friend, in one or two sentences. Use memories that help."""


@nlop
def rate(statement: str) -> int:
    """How much does the statement matter for later, from 1 (small talk) to 10 (a life event)?"""


def converse(message: str, store: str = ".nlpu/memory") -> str:
    """Answer a message from what was said before, and remember both."""
    with Memory(store, firmware="valued") as memory:
        matters = rate(message)
        found = memory.search(message, most=MEMORIES)
        memories = "\n".join(each.page.text for each in reversed(found)) or "(none yet)"
        reply = careful(respond, memories, message)
        moment = now().timestamp()
        mark = weight(matters)
        said = memory.write(
            f"Person: {message}", label=USER, source="conversation", start=int(moment),
            time_s=moment, importance=mark / 10,
        )  # fmt: skip
        memory.write(
            f"Friend: {reply}", label=reply.label, source="conversation", start=int(moment) + 1,
            time_s=moment,
        )  # fmt: skip
        if mark >= MATTERS:
            memory.read(said)
            review(memory, mark / 10, moment)
        return str(reply)


def weight(matters: object) -> int:
    """1 to 10, whatever the model said."""
    try:
        return min(10, max(1, int(matters)))  # type: ignore[call-overload, no-any-return]
    except ModelError:
        return 1
