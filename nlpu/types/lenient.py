"""What else a reply can only mean that is not written as its type is: in a fence, with a full stop.

Theory of operation
-------------------
Engines that decode under a constraint give exactly the type's text. Chat servers that take none
give what models write: the right JSON in a code fence, ``Yes.``, ``Red``, ``3.0`` for a whole
number. ``readings`` gives what such a text can stand for; ``ResultType.parse`` takes the first that
is of its type. What stands for a JSON value in bare words is the matter of ``bare``.

Rules
1. A text is read as it stands first; only what is not of its type is read in another way.
2. No reading guesses: one fence or none, one choice of these letters or none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from json import JSONDecoder

_BLOCK = re.compile(r"^[ \t]*(`{3,}|~{3,})[^\n`]*\n(.*?)^[ \t]*\1[ \t]*$", re.MULTILINE | re.DOTALL)
_LINE = re.compile(r"(`{3,})(?:[A-Za-z0-9_+-]*\s)?(.*?)\1", re.DOTALL)
_AROUND = ("**", "__", "*", "_", "`", '"', "'")
_TRUTHS = ("bool", "judgement")
_MOST_MARKS = 256  # in a text that is looked at for a fence
_MOST_PLACES = 64  # beside a fence where JSON may begin: each is looked at
_DECODER = JSONDecoder()
_WHOLE = re.compile(r"([+-]?[0-9]+)\.0+")


def fenced(text: str, *, whole: bool = False) -> str | None:
    """What is in the only code fence of a text; with ``whole``, a fence around all of it."""
    text = text.strip()
    if text.count("`") + text.count("~") > _MOST_MARKS:  # looking for pairs is not linear
        return None
    blocks = [*_BLOCK.finditer(text)]
    if not blocks:
        line = _LINE.fullmatch(text)
        return None if line is None or line[1] in line[2] else line[2].strip()
    if len(blocks) > 1 or (whole and blocks[0].span() != (0, len(text))):
        return None
    inside = blocks[0][2].strip()
    around = text[: blocks[0].start()], text[blocks[0].end() :]
    return None if any(_may_answer(part, inside) for part in around) else inside


def _may_answer(beside: str, inside: str) -> bool:
    """Whether what stands beside a fence may be meant as well: JSON of the kind of its content."""
    if inside[:1] not in ("[", "{"):
        return _is_json(beside, len(beside) - len(beside.lstrip()), alone=True)
    places = [at for at, letter in enumerate(beside) if letter == inside[0]]
    return len(places) > _MOST_PLACES or any(_is_json(beside, at) for at in places)


def _is_json(text: str, start: int, alone: bool = False) -> bool:
    """Whether JSON begins there; ``alone``: and nothing follows it."""
    try:
        _, end = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return False
    return not (alone and text[end:].strip())


def readings(kind: str, text: str, choices: Sequence[str] = ()) -> Iterator[str]:
    """The other texts of that kind that a text may stand for."""
    inside = fenced(text, whole=kind != "json")
    if inside is not None:
        yield inside
    if kind == "json" and text[:1] in "[{":
        return
    *stages, bare = stripped(text if inside is None else inside)
    if kind == "json":
        yield from stages
    yield {"true": "yes", "false": "no"}.get(bare.lower(), bare) if kind in _TRUTHS else bare
    if kind == "int" and (whole := _WHOLE.fullmatch(bare)) is not None:
        yield whole[1]
    same = [choice for choice in choices if choice.casefold() == bare.casefold()]
    if len(same) == 1:
        yield same[0]


def stripped(text: str) -> Iterator[str]:
    """The text, and it without a full stop behind it, emphasis or quotes around it, one by one."""
    for _ in range(9):
        yield text
        before, text = text, text.strip()
        if text.endswith((".", "。")):
            text = text[:-1]
            continue
        for mark in _AROUND:
            around = len(text) > 2 * len(mark) and text.startswith(mark) and text.endswith(mark)
            if around and text.strip(mark[0]):  # marks alone are no emphasis of marks
                text = text[len(mark) : -len(mark)]
                break
        if text == before:
            return
