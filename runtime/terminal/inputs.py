"""Texts from files and from stdin, with every way they can be unusable said plainly."""

from __future__ import annotations

import inspect
import os
import shlex
import sys
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Sequence
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from nlpu.errors import Usage
from nlpu.runtime.settings import Settings
from nlpu.runtime.terminal.arguments import Content

MOST_BYTES = 16 * 1024 * 1024


class Stdin:
    """stdin, which can be read once, and what files named beside it hold."""

    def __init__(self) -> None:
        self.taken = False
        self.files: list[str] = []

    def beside(self, name: str) -> str:
        """The text of a file that a word names. Raises Usage."""
        self.files.append(name)
        return self.text() if name == "-" else read_file(Path(name))

    def text(self) -> str:
        """All of it. Raises Usage."""
        if self.taken:
            raise Usage("stdin ('-') can be given once only; put the other text into a file")
        self.taken = True
        return checked(sys.stdin.buffer.read(MOST_BYTES + 1), "stdin")


def read_texts(files: Sequence[str], stdin: Stdin) -> list[str]:
    """The texts of input files in order; ``-`` is stdin. Raises Usage."""
    return [stdin.text() if name == "-" else read_file(Path(name)) for name in files]


def fill_words(words: Sequence[str], stdin: Stdin) -> tuple[list[str], dict[str, Content]]:
    """The arguments with stdin's text for ``-``, and that for ``name=-`` by name."""
    filled: list[str] = []
    named: dict[str, Content] = {}
    for word in words:
        name, sign, content = word.partition("=")
        if word == "-":
            filled.append(_as_word(stdin.text()))
        elif sign and content == "-" and name.isidentifier():
            named[name] = _as_word(stdin.text())
        else:
            filled.append(_decoded(word))
    return filled, named


def _decoded(word: str) -> str:
    """A word as UTF-8, as all texts are, whatever the locale's encoding took its bytes for."""
    try:
        return word.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeError:
        return word  # what it is for is told what is wrong with it


def _as_word(text: str) -> Content:
    """A text as an argument: without the line end that ``echo`` puts behind it."""
    return Content(text.removesuffix("\n").removesuffix("\r"))


def read_file(path: Path, *, may_be_empty: bool = False) -> str:
    """The text of a file. Raises Usage."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        near = get_close_matches(path.name, _names_in(path.parent), 1)
        hint = f"; did you mean {path.parent / near[0]}?" if near else ""
        raise Usage(f"there is no file {path}{hint}") from None
    except OSError as error:
        raise Usage(f"{path} cannot be read: {error.strerror}") from None
    return checked(data, str(path), may_be_empty=may_be_empty)


def _names_in(folder: Path) -> list[str]:
    with suppress(OSError):
        return os.listdir(folder)
    return []


def checked(data: bytes, name: str, *, may_be_empty: bool = False) -> str:
    """The text that the bytes are. Raises Usage."""
    file = "-" if name == "stdin" else shlex.quote(name)
    if len(data) > MOST_BYTES:
        raise Usage(
            f"{name} is larger than {MOST_BYTES // 2**20} MB: cut it into smaller files and run "
            f"the program on each, for example: split -C {MOST_BYTES // 2**20}M {file}"
        )
    if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):  # what Windows' editors call Unicode
        raise Usage(f"{name} is UTF-16; convert it first: iconv -f utf-16 -t utf-8 {file}")
    if b"\0" in data:
        raise Usage(f"{name} is a binary file; convert it to UTF-8 text first")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Usage(
            f"{name} is not UTF-8 text (byte {error.start} is 0x{data[error.start]:02x}); "
            f"convert it first, for example: iconv -f latin1 -t utf-8 {file}"
        ) from None
    if not (may_be_empty or text.strip()):
        raise Usage(f"{name} is empty: give one that holds text")
    return text


def set_store(
    program: Callable[..., Any], bound: tuple[list[Any], dict[str, Any]], store: object
) -> None:
    """Give a program the store that is set, where it would take the one that is built in.

    A database's password is not given, as arguments are journaled.
    """
    signature, built_in = inspect.signature(program), Settings().store
    place = signature.parameters.get("store")
    taken = signature.bind(*bound[0], **bound[1]).arguments
    if store != built_in and place and place.default == str(built_in) and "store" not in taken:
        bound[1]["store"] = str(store)


def set_machine(
    program: Callable[..., Any], bound: tuple[list[Any], dict[str, Any]], **machine: str | None
) -> None:
    """Tell a program what runs it: its parameters of these names whose default is ""."""
    signature = inspect.signature(program)
    taken = signature.bind(*bound[0], **bound[1]).arguments
    for name, value in machine.items():
        place = signature.parameters.get(name)
        if place is not None and place.default == "" and name not in taken:
            bound[1][name] = value or ""
