"""Tokenizers and chat frames: how text becomes the ids a model reads.

Theory of operation
-------------------
A ``Tokenizer`` turns text into ids; no text can turn into a special token. A ``Frame`` is a chat
template taken apart once, with markers in the places of the instruction and the data: the
template's own pieces are trusted and may hold special tokens, what goes between them never can.

Rules
1. ``encode`` is total on encodable text and never yields a special token's id.
2. Frames render a template in jinja's sandbox, once, when a processor is opened.
3. Pieces are tokenised apart, so a prompt's constant part has the same ids in every call.
4. Where a word's ids do not depend on its neighbours, words are remembered: the same ids, at a
   tenth of the time, since most words have been met before.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

from nlpu.errors import MissingPart, described

_SYSTEM, _USER = "NLPU-SYSTEM-5f1dc0", "NLPU-USER-5f1dc0"
# The tag that marks what an assistant says, for training; its body is printed as it stands.
_SPOKEN = re.compile(r"(?<=\{%)([-+]?\s*)(end)?generation(?=\s*[-+]?%\})")
_PLAIN = "{{ messages[0].content }}\n\n{{ messages[1].content }}\n\nAnswer:\n"


class Tokenizer(Protocol):
    """Text to ids. ``exact`` is False where counts are only an upper bound."""

    exact: bool

    def encode(self, text: str, special: bool = False) -> list[int]:
        """The ids of a text; with ``special`` (trusted text only) markers become their tokens."""
        ...


class FileTokenizer:
    """A tokenizer.json, through the ``tokenizers`` library (rule 4)."""

    exact = True

    def __init__(self, directory: Path) -> None:
        # Imported here: only processors with local tokenizer files need the library.
        from tokenizers import Tokenizer as Library

        path = directory / "tokenizer.json"
        if not path.is_file():
            raise MissingPart(
                f"no tokenizer.json in {directory}; name a model directory that has one"
            )
        self._trusted = Library.from_file(str(path))
        self._plain = Library.from_file(str(path))
        self._plain.encode_special_tokens = True  # rule 1
        self._words: dict[str, list[int]] = {}
        self._by_word = _is_cut_at_spaces(json.loads(path.read_text())) and all(
            self._worded(probe) == self._whole(probe) for probe in PROBES
        )

    def encode(self, text: str, special: bool = False) -> list[int]:
        if special:
            ids: list[int] = self._trusted.encode(text, add_special_tokens=False).ids
            return ids
        return self._worded(text) if self._by_word else self._whole(text)

    def _whole(self, text: str) -> list[int]:
        ids: list[int] = self._plain.encode(text, add_special_tokens=False).ids
        return ids

    def _worded(self, text: str) -> list[int]:
        words, known = _WORD_BORDER.split(text), self._words
        try:
            return list(chain.from_iterable(map(known.__getitem__, words)))
        except KeyError:  # some are new
            return self._learned(words)

    def _learned(self, words: list[str]) -> list[int]:
        ids: list[int] = []
        known = self._words
        for word in words:
            found = known.get(word)
            if found is None:
                if len(known) >= _MOST_WORDS:
                    known.clear()
                found = self._whole(word)
                if len(word) <= _LONGEST_WORD:
                    known[word] = found
            ids += found
        return ids


def tokenizer_in(directory: Path) -> FileTokenizer:
    """The tokenizer of a model's directory, read once a process as long as its file is the same.

    Raises MissingPart.
    """
    file = directory / "tokenizer.json"
    return _read(directory, file.stat().st_mtime_ns if file.is_file() else 0)


@lru_cache(maxsize=4)
def _read(directory: Path, changed_ns: int) -> FileTokenizer:
    return FileTokenizer(directory)


_WORD_BORDER = re.compile(r"(?<=\S)(?= \S)")
_MOST_WORDS, _LONGEST_WORD = 50_000, 40
PROBES = (
    "It's 3 o'clock, isn't it?  Two  spaces, 1,234.5 and\ttabs \n\n new lines \u00a0 or\u00a0hard",
    "café naïve 中文 ภา 😀 \u200b a\u0301 ... -- (so) <|x|> </s> [INST] #1 x=y*z",
)


def _is_cut_at_spaces(config: dict[str, Any]) -> bool:
    """Whether a word's ids depend on the word alone, a word being cut before its one space.

    So it is for byte-level BPE whose pieces are found by a regular expression, as GPT-2's are: no
    piece goes from a letter over one space to the next. Added tokens must not reach over it either.
    """
    pre = config.get("pre_tokenizer") or {}
    steps = pre.get("pretokenizers", [pre])
    byte_level = any(step.get("type") == "ByteLevel" for step in steps) and all(
        step.get("type") in ("ByteLevel", "Digits", "Split") and not step.get("add_prefix_space")
        for step in steps
    )
    normal = (config.get("normalizer") or {"type": "NFC"}).get("type") == "NFC"
    added = config.get("added_tokens") or []
    alone = not any(
        " " in token["content"] or token.get("lstrip") or token.get("rstrip") for token in added
    )
    return byte_level and normal and alone and (config.get("model") or {}).get("type") == "BPE"


class CharTokenizer:
    """One token a character: exact, lossless, and free. For the scripted engine."""

    exact = True

    def encode(self, text: str, special: bool = False) -> list[int]:
        return list(map(ord, text))


class ByteBound:
    """No tokenizer at all: one token a byte, an upper bound for byte-level vocabularies."""

    exact = False

    def encode(self, text: str, special: bool = False) -> list[int]:
        return list(text.encode())


@dataclass(frozen=True, slots=True)
class Frame:
    """The constant ids around an instruction and its data.

    before instruction between data after [think_open thinking think_close] answer
    """

    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]
    think_open: tuple[int, ...] = ()
    think_close: tuple[int, ...] = ()
    thinks: bool = False


def frame_from_template(tokenizer: Tokenizer, template: str | None, **names: Any) -> Frame:
    """Take a chat template apart. ``None`` (a base model) gives a plain layout."""
    text = _rendered(template or _PLAIN, names)
    before, rest = text.split(_SYSTEM, 1)
    between, after = rest.split(_USER, 1)
    thinks = template is not None and "<think>" in template
    opened = after.rstrip().endswith("<think>")
    return Frame(
        tuple(tokenizer.encode(before, special=True)),
        tuple(tokenizer.encode(between, special=True)),
        tuple(tokenizer.encode(after, special=True)),
        tuple(tokenizer.encode("<think>\n", special=True)) if thinks and not opened else (),
        tuple(tokenizer.encode("\n</think>\n\n", special=True)) if thinks else (),
        thinks,
    )


def _rendered(template: str, names: dict[str, Any]) -> str:
    """The template on two marker messages; without a system role both go to the user's turn."""
    # Imported here: rendering a template is the only use of jinja2, and only real models have one.
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str) -> None:
        raise TemplateError(message)

    def now(form: str) -> str:  # templates print dates; prompts must be stable
        return "today"

    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    env.globals.update(raise_exception=refuse, strftime_now=now)
    env.filters["tojson"] = lambda item, **_: json.dumps(item, ensure_ascii=False)
    template = _SPOKEN.sub(lambda tag: tag[1] + ("endif" if tag[2] else "if true"), template)
    system = {"role": "system", "content": _SYSTEM}
    user = {"role": "user", "content": _USER}
    both = {"role": "user", "content": f"{_SYSTEM}\n\n{_USER}"}
    for messages in ([system, user], [both]):
        try:
            compiled = env.from_string(template)
            text: str = compiled.render(messages=messages, add_generation_prompt=True, **names)
        except Exception as error:  # a template is a program: it may raise anything
            why = described(error)
            continue
        if text.count(_SYSTEM) == 1 and text.count(_USER) == 1:
            return text
        why = "it drops or repeats its messages"
    raise MissingPart(f"the model's chat template cannot be used: {why}")


def load_frame(directory: Path, tokenizer: Tokenizer) -> Frame:
    """The frame of the model whose files lie in a directory."""
    config_path = directory / "tokenizer_config.json"
    config = json.loads(config_path.read_text()) if config_path.is_file() else {}
    template_path = directory / "chat_template.jinja"
    template = template_path.read_text() if template_path.is_file() else config.get("chat_template")
    if isinstance(template, list):  # several named templates: the default one
        template = next((t["template"] for t in template if t.get("name") == "default"), None)
    names = {key: _token(config.get(key)) for key in ("bos_token", "eos_token", "pad_token")}
    if template is None and config.get("add_bos_token"):  # what a template would write itself
        template = names["bos_token"] + _PLAIN
    return frame_from_template(tokenizer, template, **names)


def _token(entry: Any) -> str:
    return entry.get("content", "") if isinstance(entry, dict) else (entry or "")
