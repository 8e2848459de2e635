"""Chats: what a person and a model have said in turn, as one value.

Theory of operation
-------------------
A ``Chat`` is frozen, compares by value and grows by making a longer one. As an operand of an op it
stands in the model's own chat frame, each turn in the place that the model's template has for it
(``layout``): what was said before is never written anew, so a server's prefix cache holds it.

    chat = Chat().user("What is a loom?")
    answer = reply(chat)                                   # a Value
    chat = chat.assistant(answer)                          # a Value of a Chat: labels are joined
    chat = said(chat, "user", "And what is a mill?")       # goes on with either

Rules
1. Turns alternate, the user's first: many templates refuse two turns of a role in a row, and who
   joined them silently would change what was said. Whoever means one turn joins its texts.
2. Every turn has a text, not blank and encodable; nothing is cut off it.
3. A Value that is appended, or appended to, gives a Value, made by a lifted function: its label is
   that of all turns together.
4. An op has one chat at most, and is asked for an answer to a user's turn: the last one.
5. ``read(write(chat)) == chat``: the canonical text is JSON, {"turns": [[role, text], ...]}.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, overload

from nlpu.errors import BadOperand
from nlpu.lifting import check_text, lift
from nlpu.printing import counted, shown
from nlpu.value import Value

Role = Literal["user", "assistant"]
ROLES: tuple[Role, Role] = ("user", "assistant")


class Turn(NamedTuple):
    """Who spoke, and what was said."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Chat:
    """Turns of a user and an assistant. Raises BadOperand (rules 1 and 2)."""

    turns: tuple[Turn, ...] = ()

    def __post_init__(self) -> None:
        try:
            # A mapping would be taken for its keys, and None is no turn.
            turns = tuple(
                Turn(*(None if isinstance(turn, Mapping) else turn)) for turn in self.turns
            )
        except TypeError:
            raise BadOperand("a chat is made of turns, each (role, text)") from None
        for number, turn in enumerate(turns):
            _check(number, turn)
        object.__setattr__(self, "turns", turns)

    def __repr__(self) -> str:
        last = (
            f", the last {self.turns[-1].role}: {shown(self.turns[-1].text)}" if self.turns else ""
        )
        return f"Chat({counted(len(self.turns), 'turn')}{last})"

    def __str__(self) -> str:
        return "\n\n".join(f"{turn.role}: {turn.text}" for turn in self.turns)

    def __len__(self) -> int:
        return len(self.turns)

    def __iter__(self) -> Iterator[Turn]:
        return iter(self.turns)

    def __copy__(self) -> Chat:
        return self

    def __deepcopy__(self, memo: object) -> Chat:
        return self

    @overload
    def user(self, text: str) -> Chat: ...
    @overload
    def user(self, text: Value[str]) -> Value[Chat]: ...

    def user(self, text: Any) -> Any:
        """Give the chat with one more turn, the user's. Raises BadOperand."""
        return said(self, "user", text)

    @overload
    def assistant(self, text: str) -> Chat: ...
    @overload
    def assistant(self, text: Value[str]) -> Value[Chat]: ...

    def assistant(self, text: Any) -> Any:
        """Give the chat with one more turn, the assistant's. Raises BadOperand."""
        return said(self, "assistant", text)

    def newest(self, fits: Callable[[Chat], bool]) -> Chat:
        """Give the longest end that fits: the oldest turns go, each user's with its answer.

        The last turn of the user stays, whether it fits or not.

        Args:
            fits: Says of a chat whether it fits.
        """
        left = self
        while len(left) > 2 and not fits(left):
            left = _known(left.turns[2:])
        return left

    def asked(self, where: str) -> Chat:
        """Give the chat, if its last turn is the user's, to be answered. Raises BadOperand."""
        check_asked([turn.role for turn in self.turns], where)
        return self


def check_asked(roles: list[Role], where: str) -> None:
    """Raise BadOperand unless the last turn is the user's."""
    if not roles:
        raise BadOperand(f"{where} has no turns: begin it with Chat().user(...)")
    if roles[-1] != "user":
        raise BadOperand(
            f"{where} ends with the assistant's turn, so there is nothing to answer: "
            "append what the user says next"
        )


def _check(number: int, turn: Turn) -> None:
    """Raise BadOperand for a turn that cannot stand at that place."""
    where = f"turn {number + 1} of a chat"
    if turn.role not in ROLES:
        raise BadOperand(f"{where} is of the user or the assistant, not of {turn.role!r:.40}")
    if turn.role != ROLES[number % 2]:
        before = f"the {turn.role} has just spoken" if number else "the user speaks first"
        raise BadOperand(
            f"{where} cannot be the {turn.role}'s, {before}: many models' templates take turns in "
            "alternation only; join what is said in one turn into one text"
        )
    if not isinstance(turn.text, str):
        raise BadOperand(f"{where} must be a text, not {type(turn.text).__name__}")
    if not turn.text.strip():
        raise BadOperand(f"{where} is empty: say something, or leave the turn out")
    check_text(turn.text, where)


def _known(turns: tuple[Turn, ...]) -> Chat:
    """A chat of turns that have been checked: in their places, or in those of a longer one."""
    made = Chat()
    object.__setattr__(made, "turns", turns)
    return made


@overload
def said(chat: Chat, role: Role, text: str) -> Chat: ...
@overload
def said(chat: Chat | Value[Chat], role: Role, text: Value[str]) -> Value[Chat]: ...
@overload
def said(chat: Value[Chat], role: Role, text: str | Value[str]) -> Value[Chat]: ...


def said(chat: Any, role: Role, text: Any) -> Any:
    """Append a turn to a chat; gives a Value if one of the two is. Raises BadOperand, NotInRun."""
    if any(isinstance(each, Value) for each in (chat, role, text)):
        return lift(_said)(chat, role, text)
    return _said(chat, role, text)


def _said(chat: Chat, role: Role, text: str) -> Chat:
    if not isinstance(chat, Chat):
        raise BadOperand(f"a turn is appended to a Chat, not to {type(chat).__name__}")
    turn = Turn(role, text)
    _check(len(chat), turn)
    return _known((*chat.turns, turn))


@overload
def chat_of(*texts: str) -> Chat: ...  # type: ignore[overload-overlap]
@overload
def chat_of(*texts: str | Value[str]) -> Value[Chat]: ...


def chat_of(*texts: Any) -> Any:
    """Make a chat of these turns, the user's first; a Value if one of them is.

    Raises BadOperand, NotInRun.
    """
    if any(isinstance(text, Value) for text in texts):
        return lift(_chat_of)(*texts)
    return _chat_of(*texts)


def _chat_of(*texts: str) -> Chat:
    return Chat(tuple(Turn(ROLES[number % 2], text) for number, text in enumerate(texts)))


def turns_in(text: str) -> list[tuple[Role, str]]:
    """Read the turns of a chat's canonical text."""
    return [(role, said) for role, said in json.loads(text)["turns"]]
