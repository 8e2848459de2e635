"""Which known authors does an unknown text resemble, and why?

    nlpu run kin letters/ --input unknown.txt     a folder with a text file for each author
    nlpu run kin letters.md --input unknown.txt   a file with a heading for each: # Ann Lee

Pieces of the unknown text are held against pieces of each author's, all at the same time: did the
same author write both? An author's likeness is the mean probability of yes. For the most alike, a
sentence says what the texts have in common.
"""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path
from statistics import fmean
from textwrap import fill

from pydantic import BaseModel

from nlpu import Judgement, ModelError, Usage, Value, nlop, spawn, split
from nlpu.label import UNTRUSTED
from nlpu.programs.calling import careful
from nlpu.text import chunks
from nlpu.value import current

PIECES = 3  # of a text; they are held against each other
PIECE_TOKENS = 200
REASONS = 3  # for so many of the authors


@nlop
def same_author(unknown: str, known: str) -> Judgement:
    """Did the same author write both texts? Look at style, not at what they are about."""


@nlop(max_tokens=64, at_limit="trim", repetition_penalty=1.1)
def in_common(unknown: str, known: str) -> str:
    """Say in one sentence what the two texts have in common in style: words, tone, sentences."""


class Kin(BaseModel):
    """An author, how likely the unknown text is theirs, from 0 to 1, and why."""

    author: str
    likeness: float
    reason: str = ""


class Kinship(BaseModel):
    """All authors, the most alike first."""

    kin: list[Kin]

    def __str__(self) -> str:
        return "\n".join(
            fill(
                f"{each.likeness:.3f}  {each.author}: {each.reason}",
                88,
                subsequent_indent="       ",
            )
            for each in self.kin
        )


def kin(authors: str, text: str) -> Kinship:
    """Rank known authors by how much an unknown text resembles theirs."""
    count = current().processor(None).count
    known = current().remember(
        lambda: {
            author: list(map(str, islice(chunks(sample, PIECE_TOKENS, count), PIECES)))
            for author, sample in samples(Path(authors)).items()
        }
    )
    pieces = split(text, PIECE_TOKENS)[:PIECES]
    theirs: dict[str, list[Value[str]]] = {
        author: [Value(piece, UNTRUSTED) for piece in sample] for author, sample in known.items()
    }
    judged = {author: spawn(likeness, pieces, each) for author, each in theirs.items()}
    ranked = sorted(
        (Kin(author=author, likeness=each.value) for author, each in judged.items()),
        key=lambda each: -each.likeness,
    )
    reasons = [careful(in_common, pieces[0], theirs[each.author][0]) for each in ranked[:REASONS]]
    for each, reason in zip(ranked, reasons, strict=False):
        each.reason = str(reason)
    return Kinship(kin=ranked)


def likeness(pieces: list[str], others: list[Value[str]]) -> float:
    """The mean probability that two pieces have one author; 0.5 where the model does not say."""
    judged = [same_author(piece, other) for piece in pieces for other in others]
    return round(fmean(map(probability, judged)), 4)


def probability(judged: Value[Judgement]) -> float:
    """Of yes."""
    try:
        return judged.value.probability
    except ModelError:
        return 0.5


def samples(place: Path) -> dict[str, str]:
    """The authors' texts of a folder, or of a file with headings. Raises Usage."""
    try:
        if place.is_dir():
            found = {each.stem: each.read_text("utf-8") for each in sorted(place.glob("*.txt"))}
        else:
            parts = re.split(r"^# +(.+)$", place.read_text("utf-8"), flags=re.MULTILINE)[1:]
            found = dict(zip(parts[::2], parts[1::2], strict=True))
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise Usage(f"{place} cannot be read as text: {why}") from error
    found = {author: text for author, text in found.items() if text.strip()}
    if not found:
        raise Usage(f"{place} has no samples: give a folder of .txt files, or a file with headings")
    return found
