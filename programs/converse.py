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
from memory.filling import room_for
from nlpu import nlop
from nlpu.label import USER
from programs.calling import careful
from programs.stream import MATTERS, RECALLED, keep, rate, recalled, weight
from runtime import now


@nlop(max_tokens=160, at_limit="trim", repetition_penalty=1.1)
def respond(memories: str, message: str) -> str:
    """Answer the message as a friend, in one or two sentences. Use memories that help."""


def converse(message: str, store: str = ".nlpu/memory") -> str:
    """Answer a message from what was said before, and remember both."""
    with Memory(store, firmware="valued") as memory:
        matters = rate(message)
        _, room, count = room_for(respond, "memories", {"message": message})
        reply = careful(respond, recalled(memory, message, room - RECALLED, count), message)
        moment = now().timestamp()
        mark = weight(matters)
        said = keep(memory, f"Person: {message}", USER, moment, mark)
        keep(memory, f"Friend: {reply}", reply.label, moment + 1)
        if mark >= MATTERS:
            memory.read(said)
            review(memory, mark / 10, moment)
        return str(reply)
