"""Tells a chat model's thinking from its answer, where its server sends both as one text.

Theory of operation
-------------------
A model that thinks writes ``<think>...</think>`` before it answers. Servers with a parser for it
send the thought in a field of its own; others leave it in the text. ``Thinking`` is fed the text in
pieces and gives what is answer: it holds back a beginning that may become a mark.

Rules
1. Only a beginning of the text is thinking: a mark later on is the model's own words.
2. A thought without an end is no answer; ``unended`` says so.
3. Where a chat template has opened the thought, the text has only its end: what stands before the
   first ``</think>`` that is alone on its line is thought, if nothing opens one. It is known only
   in the end, so a stream has shown it by then. Within a line it may be an answer's own words,
   but not in an answer that has to be a choice, a number or JSON.
4. Halves of a surrogate pair that come in two pieces are one character again.
5. What a model's frame puts before its answer is taken out where the text begins with it, and the
   end of that frame behind the answer, too.
"""

from __future__ import annotations

import re

_MARKS = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "<seed:think>": "</seed:think>",
    "<mm:think>": "</mm:think>",
    "[THINK]": "[/THINK]",
    "<|channel|>analysis<|message|>": "<|end|>",  # gpt-oss
    "<|channel|>commentary<|message|>": "<|end|>",
    "<|channel>thought": "<channel|>",  # Gemma
    "<|START_THINKING|>": "<|END_THINKING|>",  # Cohere
    "<|open|>think<|sep|>": "<|close|>think<|sep|>",  # Kimi
    "◁think▷": "◁/think▷",
}
_HEADS = {  # of an answer, and what ends it
    "<|start|>assistant": "",
    "<|channel|>final<|message|>": "<|return|>",
    "<|START_RESPONSE|>": "<|END_RESPONSE|>",
    "<|START_TEXT|>": "<|END_TEXT|>",
    "<|open|>response<|sep|>": "<|close|>response<|sep|>",
}
_BEGINNINGS = (*_MARKS, *_HEADS)
_HALF = re.compile("[\ud800-\udfff]")
_ANY_END = re.compile(r"</think>\s*")
_LONE_END = re.compile(r"(?:\A|\n)</think>[ \t]*(?:\n\s*|\Z)")


class Thinking:
    """The thought and the answer of one text. ``close`` ends it."""

    def __init__(self) -> None:
        self.thought: list[str] = []
        self.unended = False
        self._held = ""
        self._until = ""
        self._answers = False
        self._tail = ""  # what may stand behind the answer and is none of it
        self._half = ""

    def feed(self, text: str) -> str:
        """What of the text is answer, as far as that is known."""
        text = self._whole(text)
        if (self._answers and not self._tail) or not text:
            return text
        self._held += text
        while not self._answers:
            if not (self._end_of_thought() if self._until else self._begins()):
                return ""
        kept = next((n for n in range(len(self._tail), 0, -1) if self._may_end(n)), 0)
        stop = len(self._held) - kept
        answer, self._held = self._held[:stop], self._held[stop:]
        return answer

    def _may_end(self, length: int) -> bool:
        """Whether the last characters may be the beginning of what ends an answer."""
        return self._held.endswith(self._tail[:length])

    def close(self) -> str:
        """What was held back and is answer after all."""
        held, self._held = self._held, ""
        if self._until:
            self.thought.append(held)
            self.unended = True
            held = ""
        if self._answers and held == self._tail:
            held = ""
        half, self._half = self._half, ""
        return held + half

    def _begins(self) -> bool:
        """Whether it is known now how the text begins."""
        text = self._held.lstrip()
        for mark, end in _MARKS.items():
            if text.startswith(mark):
                self._held, self._until = text[len(mark) :], end
                return True
        for head, tail in _HEADS.items():
            if text.startswith(head):
                self._held, self._tail = text[len(head) :], tail
                return True
        if any(mark.startswith(text) for mark in _BEGINNINGS):
            return False
        self._answers = True
        return True

    def _end_of_thought(self) -> bool:
        """Whether the thought has ended; what follows may be another one."""
        thought, end, rest = self._held.partition(self._until)
        if not end:
            self._keep_end()
            return False
        self.thought.append(thought)
        self._held, self._until = rest.lstrip(), ""
        return True

    def _keep_end(self) -> None:
        """Hold no more than may be a beginning of the mark: thoughts are long."""
        most = len(self._until) - 1
        self.thought.append(self._held[:-most])
        self._held = self._held[-most:]

    def _whole(self, text: str) -> str:
        """The text with pairs of surrogates joined; half a pair waits for the other (rule 4)."""
        if self._half:
            text, self._half = self._half + text, ""
        if _HALF.search(text) is None:
            return text
        if "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def unopened(text: str, free: bool) -> tuple[str, str]:
    """(thought, answer) of a text whose thought the chat template has opened (rule 3).

    free: the answer may be any text.
    """
    anywhere = not free and not text.lstrip().startswith(("{", "["))
    end = (_ANY_END if anywhere else _LONE_END).search(text)
    if end is None or any(mark in text[: end.start()] for mark in _MARKS):
        return "", text
    return text[: end.start()], text[end.end() :]
