"""The codec: prompts as token ids, fences, limits, and chat frames."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit import count, echo, execute, merge
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split

from nlpu import Op, op
from nlpu.errors import EmptyReply, Malformed, MissingPart, Truncated
from nlpu.processor import scripted_frame
from nlpu.prompt.codec import Codec
from nlpu.prompt.convention import FIRST
from nlpu.prompt.decode import decode, to_last_sentence
from nlpu.prompt.fences import fence_for
from nlpu.prompt.frames import Frame, frame_from_template, load_frame
from nlpu.prompt.markers import USUAL
from nlpu.prompt.messages import messages_of
from nlpu.sampling import Sampling
from nlpu.testing.scripted import Say, see
from nlpu.tokens import CharTokenizer, FileTokenizer
from nlpu.wire import Reply, Request, Usage

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
FENCY = st.lists(st.sampled_from(["`", "``", "```", "\n", "text:\n", "x", "````\n"])).map("".join)
CODEC = Codec(CharTokenizer(), scripted_frame())


def reply(text: str, finish: Any = "stop") -> Reply:
    return Reply(text, finish, Usage(1, len(text)))


# -- fences --------------------------------------------------------------------------------------


@given(FENCY | TEXT)
def test_no_operand_holds_its_own_fence(text: str) -> None:
    fence = fence_for(text)
    assert set(fence) == {"`"} and len(fence) >= 3
    assert fence not in text


@given(FENCY | TEXT, FENCY | TEXT)
def test_operands_come_back_as_they_went_in(left: str, right: str) -> None:
    seen = see(Request("1", CODEC.encode(merge, [left, right]), Sampling(1)))
    assert seen.operands == {"left": left, "right": right}
    assert merge.text in seen.instruction


@given(FENCY | TEXT, FENCY | TEXT)
def test_prompts_depend_on_op_and_contents_alone(one: str, other: str) -> None:
    for contents in ([one, other], [other, one]):
        ids = CODEC.encode(merge, contents)
        assert ids == Codec(CharTokenizer(), scripted_frame()).encode(merge, contents)


@given(TEXT | st.integers(0, 1600).map("x".__mul__))
def test_a_prompt_has_no_more_tokens_than_overhead_and_count(text: str) -> None:
    if "```" not in text:
        assert len(CODEC.encode(echo, [text])) <= CODEC.overhead(echo) + CODEC.count(text)


# -- special tokens ------------------------------------------------------------------------------

SPECIAL = ["<|system|>", "<|user|>", "<|end|>", "<think>", "</think>"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> FileTokenizer:
    """A tiny tokenizer: one token a character, and five special ones."""
    directory = tmp_path_factory.mktemp("tiny")
    vocabulary = {text: n for n, text in enumerate(["[UNK]", "\n", *map(chr, range(32, 127))])}
    tiny = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tiny.pre_tokenizer = Split("", "isolated")
    tiny.add_special_tokens([AddedToken(text, special=True) for text in SPECIAL])
    tiny.save(str(directory / "tokenizer.json"))
    return FileTokenizer(directory)


def ids_of(tokenizer: FileTokenizer, text: str) -> list[int]:
    return tokenizer.encode(text, special=True)


@given(parts=st.lists(st.sampled_from([*SPECIAL, "<|", "|>", "a", "```", "\n"])))
def test_no_text_becomes_a_special_token(tokenizer: FileTokenizer, parts: list[str]) -> None:
    special = {ids_of(tokenizer, text)[0] for text in SPECIAL}
    assert len(special) == 5
    assert not special & set(tokenizer.encode("".join(parts)))
    codec = Codec(tokenizer, Frame((), (), ()))
    assert not special & set(codec.encode(echo, ["".join(parts)]))


def test_markers_are_escaped_where_there_are_no_token_ids() -> None:
    text = "a <|im_start|>system <s> [INST] </s> 1 < 2"
    escaped = USUAL.broken(text)
    assert not re.search(r"<\||<s>|</s>|\[INST", escaped)
    assert escaped.replace("\u200b", "") == text and "1 < 2" in escaped
    system, user = messages_of(echo, [text])
    assert user.role == "user" and "<|im_start|>" not in user.content
    (user,) = messages_of(echo, [text * 99])  # a document stands first, before all of ours
    assert user.role == "user" and "<|im_start|>" not in user.content
    system, user = messages_of(echo, [text], convention=FIRST)
    assert (system.role, user.role) == ("system", "user")


# -- frames --------------------------------------------------------------------------------------

CHAT = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|user|>A:{% endif %}"
)
NO_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{% for m in messages %}<|user|>{{ m.content }}<|end|>{% endfor %}A:"
)


def test_a_frame_is_the_template_taken_apart(tokenizer: FileTokenizer) -> None:
    frame = frame_from_template(tokenizer, CHAT)
    assert frame.before == tuple(ids_of(tokenizer, "<|system|>"))
    assert frame.between == tuple(ids_of(tokenizer, "<|end|><|user|>"))
    assert frame.after == tuple(ids_of(tokenizer, "<|end|><|user|>A:"))
    assert not frame.thinks


def test_without_a_system_role_both_go_to_the_user(tokenizer: FileTokenizer) -> None:
    frame = frame_from_template(tokenizer, NO_SYSTEM)
    assert frame.before == tuple(ids_of(tokenizer, "<|user|>"))
    assert frame.between == tuple(ids_of(tokenizer, "\n\n"))
    assert frame.after == tuple(ids_of(tokenizer, "<|end|>A:"))


def test_a_template_that_thinks(tokenizer: FileTokenizer) -> None:
    closing = tuple(ids_of(tokenizer, "\n</think>\n\n"))
    frame = frame_from_template(tokenizer, CHAT + "{# <think> #}")
    assert frame.thinks and frame.think_close == closing
    assert frame.think_open == tuple(ids_of(tokenizer, "<think>\n"))
    opened = frame_from_template(tokenizer, CHAT + "<think>\n")
    assert opened.thinks and opened.think_open == () and opened.think_close == closing


def test_what_marks_an_answer_for_training_changes_nothing(tokenizer: FileTokenizer) -> None:
    said = " {%- if true -%} {{ m.content }} {% endif %}"
    marked = said.replace("if true", "generation").replace("endif", "endgeneration")
    frames = [
        frame_from_template(tokenizer, CHAT.replace("{{ m.content }}", part))
        for part in (said, marked)
    ]
    assert frames[0] == frames[1]


def test_a_base_model_gets_a_plain_layout(tokenizer: FileTokenizer) -> None:
    frame = frame_from_template(tokenizer, None)
    assert frame.before == () and not frame.thinks
    assert frame.after == tuple(ids_of(tokenizer, "\n\nAnswer:"))


def test_templates_that_cannot_be_used(tokenizer: FileTokenizer, tmp_path: Any) -> None:
    for template in (
        "{{ messages[0].role }}",
        "{{ messages }}{{ messages }}",
        "{{ ''.x.y }}",
        "{% no such tag %}",
        "{{ 1 / 0 }}",
    ):
        with pytest.raises(MissingPart, match="chat template"):
            frame_from_template(tokenizer, template)
    with pytest.raises(MissingPart, match=r"tokenizer\.json"):
        FileTokenizer(tmp_path)


def test_frames_are_found_beside_the_tokenizer(tokenizer: FileTokenizer, tmp_path: Any) -> None:
    assert not load_frame(tmp_path, tokenizer).before
    (tmp_path / "tokenizer_config.json").write_text(
        '{"chat_template": [{"name": "default", "template": "{{ bos_token }}{{ messages[0].content'
        ' }}|{{ messages[1].content }}"}], "bos_token": {"content": "<|system|>"}}'
    )
    frame = load_frame(tmp_path, tokenizer)
    assert frame.before == tuple(ids_of(tokenizer, "<|system|>"))
    (tmp_path / "chat_template.jinja").write_text(CHAT)
    assert load_frame(tmp_path, tokenizer).after[-2:] == tuple(ids_of(tokenizer, "A:"))


# -- what is remembered --------------------------------------------------------------------------


def test_what_is_remembered_has_a_bound() -> None:
    class Counting(CharTokenizer):
        read = 0

        def encode(self, text: str, special: bool = False) -> list[int]:
            self.read += len(text)
            return super().encode(text, special)

    tokenizer = Counting()
    codec = Codec(tokenizer, scripted_frame())
    for n in range(20):
        for _ in range(3):
            codec.count(f"{n}" * 50_000)
        assert sum(len(piece.ids) for piece in codec._pieces.values()) <= 1 << 18
    assert tokenizer.read == 10 * 50_000 + 10 * 100_000
    for n in range(600):
        codec.encode(op(f"Say {n}.", str), ["x"])
    assert len(codec._skeletons) <= 512


# -- replies -------------------------------------------------------------------------------------


def test_decode_gives_typed_contents() -> None:
    assert decode(count, reply(" 12\n")).content == 12
    assert decode(echo, reply("  text ")).text == "text"
    assert not decode(echo, reply("text")).trimmed


@pytest.mark.parametrize(
    ("asked", "answer", "error"),
    [
        (echo, reply("   "), EmptyReply),
        (echo, reply("unfinished", "length"), Truncated),
        (echo, reply("\ud800"), Malformed),
        (count, reply("twelve"), Malformed),
        (count, reply("12", "length"), Truncated),  # one more digit may have been on its way
        (count, reply("", "length"), Truncated),
        (op("List", list[str]), reply('["a', "length"), Truncated),
        (op("List", list[str]), reply('["a"', "stop"), Malformed),
    ],
)
def test_decode_errors(asked: Op[Any], answer: Reply, error: type[Exception]) -> None:
    with pytest.raises(error) as found:
        decode(asked, answer)
    assert asked.name in str(found.value) or "is not a" in str(found.value)


@pytest.mark.parametrize(
    ("result", "said", "told"),
    [
        (float, "-1.333333333333", True),
        (float, "1.5", False),
        (dict[str, str], '{"id":"12345678901', False),
        (str, "12345678901", False),
    ],
)
def test_a_number_without_end_is_told_as_that(result: Any, said: str, told: bool) -> None:
    asked: Op[Any] = op("How much?", result, max_tokens=9)
    with pytest.raises(Truncated) as caught:
        decode(asked, Reply(said, "length", Usage(1, 9)))
    assert ("a number without end" in str(caught.value)) is told


def test_a_whole_record_at_the_limit_is_whole() -> None:
    assert decode(op("List", list[str]), reply('["a"]', "length")).content == ["a"]
    assert decode(op("Is it?", bool), reply("yes", "length")).content is True


def test_trim_keeps_whole_sentences_and_says_so() -> None:
    asks = op("Tell", at_limit="trim", max_tokens=20)
    found = decode(asks, reply("One. Two! And a thi", "length"))
    assert (found.text, found.trimmed) == ("One. Two!", True)
    assert to_last_sentence("no sentence end") == "no sentence"
    assert to_last_sentence("word") == "word"
    three = asks.using(max_tokens=6)
    run = execute(lambda: three("x"), engine=Say("One. Two! And a third one."))
    assert (run.result, run.receipt.trimmed) == ("One. Two!", 1)


@given(TEXT)
def test_what_is_trimmed_is_a_beginning(text: str) -> None:
    assert text.startswith(to_last_sentence(text))


def test_a_reply_that_is_no_text_is_not_blamed_on_a_source() -> None:
    with pytest.raises(Malformed, match=r"echo: the reply .*U\+D800.* another draw") as caught:
        decode(echo, reply("so \ud800"))
    assert "decode the source" not in str(caught.value)
