"""Ingest: files and folders become pages, each cut once.

Theory of operation
-------------------
A file is cut at its sections (Markdown headings), these between paragraphs, sentences or words into
pieces of a page's size. Pieces together are the text: ``text[start:stop]`` is a page. The digest of
the content is noted when all its pages are stored, so a file that has not changed costs one read,
and one whose ingest was killed is taken up again; pages already there are not stored twice.

Rules
1. After a file is done its pages are those of its present content; pages of an earlier content that
   are not in it are forgotten, and what was made of texts alone that are not in it any more.
2. What files bring is untrusted unless the caller vouches for them.
3. A file that cannot be read as text is reported and skipped; the others are done. So is what is
   no file, such as a pipe, which could keep us waiting for ever.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path

from nlpu.errors import BadOperand, MissingPart, Usage
from nlpu.extras import adding
from nlpu.label import UNTRUSTED, Label
from nlpu.memory.controller import Memory
from nlpu.memory.store.levels import rough_tokens
from nlpu.memory.store.page import Page
from nlpu.text import chunks
from nlpu.value import inside

_TRIES = 20  # to take in what another process takes in at the same time
PAGE_TOKENS = 128  # small enough that a page is about one thing
SUFFIXES = (".txt", ".md", ".markdown", ".rst", ".html", ".htm", ".pdf")
_HEADING = re.compile(r"^(?=#{1,6} )", re.MULTILINE)


@dataclass(slots=True)
class Taken:
    """What an ingest did. ``skipped``: file and reason.

    distrusted: pages that were there already with less trust, and keep it until they are forgotten.
    """

    files: int = 0
    unchanged: int = 0
    pages: int = 0
    distrusted: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)


def files_of(paths: Iterable[Path]) -> list[Path]:
    """The files named, and those with a known suffix in the folders named. Raises Usage."""
    found: list[Path] = []
    for path in paths:
        try:
            if path.is_dir():
                inside = (file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES)
                found += sorted(file for file in inside if not file.is_dir())
            elif path.exists():
                found.append(path)
            else:
                raise Usage(f"there is no file or folder {name_of(path)}")
        except OSError as error:  # a name too long, a folder closed to us
            raise Usage(f"{name_of(path)[:80]} cannot be read: {error.strerror}") from error
    return found


def ingest(
    memory: Memory,
    paths: Iterable[Path],
    label: Label = UNTRUSTED,
    page_tokens: int = PAGE_TOKENS,
    progress: Callable[[int, int], None] | None = None,
) -> Taken:
    """Take files and folders in; what has not changed is left alone."""
    files, taken = files_of(paths), Taken()
    for number, path in enumerate(files, 1):
        try:
            _take(memory, path, label, page_tokens, taken)
        except (Usage, BadOperand, MissingPart, OSError) as error:
            taken.skipped.append((name_of(path), str(error)))
        if progress is not None:
            progress(number, len(files))
    return taken


def cut(text: str, page_tokens: int = PAGE_TOKENS) -> Iterator[tuple[int, int]]:
    """The extents of a text's pages."""
    borders = sorted({0, len(text), *(match.start() for match in _HEADING.finditer(text))})
    for start, stop in pairwise(borders):
        for chunk in chunks(text[start:stop], page_tokens, rough_tokens):
            if chunk.strip():
                yield start + chunk.start, start + chunk.stop


def name_of(path: Path | str) -> str:
    """A path as text: bytes in it that are no UTF-8 are written out."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _take(memory: Memory, path: Path, label: Label, page_tokens: int, taken: Taken) -> None:
    if not path.is_file():
        raise Usage("it is not a regular file")
    data, disk = path.read_bytes(), memory.levels.disk
    source = name_of(path.resolve())
    digest = blake2b(data + f"|{page_tokens}|{label}".encode(), digest_size=16).digest()
    taken.files += 1
    if disk.digest(source) == digest:
        taken.unchanged += 1
        return
    text, time_s = text_of(path, data), path.stat().st_mtime
    pages = [
        Page(text[start:stop], source=source, start=start, stop=stop, time_s=time_s, label=label)
        for start, stop in cut(text, page_tokens)
    ]
    kept = {page.text for page in pages}  # perhaps elsewhere in the file
    for _ in range(_TRIES):
        disk.set_file(source, None)  # until it is done: killed here, neither content is unchanged
        numbers = memory.write_pages(pages)
        old = sorted(set(disk.numbers(source=source)) - set(numbers))
        changed = [number for number, page in disk.pages(old).items() if page.text not in kept]
        memory.levels.forget(old + disk.drawn_from(changed))
        if disk.taken(source, digest, numbers) or inside():  # a run writes what it has noted
            break
    else:
        raise Usage("another process takes it in, too, with other content; do it again later")
    taken.pages += len(numbers)
    taken.distrusted += sum(page.label is not label for page in disk.pages(numbers).values())


def text_of(path: Path, data: bytes) -> str:
    """The text in a file's bytes. Raises Usage, MissingPart."""
    suffix = path.suffix.lower()
    if suffix == ".pdf":
        return _pdf_text(path)
    if b"\0" in data:
        raise Usage("it is a binary file")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Usage(f"it is not UTF-8 text (byte {error.start})") from None
    return _html_text(text) if suffix in (".html", ".htm") else text


def _pdf_text(path: Path) -> str:
    try:
        from pypdf import PdfReader  # here: an extra
    except ModuleNotFoundError as error:
        raise MissingPart(f"PDF files need pypdf: {adding('documents')}") from error
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it says on stderr what we say
    try:
        return "\n\n".join(page.extract_text() for page in PdfReader(path).pages)
    except Exception as error:  # its parser stumbles over damage in many ways
        raise Usage(f"it is not a PDF that can be read: {error}") from error


def _html_text(text: str) -> str:
    try:
        from bs4 import BeautifulSoup  # here: an extra
    except ModuleNotFoundError as error:
        raise MissingPart(f"HTML files need beautifulsoup4: {adding('documents')}") from error
    soup = BeautifulSoup(text, "html.parser")
    for part in soup(["script", "style"]):
        part.decompose()
    return str(soup.get_text("\n", strip=True))
