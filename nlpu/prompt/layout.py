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
1. No user's turn is empty: the constants of an op without operands stand there, if nothing else
   does. Some servers refuse such a turn, and a model has nothing to answer.
2. What is told of the types, of the result's and of the operands', is told once in the constants; a
   reminder says only what convention and measurement want said again.
3. The text of a chat's turn is a piece of its own, alone in its turn but in the last. Behind that
   one stands a reminder, if the answer has a form, of what is asked and in which: it was said far
   above, and the user may have asked something else. What is answered in free text needs none.
4. What follows on an answer that is no result stands behind all else: the prompt before is shared.
5. Who reads a sentence has read what it is asked of: one that holds an operand (``sentence_of``)
   stands behind the others, and the op's own text is not said besides.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

from nlpu.chat import Chat, check_asked, turns_in
from nlpu.ops.op import Op
from nlpu.prompt.complaint import Invalid
from nlpu.prompt.convention import Convention, Part
from nlpu.prompt.fences import (
    Around,
    Shown,
    around,
    document_label,
    fence_for,
    fences_for,
    labels_of,
)
from nlpu.types.forms import told
from nlpu.types.result import ResultType

_PLACES = re.compile(r"\{(why|contract|answer|fence)\}")
_OURS = (" ".join((Chat.__doc__ or "").split()),)  # it is for programmers
_LENGTHS: dict[tuple[bytes, bytes], int] = {}
_MOST_LENGTHS = 512
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


def spread(op: Op[Any], contents: Sequence[str]) -> Texts:
    """The operands' texts with the turns of a chat among them. Raises BadOperand."""
    if op.chat < 0:
        return Texts(contents)
    turns = turns_in(contents[op.chat])
    roles = [role for role, _ in turns]
    check_asked(roles, f"operand {op.operands[op.chat].name!r} of {op.name}")
    return Texts([*contents, *(text for _, text in turns)], roles)


def documents_of(convention: Convention, op: Op[Any], contents: Sequence[str]) -> tuple[int, ...]:
    """The operands that stand before the constants."""
    longest = max(map(len, contents), default=0)
    if op.chat >= 0 or not convention.document or longest <= convention.from_length:
        return ()
    least = max(constant_length(convention, op), convention.from_length)
    return tuple(place for place, content in enumerate(contents) if len(content) > least)


def order_of(convention: Convention, op: Op[Any], before: tuple[int, ...]) -> Order:
    """The order of an op's operands, of which those stand ``before`` the constants.

    A chat, if one of them is, stands behind the constants and first of all operands.
    """
    places = range(len(op.operands))
    if op.chat >= 0:
        return Order((), (op.chat, *(place for place in places if place != op.chat)))
    asking = [
        place
        for place in places
        if op.operands[place].name in convention.questions or sentence_of(convention, op, place)
    ]
    rest = [place for place in places if place not in before and place not in asking]
    return Order(before, (*rest, *(place for place in asking if place not in before)))


def sentence_of(convention: Convention, op: Op[Any], place: int) -> str:
    """What an operand asks in a sentence of its own; "": it is written as others are."""
    said = op.result.kind in convention.sentences and not op.examples and op.chat < 0
    return op.operands[place].asks if said else ""


def constant_length(convention: Convention, op: Op[Any]) -> int:
    """How many characters the constants of an op have, examples and all; remembered."""
    key = (convention.digest, op.digest)
    found = _LENGTHS.get(key)
    if found is None:
        shown = examples_text(convention, op) if op.examples else ""
        if len(_LENGTHS) >= _MOST_LENGTHS:
            _LENGTHS.clear()
        found = _LENGTHS[key] = len(constants_of(convention, op)) + len(shown)
    return found


def constants_of(convention: Convention, op: Op[Any]) -> str:
    """What is the same in every call of the op, without system text and examples."""
    return _lines(convention, op, _constants(convention, op))


def _constants(convention: Convention, op: Op[Any]) -> list[Part]:
    """The parts that stand before an op's short operands."""
    is_behind = op.result.kind in convention.behind and not op.examples
    return [part for part in convention.constants if part != "contract" or not is_behind]


def _lines(convention: Convention, op: Op[Any], parts: Sequence[str]) -> str:
    said = (_part(convention, op, part) for part in parts)
    return "\n".join(line for line in said if line)


def _part(convention: Convention, op: Op[Any], part: str) -> str:
    if part == "contract":
        return contract_of(convention, op)
    if part == "told":
        return _told(op)
    whole = {"text": op.text, "first": op.text.partition("\n")[0], "notes": op.result.notes}
    return whole.get(part, convention.rule)


def _told(op: Op[Any]) -> str:
    """What types say beside their form: the result's, then of operands what is not said by then."""
    said = list(_sayings(op.result, ""))
    for label, place in zip(labels_of(op), op.operands, strict=True):
        known = {text for _, text in said}
        if place.type.annotation is not Chat:  # laid out as turns
            said += [each for each in _sayings(place.type, label) if each[1] not in known]
    return "\n".join(f"{where}: {text}" if where else text for where, text in dict.fromkeys(said))


def _sayings(kind: ResultType, label: str) -> Iterator[tuple[str, str]]:
    """What a type says, and of what of it; of an operand, which has a ``label``, no bounds."""
    yield from ((label, line) for line in kind.about.splitlines())
    if kind.kind == "json" and kind.constraint is not None:
        yield from told(json.loads(kind.constraint.spec), _OURS, label, bounds=not label)


