"""The codec: from an op and its operands to a prompt. Pure; so is the way back (``decode``).

Theory of operation
-------------------
``layout`` says, by a convention, where an op's texts and operands stand; here they become ids. What
is the same in every call of an op is tokenised once (a *skeleton*), an operand once for as long as
it is remembered; a prompt is their pieces joined. A piece also keeps the bytes that are sent for
it, so a document that was sent before costs its copying alone. The turns of a chat are pieces too:
a long one that goes on costs its new turns.

Rules
1. No I/O, no clock, no state but memo tables of bounded size; equal input gives equal output.
2. Operand text is tokenised as plain text: it cannot become a special token.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache, partial
from typing import Any

from nlpu.chat import Chat
from nlpu.ops.op import Op
from nlpu.prompt.complaint import Invalid
from nlpu.prompt.convention import DEFAULT, Convention
from nlpu.prompt.fences import fences_for
from nlpu.prompt.frames import Frame
from nlpu.prompt.ids import Piece, Prompt
from nlpu.prompt.layout import (
    Texts,
    Turn,
    again_of,
    documents_of,
    order_of,
    spread,
    turns_of,
    written_again,
)
from nlpu.prompt.outline import outline_of
from nlpu.tokens import Tokenizer

_MEMO_ENTRIES, _MEMO_PIECES, _MEMO_TOKENS = 512, 1 << 13, 1 << 18


class Codec:
    """Encodes for one tokenizer and frame. Prompts are tuples of token ids."""

    def __init__(self, tokenizer: Tokenizer, frame: Frame) -> None:
        self.tokenizer = tokenizer
        self.frame = frame
        self._skeletons: dict[Any, tuple[Piece, tuple[tuple[int, Piece], ...]]] = {}
        self._overheads: dict[tuple[bytes, bytes], int] = {}
        self._pieces: dict[str, Piece] = {}
        self._bone = lru_cache(_MEMO_ENTRIES)(Piece)  # between a chat's texts: often the same ids
        self._kept_tokens = 0

    def encode(
        self,
        op: Op[Any],
        contents: Sequence[str],
        convention: Convention = DEFAULT,
        invalid: Sequence[Invalid] = (),
    ) -> Prompt:
        """The whole prompt, up to where the model starts to write.

        invalid: what the model has answered already that was no result; it is a last piece.
        """
        pieces = self._asked(op, contents, convention)
        if invalid:
            end = len(pieces[-1].ids) - len(self.frame.after)
            pieces[-1] = Piece(pieces[-1].ids[:end])
            pieces.append(Piece(self._again(again_of(convention, op, invalid), convention)))
        return Prompt(pieces, partial(outline_of, convention, op, contents, self.frame.turns))

    def _asked(self, op: Op[Any], contents: Sequence[str], convention: Convention) -> list[Piece]:
        """The pieces of a prompt, constants and operands in turn."""
        if op.chat >= 0:
            return [*self._chat(op, spread(op, contents), convention)]
        fences = fences_for(convention, op, contents)
        before = documents_of(convention, op, contents)
        first, rest = self._skeleton(convention, op, before, fences)
        pieces = [first]
        for place, bone in rest:
            pieces += (self._piece(contents[place]), bone)
        return pieces

    def _again(self, turns: Sequence[Turn], convention: Convention) -> tuple[int, ...]:
        """The ids of turns that follow on a user's."""
        ids: list[int] = []
        if not self.frame.turns:
            ids += self.tokenizer.encode(written_again(convention, turns))
        else:
            for number, turn in enumerate(turns, 2):
                ids += self.start(turn, number)
                ids += self.tokenizer.encode("".join(map(str, turn.pieces)))
        return (*ids, *self.frame.after)

    def turns(
        self, op: Op[Any], contents: Sequence[str], convention: Convention = DEFAULT
    ) -> tuple[Turn, ...]:
        """What ``encode`` writes, as turns of text; a chat's texts are in it, as theirs."""
        given = spread(op, contents)
        turns = self._turns(op, given, convention, fences_for(convention, op, contents))
        if not given.roles:
            return turns
        known = range(len(op.operands))
        return tuple(
            Turn(role, tuple(p if isinstance(p, str) or p in known else given.texts[p] for p in ps))
            for role, ps in turns
        )

    def _turns(
        self, op: Op[Any], given: Texts, convention: Convention, fences: Sequence[str]
    ) -> tuple[Turn, ...]:
        before = documents_of(convention, op, given.texts[: len(op.operands)])
        order = order_of(convention, op, before)
        return turns_of(convention, op, order, fences, roles=given.roles, spoken=self.frame.turns)

    def _chat(
        self, op: Op[Any], given: Texts, convention: Convention, fences: Sequence[str] = ()
    ) -> Iterator[Piece]:
        """The pieces of a prompt with a chat: what is the same in two is one piece in both."""
        fences = fences or fences_for(convention, op, given.texts[: len(op.operands)])
        bone: list[int] = []
        for number, turn in enumerate(self._turns(op, given, convention, fences)):
            bone += self.start(turn, number)
            for piece in turn.pieces:
                if isinstance(piece, str):
                    bone += self._piece(piece).ids
                else:
                    yield from (self._bone(tuple(bone)), self._piece(given.texts[piece]))
                    bone = []
        yield self._bone((*bone, *self.frame.after))

    def _skeleton(
        self, convention: Convention, op: Op[Any], before: tuple[int, ...], fences: tuple[str, ...]
    ) -> tuple[Piece, tuple[tuple[int, Piece], ...]]:
        """The piece before the operands, then each operand's place with the piece behind it."""
        key = (convention.digest, op.digest, before, fences)
        found = self._skeletons.get(key)
        if found is None:
            if len(self._skeletons) >= _MEMO_ENTRIES:
                self._skeletons.clear()
            order = order_of(convention, op, before)
            first, *rest = self._bones(
                turns_of(convention, op, order, fences, roles=(), spoken=self.frame.turns)
            )
            places = (*order.before, *order.behind)
            found = self._skeletons[key] = first, tuple(zip(places, rest, strict=True))
        return found

    def _bones(self, turns: Sequence[Turn]) -> list[Piece]:
        bones: list[list[int]] = [[]]
        for number, turn in enumerate(turns):
            bones[-1] += self.start(turn, number)
            for piece in turn.pieces:
                if isinstance(piece, int):
                    bones.append([])
                else:
                    bones[-1] += self.tokenizer.encode(piece)
        bones[-1] += self.frame.after
        return [Piece(tuple(bone)) for bone in bones]

    def start(self, turn: Turn, number: int) -> tuple[int, ...]:
        """What the frame writes before the turn of that number."""
        frame = self.frame
        if turn.role == "assistant":
            return frame.said
        if number == 0:
            return frame.before if turn.role == "system" else frame.opening
        return frame.between if number == 1 else frame.following

    def _piece(self, text: str) -> Piece:
        piece = self._pieces.get(text)
        if piece is None:
            piece = Piece(tuple(self.tokenizer.encode(text)))
            self._kept_tokens += len(piece.ids)
            if len(self._pieces) >= _MEMO_PIECES or self._kept_tokens > _MEMO_TOKENS:
                self._pieces.clear()
                self._kept_tokens = len(piece.ids)
            self._pieces[text] = piece
        return piece

    def overhead(self, op: Op[Any], convention: Convention = DEFAULT) -> int:
        """Most tokens of the op's prompt that are not operand text, with fences of usual length.

        Of a chat it counts what the frame writes around one turn.
        """
        key = (convention.digest, op.digest)
        found = self._overheads.get(key)
        if found is None:
            ways = self._bare(op, convention)
            found = max(sum(len(piece.ids) for piece in each) for each in ways)
            if len(self._overheads) >= _MEMO_ENTRIES:
                self._overheads.clear()
            self._overheads[key] = found
        return found

    def _bare(self, op: Op[Any], convention: Convention) -> Iterator[Iterable[Piece]]:
        """The op's prompts without any operand text, in each order."""
        every = tuple(range(len(op.operands)))
        if op.chat >= 0:
            bare = Texts([""] * (len(every) + 1), ("user",))
            yield self._chat(op, bare, convention, ("```",) * len(every))
            return
        ways = [(), *((one,) for one in every), every] if convention.document else [()]
        for before in ways:  # fences are longer than none
            first, rest = self._skeleton(convention, op, before, ("```",) * len(every))
            yield [first, *(piece for _, piece in rest)]

    def operand_tokens(
        self, op: Op[Any], contents: Sequence[str], convention: Convention = DEFAULT
    ) -> int:
        """Tokens of the op's prompt that are its operands, with what longer fences take more."""
        return len(self.encode(op, contents, convention)) - self.overhead(op, convention)

    def count(self, text: str) -> int:
        """Tokens of a text as an operand."""
        return len(self._piece(text).ids)

    def chat_tokens(self, chat: Chat) -> int:
        """Tokens of a chat as an operand, with the most that stands around each turn."""
        frame = self.frame
        around = max(len(frame.said), len(frame.following))
        if not frame.turns:
            around = self.count("\n\nassistant: ")
        return sum(self.count(turn.text) + around for turn in chat)
