"""Layouts at their borders: no operands, operands whose labels would be one, what is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit import execute

from nlpu import nlop, op
from nlpu.chat import Chat
from nlpu.errors import BadOp
from nlpu.isa import judge
from nlpu.ops.op import Op, Operand
from nlpu.processor import scripted_frame
from nlpu.prompt.codec import Codec
from nlpu.prompt.convention import FIRST, SECOND, Convention
from nlpu.prompt.fences import labels_of
from nlpu.prompt.frames import Frame
from nlpu.prompt.layout import constants_of
from nlpu.prompt.messages import messages_of
from nlpu.testing.scripted import Scripted
from nlpu.tokens import CharTokenizer
from nlpu.types.result import result_type

CODEC = Codec(CharTokenizer(), scripted_frame())
LONG = "The mill stands by the river. " * 40
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True)


def said(asked: Op[Any], contents: Sequence[str] = (), **more: Any) -> list[tuple[str, str]]:
    """The messages of a call."""
    return [(turn.role, turn.content) for turn in messages_of(asked, contents, **more)]


# -- no operands ---------------------------------------------------------------------------------

poem = op("Write a line on rain.", operands=0)


def test_what_is_asked_of_nothing_stands_in_the_users_turn() -> None:
    assert said(poem) == [("user", "Write a line on rain.")]
    brief = poem.using(system="Be brief.")
    assert said(brief) == [("system", "Be brief."), ("user", "Write a line on rain.")]
    engine = Scripted("It rains.")
    assert execute(lambda: str(poem()), engine=engine).result == "It rains."
    assert engine.seen[0].instruction == "Write a line on rain."
    coin = op("Is it heads?", bool, operands=0)  # here the reminder stands there, as always
    assert said(coin)[1] == ("user", "Answer yes or no.")


def test_examples_of_nothing_are_answers_to_the_same() -> None:
    taught = poem.using(examples=[("Drip.",), ("Drop.",)])
    asked = ("user", "Write a line on rain.")
    assert said(taught) == [asked, ("assistant", "Drip."), asked, ("assistant", "Drop."), asked]
    silent = Frame((), (), (), turns=False)
    (only,) = said(taught, frame=silent)
    assert only[1].startswith("Write a line on rain.\n\nExample:\nAnswer: Drip.\n\n")


@given(
    st.sampled_from([str, bool, int, list[str]]),
    st.booleans(),
    st.booleans(),
    st.sampled_from(
        [
            FIRST,
            SECOND,
            SECOND.using(version="x", reminder=()),
            SECOND.using(version="y", reminder=(), place="user"),
            SECOND.using(version="z", examples="text"),
        ]
    ),
)
def test_no_turn_is_ever_empty(out: Any, has_system: bool, shows: bool, how: Convention) -> None:
    asked = op("Say it.", out, operands=0, system="Be brief." if has_system else None)
    right = {str: "a", bool: True, int: 1}.get(out, ["a"])
    asked = asked.using(examples=[(right,)] if shows else [])
    for frame in (None, Frame((), (), (), turns=False)):
        turns = said(asked, convention=how, frame=frame)
        assert all(text.strip() for _, text in turns) and turns[-1][0] == "user"
    whole = "".join(chr(i) for i in CODEC.encode(asked, [], how) if i < 0x110000)
    assert "Say it." in whole
    assert CODEC.overhead(asked, how) >= len(CODEC.encode(asked, [], how))


# -- labels ----------------------------------------------------------------------------------------


def called(*names: str) -> Op[str]:
    places = tuple(Operand(name, result_type(str)) for name in names)
    return Op("compare", "Compare them.", places, result_type(str))


@given(st.lists(NAMES, min_size=1, max_size=4, unique=True))
def test_labels_of_an_op_differ(names: list[str]) -> None:
    """The law: whatever the names are, and whichever is a document."""
    asked = called(*names)
    assert len(set(labels_of(asked))) == len(names)
    for place in range(len(names)):
        contents = [LONG if place == other else "short" for other in range(len(names))]
        lines = said(asked, contents)[-1][1].split("\n\n")
        labels = [line.partition(": ")[0] for line in lines if ": " in line]
        assert len(labels) == len(set(labels)) == len(names)


def test_operands_that_would_have_one_label_have_their_names() -> None:
    assert said(called("text", "Text"), ["a", "b"])[1][1] == "text: a\n\nText: b\n\n"
    assert said(called("text", "other"), ["a", "b"])[1][1] == "Text: a\n\nOther: b\n\n"


def test_a_document_is_not_called_as_another_operand_is() -> None:
    (turn,) = said(called("draft", "text"), [LONG, "short"])
    assert turn[1].startswith(f"Draft: {LONG}\n\nCompare") and "\n\nText: short" in turn[1]
    assert "The text above" not in turn[1]
    (turn,) = said(judge, ["Is it?", LONG])
    assert turn[1].startswith(f"Text: {LONG}")
    (turn,) = said(called("draft", "other"), [LONG, "short"])
    assert "The text above is the Draft." in turn[1]


# -- what is ours and not the program's ------------------------------------------------------------


@pytest.mark.parametrize("out", [Chat, list[Chat], Chat | None])
def test_a_model_is_not_told_our_docstring(out: Any) -> None:
    constants = constants_of(SECOND, op("Go on with it.", out))
    for ours in ("Turns of a user", "Raises", "Who spoke"):
        assert ours not in constants
    assert "Answer with JSON of this form: " in constants


def test_names_that_are_one_are_refused() -> None:
    with pytest.raises(BadOp, match="operand names must differ"):
        called("text", "text")

    @nlop
    def fine(text: str, Text: str) -> str:  # noqa: N803
        """Compare them."""

    assert labels_of(fine) == ["text", "Text"]


def test_an_examples_answer_is_not_called_as_an_operand_is() -> None:
    def shown(*names: str) -> str:
        texts = tuple(Operand(name, result_type(str)) for name in names)
        taught = Op(
            "graded", "Is it right?", texts, result_type(bool), examples=[("Faro", "x", False)]
        )
        return said(taught, ["Lisbon", LONG])[-1][1]  # behind a document examples are text

    assert "\n\nExample:\nPlace: Faro\n\nText: x\n\nAnswer: no\n\n" in shown("place", "text")
    for name in ("answer", "Answer"):
        assert "\n\nExample:\nAnswer: Faro\n\nText: x\n\nThe answer: no\n\n" in shown(name, "text")
    assert "\n\nThe example:\nExample: Faro\n\nText: x\n\nAnswer: no" in shown("example", "text")
