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
}
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
        self._half = ""

    def feed(self, text: str) -> str:
        """What of the text is answer, as far as that is known."""
        text = self._whole(text)
        if self._answers or not text:
            return text
        self._held += text
        while not self._answers:
            if not (self._end_of_thought() if self._until else self._begins()):
                return ""
        answer, self._held = self._held, ""
        return answer

    def close(self) -> str:
        """What was held back and is answer after all."""
        held, self._held = self._held, ""
        if self._until:
            self.thought.append(held)
            self.unended = True
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
        if any(mark.startswith(text) for mark in _MARKS):
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
