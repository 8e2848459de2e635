"""Tokenizers: how text becomes the ids a model reads.

Theory of operation
-------------------
A ``Tokenizer`` turns text into ids; no text can turn into a special token.

Rules
1. ``encode`` is total on encodable text and never yields a special token's id.
2. Where a word's ids do not depend on its neighbours, words are remembered: the same ids, at a
   tenth of the time, since most words have been met before.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

from nlpu.errors import MissingPart


class Tokenizer(Protocol):
    """Text to ids. ``exact`` is False where counts are only an upper bound."""

    exact: bool

    def encode(self, text: str, special: bool = False) -> list[int]:
        """The ids of a text; with ``special`` (trusted text only) markers become their tokens."""


class FileTokenizer:
    """A tokenizer.json, through the ``tokenizers`` library (rule 2)."""

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
        self._by_word = _is_cut_at_spaces(json.loads(path.read_text("utf-8"))) and all(
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
