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
   but not in an answer that has to be a choice, a number or JSON. Nor can such an answer begin
   with ``<reasoning>``, as some models are told to; a text can, and keeps it.
4. Halves of a surrogate pair that come in two pieces are one character again.
5. What a model's frame puts before its answer is taken out where the text begins with it, and the
   end of that frame behind the answer, too.
6. A tag is that tag in any case and with blanks in it: models write it letter by letter. Marks that
   are one token have one writing.
7. Thoughts that a thought holds in the same tag are part of it. A tag that it only speaks of is
   none: in quotes, or one of more than there are ends; then the first end is the thought's.
8. Where the text is cut into pieces changes nothing: what may become a mark is held back.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

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
    "<unused94>thought": "<unused95>",  # MedGemma
    "<|START_THINKING|>": "<|END_THINKING|>",  # Cohere
    "<|open|>think<|sep|>": "<|close|>think<|sep|>",  # Kimi
    "◁think▷": "◁/think▷",
    "<|begin_of_thought|>": "<|end_of_thought|>",  # Sky-T1
}
_HEADS = {  # of an answer, and what ends it
    "<|start|>assistant": "",
    "<|channel|>final<|message|>": "<|return|>",
    "<|START_RESPONSE|>": "<|END_RESPONSE|>",
    "<|START_TEXT|>": "<|END_TEXT|>",
    "<|open|>response<|sep|>": "<|close|>response<|sep|>",
    "<|begin_of_solution|>": "<|end_of_solution|>",
}
_TAG = re.compile("</?[a-z:]+>")
_BLANKS = "[ \\t]{0,8}"
_QUOTE = "[`\"']"
_SPACE = re.compile(r"\s*")
_HALF = re.compile("[\ud800-\udfff]")


def _letters(mark: str) -> list[str]:
    """The patterns of a mark's characters, in their order (rule 6)."""
    if not _TAG.fullmatch(mark):
        return [re.escape(letter) for letter in mark]
    found: list[str] = []
    for letter in mark:
        either = f"[{letter}{letter.upper()}]" if letter.isalpha() else letter
        found += [_BLANKS, ">"] if letter == ">" else [either]
        found += [_BLANKS] if letter in "</" else []
    return found


def _pattern(mark: str) -> str:
    return "".join(_letters(mark))


def _begun(mark: str) -> str:
    """The pattern of every beginning of a mark, the empty one, too."""
    return reduce(lambda rest, letter: f"(?:{letter}{rest})?", reversed(_letters(mark)), "")


@dataclass(frozen=True, slots=True)
class _Frame:
    """How a thought begins, what stands at its borders, and what may become one of these.

    The borders: its tag in quotes, its tag once more (``opens``), its end.
    """

    opening: re.Pattern[str]
    border: re.Pattern[str]
    held: re.Pattern[str]


def _frame(mark: str, end: str) -> _Frame:
    again, ends, ending = _pattern(mark), _pattern(end), _begun(end)
    border, held = (
        f"{_QUOTE}{again}|(?P<opens>{again})|(?P<ends>{ends})",
        f"{_QUOTE}?{_begun(mark)}",
    )
    if not _TAG.fullmatch(mark):
        border, held = f"(?P<opens>(?!))|(?P<ends>{ends})", ending
    return _Frame(*map(re.compile, (again, border, f"(?:{held}|{ending})\\Z")))


_FRAMES = [_frame(mark, end) for mark, end in _MARKS.items()]
_MAY_BEGIN = re.compile("|".join(map(_begun, (*_MARKS, *_HEADS))))
_OPENING = re.compile("|".join(map(_pattern, _MARKS)))
_END = _pattern("</think>")
_ANY_END = re.compile(_END + r"\s*")
_LONE_END = re.compile(rf"(?:\A|\n){_END}[ \t]*(?:\n\s*|\Z)")
_WRITTEN = ("{", "[", '"', "`", "~")  # how JSON begins, and a fence around it
_TOLD = re.compile(r"\s*<(reasoning|scratchpad)>(.*?)</\1>\s*", re.DOTALL | re.IGNORECASE)


