"""Answers of earlier evaluations, in a file, by the keys of their calls.

Theory of operation
-------------------
A call's key names all that decides its answer: the op, its operands, the model, which draw. So an
answer that was given under a key need not be asked for again, whoever asked. A run that begins with
such a file meets its answers as an edited run meets those of the run it comes from (``edits``):
each that is used gets a row in the run's own journal, which then needs the file no more.

What an answer may be told to depends on what was read for it, which no key of a call says. So the
file has an answer under its call's key and the label of what the call read: what was answered from
data of one label is not known where the same text bears another. Texts that came from a memory are
operands, and in the key as all others.

Rules
1. Only answers are kept, no failures. One of a draw is met by the same draw alone.
2. The file is a line of JSON for each answer, behind one that says what it is. Lines are only
   added; a last one that was cut off does not count.
3. What is no such file is never written to.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from math import inf
from pathlib import Path
from typing import Any

from nlpu.checks import PATH, check
from nlpu.errors import Usage
from nlpu.label import Label, label_text
from nlpu.owner_only import make_file
from nlpu.runtime.graph.node import Node
from nlpu.runtime.graph.usage import usage_of
from nlpu.runtime.journal.edits import Ancestor, Edits
from nlpu.runtime.journal.records import Outcome, Past
from nlpu.runtime.journal.store import RunLog
from nlpu.runtime.journal.where import Place
from nlpu.value import peek_error, peek_label

Answer = tuple[str, list[Any]]  # the text that is kept of a reply, and its usage
_HEAD = b'{"nlpu":"answers","version":1}\n'
_HEX = 24  # of a key


class KnownAnswers(Ancestor):
    """The answers of a file, as a run that another was edited from: nothing else is known of it.

    Its texts are lent: one gets into the journal with the row that says that it was taken.
    """

    def __init__(self, answers: Mapping[str, Answer], journal: RunLog) -> None:
        super().__init__(Past(), Edits(), journal)
        self._answers, self._journal = answers, journal

    def outcome(self, key: bytes, label: Callable[[], Label]) -> Outcome | None:
        """What was answered to a call that read what has this label."""
        found = self._answers.get(answer_key(key, label()))
        if found is None:
            return None
        return Outcome(self._journal.lend(found[0]), found[1])


def answer_key(key: bytes, label: Label) -> str:
    """The key of an answer in a file: of its call and of the label of what that read."""
    whole = b"%b|%b" % (key, label_text(label).encode())
    return blake2b(whole, digest_size=_HEX // 2).hexdigest()


def answers_in(nodes: Iterable[Node]) -> dict[str, Answer]:
    """The answers that calls have, for a file (rule 1)."""
    called = [node for node in nodes if node.call_key is not None and node.ready]
    replies: dict[bytes, Answer] = {
        node.call_key: (node.call_reply, usage_of(node.call_cost))
        for node in called
        if node.call_key is not None
        and node.call_reply
        and node.call_cost is not None
        and peek_error(node) is None
    }
    return {
        answer_key(node.call_key, peek_label(node)): replies[node.call_key]
        for node in called
        if node.call_key in replies and peek_error(node) is None
    }


def known_answers(path: str, journal: RunLog) -> KnownAnswers | None:
    """An ancestor that holds the answers of a file alone; None without a file. Raises Usage."""
    if not path or not journal.keeps or not Path(path).exists():
        return None
    return KnownAnswers(read_answers(Path(path)), journal)


def read_answers(path: Path) -> dict[str, Answer]:
    """The answers of a file by key. Raises Usage."""
    content = _content(path)
    found = {}
    whole = content[: content.rfind(b"\n") + 1]
    for number, line in enumerate(whole.splitlines()[1:], 2):
        try:
            key, text, usage = json.loads(line)
            found[_checked(key, text, usage)] = (text, usage)
        except (ValueError, TypeError, RecursionError):
            raise Usage(
                f"{path}, line {number} is no answer: remove the line, or name another file"
            ) from None
    return found


def _checked(key: Any, text: Any, usage: Any) -> str:
    if not (isinstance(key, str) and len(key) == _HEX and isinstance(text, str)):
        raise ValueError(key)
    if not isinstance(usage, list) or len(usage) > 9:
        raise ValueError(usage)
    if not all(isinstance(each, int | float) and 0 <= each < inf for each in usage):
        raise ValueError(usage)
    text.encode()
    return key


def make_answers(path: Path) -> Path:
    """Make a file for answers where there is none, or nothing in it; gives its whole path.

    Raises Usage (rule 3).
    """
    try:
        make_file(path)
        _content(path, empty=True)
        with path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # another evaluation may begin it, too
            if not os.fstat(file.fileno()).st_size:
                file.write(_HEAD)
        return path.resolve()
    except OSError as error:
        raise Usage(f"{path} cannot be written: {error.strerror}; name another file") from None


def cache_of(path: str | os.PathLike[str], run_dir: Place | None) -> Path:
    """The file of answers for a run that is journaled there. Raises Usage."""
    check("evaluate", {"cache": path}, {"cache": PATH})
    if run_dir is None:
        raise Usage("cache= needs a journal to take answers into: give the computer a run_dir")
    return make_answers(Path(path))


def add_answers(path: Path, answers: Mapping[str, Answer]) -> int:
    """Add those that are not there yet; gives how many these are. Raises Usage."""
    try:
        with make_answers(path).open("r+b") as file:  # it may be gone since the run began
            fcntl.flock(file, fcntl.LOCK_EX)
            known = read_answers(path)
            new = {key: answer for key, answer in answers.items() if key not in known}
            file.seek(_content(path).rfind(b"\n") + 1)
            file.truncate()
            file.write(b"".join(_lines(new)))
            return len(new)
    except OSError as error:
        raise Usage(f"{path} cannot be written: {error.strerror}") from None


def _lines(answers: Mapping[str, Answer]) -> Iterable[bytes]:
    for key, (text, usage) in answers.items():
        yield json.dumps([key, text, usage], separators=(",", ":")).encode() + b"\n"


def _content(path: Path, empty: bool = False) -> bytes:
    """All of a file of answers; empty: there may be nothing yet. Raises Usage."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise Usage(f"{path} is not a file")
        content = path.read_bytes()
    except OSError as error:
        raise Usage(f"{path} cannot be read: {error.strerror}") from None
    if not content.startswith(_HEAD) and (content or not empty):
        raise Usage(f"{path} is no file of answers that --cache made; name another one")
    return content
