"""The layout of a prompt: an op and its operands as turns of text, by a convention. Pure.

Theory of operation
-------------------
A prompt has constants (what is asked, in what form, examples) and operands. Which stand first
depends on the op and the operands' lengths alone: an operand longer than the constants, and long
enough to be worth it, is a document and stands before them, so that any number of questions, of
different ops too, share it in the server's prefix cache; short operands stand behind the
constants, so that all calls of an op share those. What a system text says stands before both.

A turn is a role and *pieces*: texts of ours, and numbers for the operands. Pieces are tokenised
apart, so a piece has the same ids wherever it stands.

An operand that is a chat is laid out as the turns it has, behind the constants in the system's turn
(a frame without that role has them at the start of the first user's turn):

    system: constants | user: text | assistant: text | ... | user: other operands, text, reminder

So when the chat goes on, the prompt is the same up to the end of what was its last turn's text, or,
with other operands, up to the start of that turn; a small model heeds best what is asked last. Not
shared are those operands and the reminder: they are of one call. A frame that cannot write an
assistant's turns has the chat between fences, a paragraph a turn, as the first operand.

Rules
1. A fence is one backtick longer than the longest run of backticks in its text, and at least three:
   no operand can close its own, and equal operands give equal ids. A text without a line break may
   stand in its line without one: it cannot begin another.
2. What is told of the result is told once in the constants; a reminder says only what convention
   and measurement want said again.
3. The text of a chat's turn is a piece of its own, alone in its turn but in the last. Behind that
   one stands a reminder, if the answer has a form, of what is asked and in which: it was said far
   above, and the user may have asked something else. What is answered in free text needs none.
4. What follows on an answer that is no result stands behind all else: the prompt before is shared.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from nlpu.chat import check_asked, turns_in
from nlpu.complaint import Invalid
from nlpu.convention import Convention
from nlpu.forms import told
from nlpu.op import Op

_BACKTICKS = re.compile(r"`{3,}")
_PLACES = re.compile(r"\{(why|contract|answer|fence)\}")
Role = Literal["system", "user", "assistant"]


class Turn(NamedTuple):
    """One turn of a prompt: pieces are texts of ours, or the numbers of operands.

    Numbers above those of the operands are the turns of the chat among them.
    """

    role: Role
    pieces: tuple[str | int, ...]


class Texts(NamedTuple):
    """The texts of a call: the operands', then those of its chat's turns, and whose these are."""

    texts: Sequence[str]
    roles: Sequence[Role] = ()


class Order(NamedTuple):
    """Which operands stand before the constants, and which behind them, each in order."""

    before: tuple[int, ...]
    behind: tuple[int, ...]


def fence_for(text: str) -> str:
    """A run of backticks longer than any inside the text, at least three."""
    longest = max(map(len, _BACKTICKS.findall(text)), default=2) if "```" in text else 2
    return "`" * (longest + 1)


def fences_of(convention: Convention, contents: Sequence[str]) -> tuple[str, ...]:
    """A fence for each text, or none where the convention writes it as a line."""
    if convention.line:
        return tuple(fence_for(text) if "\n" in text or "\r" in text else "" for text in contents)
    return tuple(fence_for(text) if "```" in text else "```" for text in contents)


def fences_for(convention: Convention, op: Op[Any], contents: Sequence[str]) -> tuple[str, ...]:
    """The fences of a call's operands; a chat, should it be written as text, always has one."""
    fences = fences_of(convention, contents)
    if op.chat < 0:
        return fences
    return (*fences[: op.chat], fence_for(contents[op.chat]), *fences[op.chat + 1 :])


def spread(op: Op[Any], contents: Sequence[str]) -> Texts:
    """The operands' texts with the turns of a chat among them. Raises BadOperand."""
    if op.chat < 0:
        return Texts(contents)
    turns = turns_in(contents[op.chat])
    roles = [role for role, _ in turns]
    check_asked(roles, f"operand {op.operands[op.chat].name!r} of {op.name}")
    return Texts([*contents, *(text for _, text in turns)], roles)