def _blanks_to(text: str, start: int) -> int:
    """Where the blanks from there on end."""
    found = _SPACE.match(text, start)
    return found.end() if found else start


class Thinking:
    """The thought and the answer of one text. ``close`` ends it."""

    def __init__(self) -> None:
        self.thought: list[str] = []
        self.unended = self.met = False  # met: one was opened in the text, if only an empty one
        self._held = ""
        self._at = 0  # what was held before it is known
        self._frame: _Frame | None = None  # of the thought that the text is in
        self._open = 0  # tags of that thought without their end
        self._first = 0  # pieces of it up to its first end, where that left some open
        self._nests = True
        self._thought = False  # one has ended, and the blanks behind it are nothing
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
            if not (self._end_of_thought(self._frame) if self._frame else self._begins()):
                self._take(self._at)
                return ""
        kept = next((n for n in range(len(self._tail), 0, -1) if self._may_end(n)), 0)
        return self._take(max(self._at, len(self._held) - kept))

    def _may_end(self, length: int) -> bool:
        """Whether the last characters may be the beginning of what ends an answer."""
        return self._held.endswith(self._tail[:length])

    def close(self) -> str:
        """What was held back and is answer after all."""
        held, self._held, self._half = self._held + self._half, "", ""
        if self._frame:
            self.thought.append(held)
            if self._first:
                return self._again()
            self.unended = True
            return ""
        return "" if self._answers and held == self._tail else held

    def _again(self) -> str:
        """The answer behind the first end: more tags were opened than ended (rule 7)."""
        rest = "".join(self.thought[self._first :])
        del self.thought[self._first - 1 :]
        self._nests = False
        self._end()
        return self.feed(rest) + self.close()

    def _end(self) -> None:
        self._frame, self._open, self._first, self._thought = None, 0, 0, True

    def _take(self, stop: int) -> str:
        """What was held up to there and is not known yet."""
        found, self._held, self._at = self._held[self._at : stop], self._held[stop:], 0
        return found

    def _begins(self) -> bool:
        """Whether it is known now how the text begins."""
        held, start = self._held, _blanks_to(self._held, self._at)
        for frame in _FRAMES:
            if found := frame.opening.match(held, start):
                self._at, self._frame, self._open = found.end(), frame, 1
                self.met = True
                return True
        for head, tail in _HEADS.items():
            if held.startswith(head, start):
                self._at, self._tail, self._thought = start + len(head), tail, False
                return True
        self._at = start if self._thought else self._at
        self._answers = _MAY_BEGIN.fullmatch(held, start) is None
        return self._answers

    def _end_of_thought(self, frame: _Frame) -> bool:
        """Whether the thought has ended; what follows may be another one."""
        for found in frame.border.finditer(self._held, self._at):
            self.thought.append(self._held[self._at : found.start()])
            self._at = found.end()
            self._open += bool(found["opens"] and self._nests) - bool(found["ends"])
            if not self._open:
                self._end()
                return True
            self.thought.append(found[0])
            if found["ends"]:
                self._first = self._first or len(self.thought)
        held = frame.held.search(self._held, self._at)  # no more than may become a mark
        self.thought.append(self._take(held.start() if held else len(self._held)))
        return False

    def _whole(self, text: str) -> str:
        """The text with pairs of surrogates joined; half a pair waits for the other (rule 4)."""
        if self._half:
            text, self._half = self._half + text, ""
        if _HALF.search(text) is None:
            return text
        if "\ud800" <= text[-1] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def unopened(text: str, free: Callable[[], bool]) -> tuple[str, str]:
    """(thought, answer) of a text whose thought the chat template has opened (rule 3).

    free: tells whether the answer may be any text.
    """
    if "<" not in text:
        return "", text
    typed = not free()
    if typed and (told := _TOLD.match(text)):
        return told[2], text[told.end() :]
    anywhere = typed and not text.lstrip().startswith(_WRITTEN)
    end = (_ANY_END if anywhere else _LONE_END).search(text)
    if end is None or _OPENING.search(text[: end.start()]):
        return "", text
    return text[: end.start()], text[end.end() :]
