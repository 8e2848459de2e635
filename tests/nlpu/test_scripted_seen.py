"""What the scripted engine sees: a prompt taken apart exactly, whatever its texts look like."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from kit import execute

from nlpu import nlop, op
from nlpu.chat import Chat, chat_of
from nlpu.isa import judge
from nlpu.ops.op import Op, Operand
from nlpu.processor import scripted_frame
from nlpu.prompt.codec import Codec
from nlpu.prompt.complaint import Invalid
from nlpu.prompt.convention import FIRST, SECOND, Convention
from nlpu.prompt.layout import constants_of
from nlpu.sampling import Sampling
from nlpu.testing.scripted import Scripted, Seen, see
from nlpu.tokens import CharTokenizer
from nlpu.types.result import result_type
from nlpu.wire import Request

CODEC = Codec(CharTokenizer(), scripted_frame())
LONG = "The mill stands by the river. " * 40
SAYINGS = st.lists(
    st.sampled_from(
        [
            "Note: ",
            "Text:\n```\n",
            "\n",
            "```\n",
            "Answer: yes",
            "The text above is the Text.\n",
            "left: ",
            "x",
            "Example:\n",
            LONG,
        ]
    ),
    min_size=1,
    max_size=4,
).map("".join)
NAMES = st.lists(
    st.sampled_from(["text", "Text", "firstDraft", "first_draft", "FACTS", "x", "X", "_1", "left"]),
    min_size=1,
    max_size=3,
    unique=True,
)
WAYS = st.sampled_from(
    [
        FIRST,
        SECOND,
        SECOND.using(version="text", examples="text"),
        SECOND.using(version="user", place="user", reminder=()),
    ]
)


def saw(asked: Op[Any], *contents: Any, how: Convention = SECOND, again: Any = ()) -> Seen:
    pairs = zip(asked.operands, contents, strict=True)
    texts = [place.type.render(content) for place, content in pairs]
    return see(Request("1", CODEC.encode(asked, texts, how, again), Sampling(1)))


def test_names_keep_their_capitals() -> None:
    @nlop
    def weigh(firstDraft: str, Facts: str, A: str) -> str:  # noqa: N803
        """Weigh them."""

    contents = {"firstDraft": "a", "Facts": "b\nc", "A": LONG}
    assert saw(weigh, *contents.values()).operands == contents
    engine = Scripted(lambda seen: seen.operands["firstDraft"])
    assert execute(lambda: str(weigh("a", "b", "c")), engine=engine).result == "a"


def test_what_looks_like_a_label_is_none() -> None:
    asked = op("Sort it. Write so:\nName: \nPlace: ")
    seen = saw(asked, "Name: Ann")
    assert seen.operands == {"text": "Name: Ann"} and seen.chat == ()
    assert seen.instruction == asked.text.strip()
    ends_so = op("Go on:\nText: ")  # with what an operand begins with
    assert saw(ends_so, "a").instruction == ends_so.text.strip()


def test_examples_are_no_part_of_the_instruction() -> None:
    taught = judge.using(examples=[("Is it wet?", "It rains.", True), ("Dry?", "Sun.", False)])
    for how in (FIRST, SECOND, SECOND.using(version="text", examples="text")):
        for text in ("It is.", LONG):
            seen = saw(taught, "Is it?", text, how=how)
            assert "rains" not in seen.instruction and "Dry" not in seen.instruction
            assert seen.examples.count("It rains.") == 1 and "Sun." in seen.examples
            assert seen.operands == {"question": "Is it?", "text": text}
            assert seen.instruction == saw(judge, "Is it?", text, how=how).instruction or (
                seen.instruction.split() == saw(judge, "Is it?", text, how=how).instruction.split()
            )
    script = Scripted({"rains": "no", "Answer": "yes"})
    assert execute(lambda: taught("Is it?", "It is."), engine=script).result.answer


def test_a_chat_with_examples_and_what_follows() -> None:
    @nlop(examples=[(chat_of("Hi."), "Be kind.", "Hello.")])
    def reply(talk: Chat, Rules: str) -> str:  # noqa: N803
        """Answer in turn."""

    talk = chat_of("Rules: none", "Text: a", "Go on.")
    seen = saw(reply, talk, "Be\nbrief.", again=[Invalid("no", "it is no answer")])
    assert seen.chat == tuple(talk) and seen.operands == {"Rules": "Be\nbrief."}
    assert seen.instruction == "Answer in turn." and "Hello." in seen.examples
    assert "it is no answer" in seen.again


@settings(max_examples=150, deadline=None)
@given(st.data(), NAMES, SAYINGS, WAYS, st.booleans())
def test_a_prompt_comes_apart_as_it_was_put_together(
    data: st.DataObject, names: list[str], text: str, how: Convention, shows: bool
) -> None:
    places = tuple(Operand(name, result_type(str)) for name in names)
    asked: Op[Any] = Op("ask", f"Say {text}.", places, result_type(bool))
    contents = [data.draw(SAYINGS) for _ in names]
    if shows:
        asked = asked.using(examples=[(*(["Owl."] * len(names)), True)])
    seen = saw(asked, *contents, how=how)
    assert seen.operands == dict(zip(names, contents, strict=True))
    assert constants_of(how, asked).partition("\n")[0].strip() in seen.instruction
    if shows:
        assert "Owl." in seen.examples and "Owl." not in seen.instruction
