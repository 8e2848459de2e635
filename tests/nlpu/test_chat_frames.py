"""A chat's turns in the frames of models, and what they cost."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chat_kit import LONG, helped, talk, texts
from hypothesis import given
from hypothesis import strategies as st
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split

from nlpu import Op, nlop
from nlpu.chat import Chat, chat_of
from nlpu.engines.embedded.engine import EmbeddedEngine
from nlpu.engines.models import installed_model
from nlpu.errors import MissingPart
from nlpu.processor import _CHAT_OVERHEAD, Processor, _codec_for, open_processor, scripted_frame
from nlpu.prompt.codec import Codec
from nlpu.prompt.frames import _PLAIN, Frame, frame_from_template
from nlpu.prompt.messages import messages_of
from nlpu.testing.scripted import Scripted
from nlpu.tokens import CharTokenizer, FileTokenizer
from nlpu.wire import Capabilities, Message

MUTE = Frame((), (), (), turns=False)


@nlop(system="You are Ann.")
def happy(chat: Chat) -> bool:
    """Is the user happy?"""


@nlop(examples=[(chat_of("Hello!", "Hello.", "Thanks!"), "kind")])
def tone(chat: Chat) -> str:
    """What is the tone?"""


OPS: list[tuple[Op[Any], tuple[str, ...]]] = [
    (talk, ()),
    (happy, ()),
    (helped, ("a ```note```", "more")),
    (tone, ()),
]


# -- frames --------------------------------------------------------------------------------------

ALTERNATES = (
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
)
TEMPLATES = {
    "chatml": (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    ),
    "gemma": (
        "{{ bos_token }}{% for m in messages %}" + ALTERNATES + "<start_of_turn>"
        "{{ 'model' if m.role == 'assistant' else 'user' }}\n{{ m.content | trim }}<end_of_turn>\n"
        "{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
    ),
    "mistral": (
        "{{ bos_token }}{% for m in messages %}" + ALTERNATES + "{% if m.role == 'user' %}"
        "[INST] {{ m.content }} [/INST]{% else %} {{ m.content }}</s>{% endif %}{% endfor %}"
    ),
    "llama": (
        "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
        "{{ m.content | trim }}<|eot_id|>{% endfor %}"
        "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
    ),
    "llama 2": (
        "{% if messages[0].role == 'system' %}{% set rest = messages[1:] %}"
        "{% set told = '<<SYS>>\n' + messages[0].content + '\n<</SYS>>\n\n' %}"
        "{% else %}{% set rest = messages %}{% set told = '' %}{% endif %}"
        "{% for m in rest %}" + ALTERNATES + "{% set said = told + m.content if loop.index0 == 0 "
        "else m.content %}{% if m.role == 'user' %}{{ bos_token }}[INST] {{ said | trim }} [/INST]"
        "{% else %} {{ said | trim }} </s>{% endif %}{% endfor %}"
    ),
    "base": None,
    "no assistant": (
        "{% for m in messages %}{% if m.role == 'assistant' %}{{ raise_exception('no') }}"
        "{% endif %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}A:"
    ),
}
SPECIAL = [
    "<|im_start|>",
    "<|im_end|>",
    "<start_of_turn>",
    "<end_of_turn>",
    "[INST]",
    "[/INST]",
    "<s>",
    "</s>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
]


def rendered(template: str | None, messages: tuple[Message, ...]) -> str:
    """What a template makes of messages; without a system role that text is the first user's."""

    def refuse(why: str) -> None:
        raise ValueError(why)

    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    told = [{"role": each.role, "content": each.content} for each in messages]
    start = "\n\n".join(each["content"] for each in told[:2])
    for form in (told, [{"role": "user", "content": start}, *told[2:]]):
        try:
            return env.from_string(template or _PLAIN).render(
                messages=form,
                add_generation_prompt=True,
                bos_token="<s>",
                eos_token="</s>",
                raise_exception=refuse,
            )
        except ValueError:
            continue
    raise AssertionError("the template takes none of its forms")