def contract_of(convention: Convention, op: Op[Any]) -> str:
    """What is said of the form of the result."""
    result = op.result
    words = dict(convention.contracts).get(result.kind)
    if words is None:
        return result.contract
    form = result.contract.partition("of this form: ")[2]
    return words.replace("{form}", form).replace("{one}", result.name)


def turns_of(
    convention: Convention,
    op: Op[Any],
    order: Order,
    fences: Sequence[str],
    roles: Sequence[Role] = (),
    spoken: bool = True,
) -> tuple[Turn, ...]:
    """The turns of a call, operands as their numbers.

    roles: of the turns of the op's chat. spoken: the frame can write an assistant's turns.
    """
    if roles and spoken:
        return _chat_turns(convention, op, order, fences, roles)
    said_later = convention.reminder if order.before else ()
    parts = [part for part in _constants(convention, op) if part not in said_later]
    asked = any(not fences[place] and sentence_of(convention, op, place) for place in order.behind)
    if asked:
        parts = [part for part in parts if part != "text"]
    constants = _lines(convention, op, parts)
    tail = _lines(convention, op, convention.reminder)
    system = [op.system] if op.system else []
    head: list[str | int] = []
    as_text = convention.examples == "text" or bool(order.before) or not spoken
    alone = not op.operands and not tail  # nothing else would be in the user's turn (rule 1)
    if convention.place == "system" and not order.before and not alone:
        system += [] if asked and not constants else [constants]
    else:
        gap = "" if alone and not (op.examples and as_text) else convention.gap
        told = [] if asked and not constants else [constants + gap]
        head = [*_documents(convention, op, order, fences), *told]
    turns = [Turn("system", ("\n\n".join(system),))] if system else []
    if op.examples and as_text:
        head.append(Shown(examples_text(convention, op)))
    elif op.examples:
        turns += _examples(convention, op, head)
        head = head if alone else []
    pieces = [*head, *_operands(convention, op, order.behind, fences, roles)]
    return (*turns, Turn("user", tuple(pieces) + ((convention.last + tail,) if tail else ())))


def _chat_turns(
    convention: Convention, op: Op[Any], order: Order, fences: Sequence[str], roles: Sequence[Role]
) -> tuple[Turn, ...]:
    """The turns of a call that reads a chat."""
    shown = examples_text(convention, op).strip() if op.examples else ""
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
        labels = labels_of(op)
        shared = document_label(convention, labels, place)
        head, tail = around(convention, shared, shared, fences[place])
        pieces += [head, place, tail]
        if labels[place] != shared:
            pieces.append(Around(convention.about.replace("{label}", labels[place]) + "\n"))
    return pieces


def _operands(
    convention: Convention,
    op: Op[Any],
    places: Sequence[int],
    fences: Sequence[str],
    roles: Sequence[Role] = (),
) -> list[str | int]:
    pieces: list[str | int] = []
    labels = labels_of(op)
    for place in places:
        head, tail = around(convention, op.operands[place].name, labels[place], fences[place])
        sentence = "" if fences[place] else sentence_of(convention, op, place)
        if sentence:
            head, tail = map(Around, f"{sentence} ".split("{text}"))
        pieces += [head, *(_paragraphs(op, roles) if place == op.chat else [place]), tail]
    return pieces


def _paragraphs(op: Op[Any], roles: Sequence[Role]) -> list[str | int]:
    """A chat as one text, for a frame that has no place for its turns."""
    pieces: list[str | int] = []
    for number, role in enumerate(roles):
        said = Around(("\n\n" if number else "") + f"{role}: ")
        pieces += [said, len(op.operands) + number]
    return pieces


def _examples(convention: Convention, op: Op[Any], head: Sequence[str | int]) -> list[Turn]:
    """Examples as turns, the constants in the first, or in each where nothing else is asked."""
    turns: list[Turn] = []
    tail = _lines(convention, op, convention.reminder)
    start = "".join(str(piece) for piece in head)
    for each in op.examples:
        asked = start + written_operands(convention, op, each.operands)
        turns.append(Turn("user", (Shown(asked + (convention.last + tail if tail else "")),)))
        turns.append(Turn("assistant", (Shown(each.answer),)))
        start = "" if op.operands or tail else start
    return turns


def examples_text(convention: Convention, op: Op[Any]) -> str:
    """The examples of an op as one text."""
    head, _, rest = convention.example.partition("{operands}")
    between, _, tail = rest.partition("{answer}")
    head, between = _apart(op, head), _apart(op, between)
    written = (
        head + written_operands(convention, op, each.operands) + between + each.answer + tail
        for each in op.examples
    )
    return "".join(written) + convention.now


def _apart(op: Op[Any], said: str) -> str:
    """A label of ours, as none of the operands has it."""
    taken = {label.casefold() for label in labels_of(op)}
    return f"The {said[:1].lower()}{said[1:]}" if said.strip(": \n").casefold() in taken else said


def written_operands(convention: Convention, op: Op[Any], contents: Sequence[str]) -> str:
    """Operands as one text, in the order that they have behind the constants."""
    order = order_of(convention, op, ())
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
