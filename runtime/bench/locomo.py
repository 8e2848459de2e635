"""LoCoMo conversations: their turns as pages, their questions, and how a look-up is scored."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from nlpu import Page
from nlpu.label import USER
from nlpu.memory.firmware import Found
from nlpu.memory.store.levels import rough_tokens

CUTS = (5, 10, 25)
CONTEXT_TOKENS = 1000


class Question(NamedTuple):
    """A question, the turns that hold its evidence, and its answer."""

    text: str
    evidence: frozenset[str]
    answer: str


class Talk(NamedTuple):
    """One file: its turns' pages by turn name, and its questions."""

    name: str
    pages: dict[str, Page]
    questions: list[Question]


class Result(NamedTuple):
    recall: dict[int, list[float]]  # by cut, one figure for each question
    ms: list[float]
    answered: list[float]  # share of the answer's words in the context


def read_talk(path: Path) -> Talk:
    """The pages and questions of one file."""
    talk = json.loads(path.read_text(encoding="utf-8"))
    pages = {}
    for number, session in enumerate(talk["sessions"], 1):
        start, when = 0, _seconds(session["when"])
        for turn in session["turns"]:
            text = f"{turn['speaker']}: {turn['text']}"
            stop = start + len(text)
            pages[turn["id"]] = Page(
                text, source=f"session {number}", start=start, stop=stop, time_s=when, label=USER
            )
            start = stop + 1
    questions = [
        Question(entry["question"], frozenset(entry["evidence"]), str(entry.get("answer", "")))
        for entry in talk["qa"]
        if entry["evidence"]
    ]
    return Talk(path.name, pages, questions)


def _seconds(when: str) -> float:
    """ "1:56 pm on 8 May, 2023" in seconds since 1970."""
    moment = datetime.strptime(when.upper(), "%I:%M %p ON %d %B, %Y")
    return moment.replace(tzinfo=UTC).timestamp()


def score(result: Result, question: Question, turns: list[str]) -> None:
    """Note how much of a question's evidence is among the first turns."""
    for cut in CUTS:
        share = len(question.evidence.intersection(turns[:cut])) / len(question.evidence)
        result.recall[cut].append(share)


def context(found: list[Found]) -> str:
    """The first pages, up to a number of tokens."""
    texts, used = [], 0
    for each in found:
        used += rough_tokens(each.page.text)
        if used > CONTEXT_TOKENS:
            break
        texts.append(each.page.text)
    return "\n".join(texts)


def words_there(answer: str, context: str) -> float:
    """The share of the answer's words that the context has."""
    words, there = words_of(answer), set(words_of(context))
    return sum(word in there for word in words) / len(words) if words else 1.0


def words_of(text: str) -> list[str]:
    """Words, in small letters."""
    return re.findall(r"\w+", text.lower())