def order_of(
    convention: Convention, constant: int, contents: Sequence[str], chat: int = -1
) -> Order:
    """The order of operands; ``constant`` is how many characters the constants have.

    A chat, if one of them is, stands behind the constants and first of all operands.
    """
    places = range(len(contents))
    if chat >= 0:
        return Order((), (chat, *(place for place in places if place != chat)))
    before: tuple[int, ...] = ()
    if convention.document:
        least = max(constant, convention.from_length)
        before = tuple(place for place in places if len(contents[place]) > least)
    behind = [place for place in places if place not in before]
    if convention.question_last and len(behind) > 1 and behind[0] == 0:
        longest = max(len(contents[place]) for place in behind)
        least = max(convention.question_last, 2 * len(contents[0]))
        if longest >= least and "\n" not in contents[0]:
            behind.append(behind.pop(0))
    return Order(before, tuple(behind))


def constant_length(convention: Convention, op: Op[Any]) -> int:
    """How many characters the constants of an op have, examples and all."""
    shown = _examples_text(convention, op) if op.examples else ""
    return len(constants_of(convention, op)) + len(shown)


def constants_of(convention: Convention, op: Op[Any]) -> str:
    """What is the same in every call of the op, without system text and examples."""
    return _lines(convention, op, convention.constants)


def _lines(convention: Convention, op: Op[Any], parts: Sequence[str]) -> str:
    said = (_part(convention, op, part) for part in parts)
    return "\n".join(line for line in said if line)


def _part(convention: Convention, op: Op[Any], part: str) -> str:
    if part == "contract":
        return contract_of(convention, op)
    if part == "told":
        constraint = op.result.constraint
        json_kind = op.result.kind == "json" and constraint is not None
        return told(json.loads(constraint.spec)) if json_kind and constraint else op.result.notes
    whole = {"text": op.text, "first": op.text.partition("\n")[0], "notes": op.result.notes}
    return whole.get(part, convention.rule)


def contract_of(convention: Convention, op: Op[Any]) -> str:
    """What is said of the form of the result."""
    result = op.result
    words = dict(convention.contracts).get(result.kind)
    if words is None:
        return result.contract
    form = result.contract.partition("of this form: ")[2]
    return words.replace("{form}", form).replace("{one}", result.name)


def turns_of(
    convention: Convention, op: Op[Any], order: Order, fences: Sequence[str],
    roles: Sequence[Role] = (), spoken: bool = True,
) -> tuple[Turn, ...]:  # fmt: skip
    """The turns of a call, operands as their numbers.

    roles: of the turns of the op's chat. spoken: the frame can write an assistant's turns.
    """
    if roles and spoken:
        return _chat_turns(convention, op, order, fences, roles)
    said_later = convention.reminder if order.before else ()
    parts = [part for part in convention.constants if part not in said_later]
    constants = _lines(convention, op, parts)
    system = [op.system] if op.system else []
    head: list[str | int] = []
    if convention.place == "system" and not order.before:
        system.append(constants)
    else:
        head = [*_documents(convention, op, order, fences), constants + convention.gap]
    turns = [Turn("system", ("\n\n".join(system),))] if system else []
    if op.examples and (convention.examples == "text" or order.before or not spoken):
        head.append(_examples_text(convention, op))
    elif op.examples:
        turns += _examples(convention, op, head)
        head = []
    tail = _lines(convention, op, convention.reminder)
    pieces = [*head, *_operands(convention, op, order.behind, fences, roles)]
    return (*turns, Turn("user", tuple(pieces) + ((convention.last + tail,) if tail else ())))


def _chat_turns(
    convention: Convention, op: Op[Any], order: Order, fences: Sequence[str], roles: Sequence[Role]
) -> tuple[Turn, ...]:
    """The turns of a call that reads a chat."""
    shown = _examples_text(convention, op).strip() if op.examples else ""
    told = "\n\n".join(filter(None, (op.system, constants_of(convention, op), shown)))
    turns = [Turn("system", (told,))] if told else []
    first = len(op.operands)
    turns += [Turn(role, (first + number,)) for number, role in enumerate(roles)]
    head = _operands(convention, op, order.behind[1:], fences)
    tail: list[str | int] = []
    if contract_of(convention, op):
        tail = ["\n\n" + _lines(convention, op, ("first", "contract"))]
    last = turns.pop()
    return (*turns, last._replace(pieces=(*head, *last.pieces, *tail)))