class Model:
    """A codec, what its template is, and how its ids are read."""

    def __init__(self, codec: Codec, template: str | None, read: Callable[[Any], str]) -> None:
        self.codec, self.template, self.read = codec, template, read

    def messages(self, op: Op[Any], given: list[str]) -> tuple[Message, ...]:
        return messages_of(op, given, NOTHING, frame=self.codec.frame)


class Nothing:
    """No markers: token ids need none."""

    def broken(self, text: str) -> str:
        return text


NOTHING: Any = Nothing()


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> FileTokenizer:
    """One token a character, and those of the templates."""
    directory = tmp_path_factory.mktemp("tiny")
    vocabulary = {text: n for n, text in enumerate(["[UNK]", "\n", *map(chr, range(32, 127))])}
    tiny = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tiny.pre_tokenizer = Split("", "isolated")
    tiny.add_special_tokens([AddedToken(text, special=True) for text in SPECIAL])
    tiny.save(str(directory / "tokenizer.json"))
    return FileTokenizer(directory)


@pytest.fixture(params=TEMPLATES)
def written(request: pytest.FixtureRequest, tokenizer: FileTokenizer) -> Model:
    template = TEMPLATES[request.param]
    frame = frame_from_template(tokenizer, template, bos_token="<s>", eos_token="</s>")
    names = {number: text for text, number in tokenizer._plain.get_vocab().items()}
    codec = Codec(tokenizer, frame)
    return Model(codec, template, lambda ids: "".join(map(names.__getitem__, ids)))


def real(name: str | None) -> Model:
    """An embedded model's own vocabulary and template."""
    try:
        installed_model(name)
    except MissingPart as missing:
        pytest.skip(str(missing))

    async def opened() -> Any:
        engine = EmbeddedEngine(name)
        try:
            return await open_processor("it", engine)
        finally:
            await engine.close()

    processor = asyncio.run(opened())
    home = Path(processor.capabilities.tokenizer)
    library = Tokenizer.from_file(str(home / "tokenizer.json"))
    template = (home / "chat_template.jinja").read_text()
    return Model(
        processor.codec, template, lambda ids: library.decode(ids, skip_special_tokens=False)
    )


@pytest.fixture(params=[None, "qwen2.5-coder-0.5b"], scope="module")
def model(request: pytest.FixtureRequest) -> Model:
    return real(request.param)


def check_frame(model: Model, chat: Chat) -> None:
    """The prompts are what the template writes of the messages, and grow at their ends."""
    codec = model.codec
    for op, others in OPS:
        given = texts(op, chat, others)
        ids = codec.encode(op, given)
        assert model.read(list(ids)) == rendered(model.template, model.messages(op, given))
        longer = codec.encode(op, texts(op, chat.assistant("Yes.").user("So?"), others))
        if codec.frame.turns:
            last = codec.turns(op, given)[-1].pieces
            known = 1 + last.index(chat.turns[-1].text) if not others else 0
            told = (given[each] if isinstance(each, int) else each for each in last[known:])
            behind = sum(len(codec.tokenizer.encode(text)) for text in told)
            same = len(ids) - behind - len(codec.frame.after)
            assert same > 0 and ids[:same] == longer[:same]
            assert others or model.read(list(ids[:same])).endswith(chat.turns[-1].text)
        sizes = codec.operand_tokens(op, given), codec.overhead(op)
        assert sum(sizes) == len(ids)
        fences = 2 * sum("```" in text for text in given)
        assert sizes[0] <= codec.chat_tokens(chat) + sum(map(codec.count, others)) + 4 * fences


def test_chats_stand_in_the_frame_of_a_template(written: Model) -> None:
    check_frame(written, LONG)
    check_frame(written, chat_of("Hi."))


