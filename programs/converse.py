"""Talk with somebody who remembers, from one run to the next.

    nlpu run converse "My sister Vera has moved to Lisbon."
    nlpu run converse "Where does Vera live now?"

What is said goes into a memory stream: each statement with the time and with how much it matters.
An answer is written as the next turn of a chat: the last exchanges stand before the message, as far
as half of the room holds them, and with it the memories that fit it best. When something that
matters was said, the memories that came up with it get credit and a reflection on them is written,
linked to them and found later like any other memory; old ones that never helped are condensed.
(After Park and others, "Generative agents", 2023.)
"""

from __future__ import annotations

from itertools import pairwise

from nlpu import Chat, Memory, nlop, now
from nlpu.label import USER
from nlpu.memory.consolidate import review
from nlpu.memory.store.page import TALK
from nlpu.memory.window.room import room_for
from nlpu.programs.calling import careful
from nlpu.programs.stream import MATTERS, RECALLED, keep, rate, recalled, weight
from nlpu.value import current

IN_TURN = True  # a message is answered from those before it, so a batch has one run at a time
PERSON, FRIEND = "Person: ", "Friend: "
EXCHANGES = 8  # read again at most


@nlop(max_tokens=160, at_limit="trim", repetition_penalty=1.1)
def respond(memories: str, chat: Chat) -> str:
    """Answer the message as a friend, in one or two sentences. Use memories that help."""


def converse(message: str, store: str = ".nlpu/memory") -> str:
    """Answer a message from what was said before, and remember both."""
    with Memory(store, firmware="valued") as memory:
        matters = rate(message)
        chat = talked(memory).user(message).newest(fits)
        _, room, count = room_for(respond, "memories", {"chat": chat})
        heard = {who + turn.text for turn in chat for who in (PERSON, FRIEND)}

        def among_others(text: str) -> int:  # a memory stands in lines with them
            return count(text + "\n")

        memories = recalled(memory, message, room - RECALLED, among_others, besides=heard)
        reply = careful(respond, memories, chat)
        moment = now().timestamp()
        mark = weight(matters)
        said = keep(memory, PERSON + message, USER, moment, mark)
        keep(memory, f"{FRIEND}{reply}", reply.label, moment + 1)
        if mark >= MATTERS:
            memory.read(said)
            review(memory, mark / 10, moment)
        return str(reply)


def talked(memory: Memory) -> Chat:
    """What was said last, each message with its answer."""
    texts = [page.text for page in memory.newest(TALK, 2 * EXCHANGES)]
    chat = Chat()
    for asked, told in pairwise(texts):
        message, reply = asked.removeprefix(PERSON), told.removeprefix(FRIEND)
        if message != asked and reply != told and message.strip() and reply.strip():
            chat = chat.user(message).assistant(reply)
    return chat


def fits(chat: Chat) -> bool:
    """Whether it leaves half of the room to the memories."""
    processor = current().processor(respond.processor)
    return bool(processor.codec.chat_tokens(chat) <= processor.room(respond) // 2)