def _documents(
    convention: Convention, op: Op[Any], order: Order, fences: Sequence[str]
) -> list[str | int]:
    """The operands that stand before the constants, and what the constants say of them."""
    if len(order.before) > 1:
        return _operands(convention, op, order.before, fences)
    pieces: list[str | int] = []
    for place in order.before:
        label = label_of(op.operands[place].name)
        head, tail = _around(convention, convention.document, convention.document, fences[place])
        pieces += [head, place, tail]
        if label != convention.document:
            pieces.append(convention.about.replace("{label}", label) + "\n")
    return pieces


def label_of(name: str) -> str:
    """A name as words: ``first_draft`` is "First draft". Short ones, ``x`` and ``_1``, stay."""
    words = " ".join(name.split("_"))
    return name if name[0] == "_" or len(name) < 3 else words[:1].upper() + words[1:]


def _operands(
    convention: Convention, op: Op[Any], places: Sequence[int], fences: Sequence[str],
    roles: Sequence[Role] = (),
) -> list[str | int]:  # fmt: skip
    pieces: list[str | int] = []
    for place in places:
        name = op.operands[place].name
        head, tail = _around(convention, name, label_of(name), fences[place])
        pieces += [head, *(_paragraphs(op, roles) if place == op.chat else [place]), tail]
    return pieces


def _paragraphs(op: Op[Any], roles: Sequence[Role]) -> list[str | int]:
    """A chat as one text, for a frame that has no place for its turns."""
    pieces: list[str | int] = []
    for number, role in enumerate(roles):
        pieces += [("\n\n" if number else "") + f"{role}: ", len(op.operands) + number]
    return pieces


def _around(convention: Convention, name: str, label: str, fence: str) -> tuple[str, str]:
    """What is written before and behind an operand; one without a fence is a line."""
    template = convention.operand if fence else convention.line
    named = template.replace("{name}", name).replace("{label}", label).replace("{fence}", fence)
    head, _, tail = named.partition("{text}")
    return head, tail


def _examples(convention: Convention, op: Op[Any], head: Sequence[str | int]) -> list[Turn]:
    """Examples as turns, the constants in the first."""
    turns: list[Turn] = []
    tail = _lines(convention, op, convention.reminder)
    start = "".join(str(piece) for piece in head)
    for each in op.examples:
        asked = start + written_operands(convention, op, each.operands)
        turns.append(Turn("user", (asked + (convention.last + tail if tail else ""),)))
        turns.append(Turn("assistant", (each.answer,)))
        start = ""
    return turns


def _examples_text(convention: Convention, op: Op[Any]) -> str:
    head, _, rest = convention.example.partition("{operands}")
    between, _, tail = rest.partition("{answer}")
    written = (
        head + written_operands(convention, op, each.operands) + between + each.answer + tail
        for each in op.examples
    )
    return "".join(written) + convention.now


def written_operands(convention: Convention, op: Op[Any], contents: Sequence[str]) -> str:
    """Operands as one text, in the order that they have behind the constants."""
    order = order_of(convention, sum(map(len, contents)), contents, op.chat)
    texts, roles = spread(op, contents)
    pieces = _operands(convention, op, order.behind, fences_for(convention, op, contents), roles)
    return "".join(texts[piece] if isinstance(piece, int) else piece for piece in pieces)


def again_of(convention: Convention, op: Op[Any], invalid: Sequence[Invalid]) -> tuple[Turn, ...]:
    """The turns that follow on a call's own: each answer that was no result, and what is said."""
    turns: list[Turn] = []
    for text, why in invalid:
        turns.append(Turn("assistant", (text or convention.silent,)))
        words = {"why": why, "contract": contract_of(convention, op)}
        turns.append(Turn("user", (_filled(convention.again, words).strip(),)))
    return tuple(turns)


def written_again(convention: Convention, turns: Sequence[Turn]) -> str:
    """Such turns as one text, for models whose template has no turns of an assistant."""
    text = ""
    for turn in turns:
        said = "".join(map(str, turn.pieces))
        if turn.role == "assistant":
            said = _filled(convention.answered, {"answer": said, "fence": fence_for(said)})
        text += said
    return text


def _filled(template: str, words: dict[str, str]) -> str:
    """A template with its places filled; places within the words stay as they are."""
    return _PLACES.sub(lambda place: words.get(place[1], place[0]), template)