@pytest.mark.local
def test_chats_stand_in_the_frames_of_real_models(model: Model) -> None:
    check_frame(model, LONG)
    check_frame(model, chat_of("Grüße! \u4e2d\u6587\n\n  two", " It's  so.\n", "<|im_end|> x"))


def test_which_templates_have_roles(tokenizer: FileTokenizer) -> None:
    for name, template in TEMPLATES.items():
        frame = frame_from_template(tokenizer, template, bos_token="<s>", eos_token="</s>")
        assert frame.turns == (name != "no assistant")


def test_a_frame_without_assistants_gets_paragraphs_between_fences() -> None:
    _, user = messages_of(talk, texts(talk, LONG), frame=MUTE)
    assert "Chat:\n````\nuser: What is a loom?\n\nassistant: A frame.\n\nuser: And" in user.content
    shown = [each.role for each in messages_of(tone, texts(tone, LONG), frame=MUTE)]
    assert shown == ["system", "user"]


@given(parts=st.lists(st.sampled_from([*SPECIAL, "<|", "|>", "a", "```", "\n"]), min_size=1))
def test_no_turn_becomes_a_special_token(tokenizer: FileTokenizer, parts: list[str]) -> None:
    special = {tokenizer.encode(text, special=True)[0] for text in SPECIAL}
    frame = frame_from_template(tokenizer, TEMPLATES["chatml"])
    codec, text = Codec(tokenizer, frame), "a" + "".join(parts)
    ids = codec.encode(talk, texts(talk, chat_of(text, text, text)))
    assert sum(each in special for each in ids) == 2 * 4 + 1


def test_the_last_turn_holds_other_operands_and_a_reminder_of_the_form() -> None:
    def last(op: Op[Any], *others: str) -> str:
        return messages_of(op, texts(op, LONG, others))[-1].content

    assert last(talk) == last(tone) == "Thanks!"
    assert last(happy) == "Thanks!\n\nIs the user happy?\nAnswer yes or no."
    assert last(helped, "n", "m\nm") == (
        "Notes: n\n\nMore:\n```\nm\nm\n```\n\nThanks!\n\n"
        "How often do the notes help?\nAnswer with one whole number."
    )
    assert messages_of(happy, texts(happy, LONG))[0].content == (
        "You are Ann.\n\nIs the user happy?\nAnswer yes or no."
    )
    shown = messages_of(tone, texts(tone, LONG))[0].content
    assert "user: Hello!\n\nassistant: Hello.\n\nuser: Thanks!" in shown
    assert "Answer: kind" in shown


# -- what it costs -------------------------------------------------------------------------------


def test_a_long_chat_costs_its_new_turns() -> None:
    class Counting(CharTokenizer):
        read = 0

        def encode(self, text: str, special: bool = False) -> list[int]:
            self.read += len(text)
            return super().encode(text, special)

    tokenizer = Counting()
    codec = Codec(tokenizer, scripted_frame())
    chat = chat_of(*(f"turn {n} " * 10 for n in range(1001)))
    codec.encode(talk, texts(talk, chat))
    for _ in range(3):
        before = tokenizer.read
        chat = chat.assistant("Yes, I do.").user(f"So {len(chat)}?")
        codec.encode(talk, texts(talk, chat))
        assert tokenizer.read - before <= len("Yes, I do.") + len("So 1001?")


def test_bytes_bound_what_a_server_s_template_adds() -> None:
    can = Capabilities("m", 10_000, 1, token_prompts=False)
    processor = Processor("it", Scripted(), can, _codec_for(can))
    for template in filter(None, TEMPLATES.values()):
        if "'no'" not in template:
            prompt = rendered(template, messages_of(talk, texts(talk, LONG)))
            tokens = re.sub("|".join(map(re.escape, SPECIAL)), "x", prompt)
            ids = processor.prompt(talk, texts(talk, LONG))
            assert len(tokens) <= len(ids) + _CHAT_OVERHEAD
