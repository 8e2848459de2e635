"""Prompts: a sequence of ids in pieces that compares as a tuple and is joined only when asked."""

from __future__ import annotations

import json

from nlpu.isa import answer
from nlpu.processor import scripted_frame
from nlpu.prompt.codec import Codec
from nlpu.prompt.ids import Piece, Prompt, json_of, pieces_of
from nlpu.tokens import CharTokenizer

PIECES = (Piece((1, 2)), Piece(()), Piece((3,)), Piece((4, 5, 6)))
IDS = (1, 2, 3, 4, 5, 6)


def test_a_prompt_is_a_sequence_of_its_ids() -> None:
    prompt = Prompt(PIECES)
    assert len(prompt) == 6 and prompt and not Prompt()
    assert (*prompt,) == prompt.ids == IDS
    assert (prompt[0], prompt[-1], prompt[1:3]) == (1, 6, (2, 3))
    assert 3 in prompt and 7 not in prompt and prompt.index(4) == 3
    assert repr(prompt) == repr(IDS)


def test_a_prompt_compares_as_a_tuple() -> None:
    prompt = Prompt(PIECES)
    equal = [IDS, Prompt([Piece(IDS)])]
    assert equal == [prompt, prompt] and prompt in equal
    assert prompt != IDS[:-1] and prompt != Prompt(PIECES[:1]) and prompt != list(IDS)
    assert {prompt: 1}[IDS] == 1 and hash(prompt) == hash(IDS)


def test_its_bytes_are_the_json_of_its_ids() -> None:
    for ids in (Prompt(PIECES), IDS, Prompt(), Prompt([Piece(())])):
        assert json.loads(json_of(ids)) == list(ids)
    assert pieces_of(IDS)[0].ids == IDS and pieces_of(Prompt(PIECES)) == PIECES


def test_sending_joins_no_ids() -> None:
    codec = Codec(CharTokenizer(), scripted_frame())
    one, two = (codec.encode(answer, (asked, "long " * 500)) for asked in ("Who?", "Where?"))
    assert len(one) and json_of(one) != json_of(two)
    assert one._ids is None and two._ids is None
    long = max(one.pieces, key=lambda piece: len(piece.ids))
    assert any(piece is long for piece in two.pieces)  # and so are its bytes
