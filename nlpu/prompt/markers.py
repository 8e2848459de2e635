"""Markers: special tokens of a chat model that stand in an operand, broken up and mended.

Theory of operation
-------------------
A chat server turns ``<|im_start|>`` in a message into the token that begins a turn. So each such
text in an operand gets an invisible mark behind its first letter, and the model reads letters. What
a model copies it copies with the mark; ``mended`` takes it out of replies again.

Which texts are tokens the model's own files say; where there are none, the usual ones are taken,
and the engine's ``weaker`` says that it does not know them all.

Rules
1. ``mended(broken(text)) == text`` for every text, also for one that has such marks of its own.
2. Nothing else of a text changes: ``<div>``, ``a<b`` and ``List<String>`` are no tokens.
3. A reply is mended only if something in its prompt was broken.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

MARK = "\u200b"
_SHAPES = (
    r"<\|[^|<>\s]{1,60}\|>",
    r"<｜[^｜<>\s]{1,60}｜>",
    r"</?(?:s|bos|eos|pad|unk|mask|start_of_turn|end_of_turn|begin_of_text|end_of_text)>",
    r"</?(?:think|tools?|tool_call|tool_response)>",
    r"<<SYS>>|<</SYS>>",
    r"\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_RESULTS|TOOL_CALLS|THINK|CLS|SEP|MASK)\]",
)


class Markers:
    """The texts that are tokens, as one expression; each begins with one of ``firsts``."""

    def __init__(self, shapes: Iterable[str], firsts: str = "<[") -> None:
        letters = re.escape(firsts)
        self._tokens = re.compile("|".join(shapes) or "(?!)")
        self._own = re.compile(f"[{letters}](?={MARK})")
        self._marked = re.compile(f"(?<=[{letters}]){MARK}")
        written = "".join(rf"|(?<=(?i:\\u{ord(letter):04x}))" for letter in firsts)
        self._escaped = re.compile(rf"(?:(?<=[{letters}]){written})(?:\\u200[bB]|{MARK})")
        self._any = re.compile(f"[{letters}]{MARK}")

    def broken(self, text: str) -> str:
        """The text with a mark in each token, and behind each first letter that has one already."""
        if MARK in text:
            text = self._own.sub(_with_mark, text)
        return self._tokens.sub(_with_mark, text)

    def mended(self, text: str, escaped: bool = False) -> str:
        """The text without what ``broken`` has put into it; ``escaped``: it is JSON."""
        text = self._escaped.sub("", text) if escaped else text
        return self._marked.sub("", text) if MARK in text else text

    def mending(self, take: Callable[[str], None]) -> Callable[[str], None]:
        """As ``mended``, for a text that comes in pieces."""
        last = ""

        def piece(text: str) -> None:
            nonlocal last
            fresh = self.mended(last + text)[len(last) :]
            last = text[-1:] or last
            if fresh:
                take(fresh)

        return piece

    def in_any(self, texts: Iterable[str]) -> bool:
        """Whether one of the texts has been broken (rule 3)."""
        return any(MARK in text and self._any.search(text) for text in texts)


def _with_mark(found: re.Match[str]) -> str:
    return found[0][0] + MARK + found[0][1:]


USUAL = Markers(_SHAPES)


def of_tokens(tokens: Sequence[str]) -> Markers:
    """The markers of a model whose tokens are known."""
    known = sorted({token for token in tokens if len(token) > 1}, key=len, reverse=True)
    firsts = "".join(sorted({token[0] for token in known})) or "<"
    return Markers(map(re.escape, known), firsts)


def markers_in(directory: str | None) -> Markers:
    """The markers of the model whose ``tokenizer.json`` is in a directory; else the usual ones."""
    try:
        file = Path(directory or "") / "tokenizer.json"
        added = json.loads(file.read_text("utf-8"))["added_tokens"] if directory else None
        tokens = [entry["content"] for entry in added or () if _is_marker(entry)]
    except (OSError, ValueError, LookupError, TypeError):
        return USUAL
    return USUAL if added is None else of_tokens(tokens)


def _is_marker(entry: dict[str, str]) -> bool:
    """Whether an added token is one of control, and not words or blanks the model likes whole."""
    content = entry["content"].strip()
    shaped = (content[:1], content[-1:]) in {("<", ">"), ("[", "]")}
    return bool(content) and (shaped or bool(entry.get("special")))
