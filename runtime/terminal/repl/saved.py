"""A session as a plain program: what each value was made from, line by line.

The program makes the same calls: the same instructions on the same operands, the context being
spelled out as what it was at each line. A file must still hold what the session read. Lines without
a value are left out. A result that a person edited, in itself or in one of the calls that it was
made from, is written down as it is. Ops whose text was edited get that text first.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nlpu.errors import Usage
from nlpu.owner_only import make_file
from nlpu.runtime.terminal.repl.actions import digest_of
from nlpu.runtime.terminal.repl.entries import Entry, File
from nlpu.runtime.terminal.repl.inspecting import was_edited
from nlpu.runtime.terminal.repl.lines import instruction
from nlpu.runtime.terminal.repl.session import Session

_BEGINNING = '"""The session '
_HEAD = '''"""The session {name} of nlpu repl.

    nlpu run THIS_FILE:session
"""

from nlpu import Value
from nlpu.runtime.terminal.repl.actions import context, file, given, reword, run, say


def session():
'''


def save(session: Session, name: str, path: Path) -> None:
    """Write the program; over an older one, but over nothing else. Raises Usage."""
    try:
        if path.exists() and not path.read_bytes().startswith(_BEGINNING.encode()):
            raise Usage(f"{path} is no saved session; give another name, or remove it first")
        text = program_of(session, name)
        make_file(path)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Usage(f"{path} cannot be written: {error.strerror}") from None


def program_of(session: Session, name: str) -> str:
    """The text of the program."""
    kept = [entry for entry in session.entries if not entry.error]
    lines = [f"    {entry.name} = {_made(session, entry)}\n" for entry in kept]
    named = [f"{bound!r}: {entry.name}" for bound, entry in session.names.items() if entry.number]
    ancestor = session.state.replay.ancestor if session.state is not None else None
    if ancestor is not None and ancestor.edits.ops:
        lines.insert(0, f"    reword(**{dict(ancestor.edits.ops)!r})\n")
    return _HEAD.format(name=name) + "".join(lines) + f"    return {{{', '.join(named)}}}\n"


def _made(session: Session, entry: Entry) -> str:
    if any(map(was_edited, entry.calls())):
        if not _is_plain(entry.content):
            raise Usage(f"{entry.name} was edited and cannot be written as a literal: its type")
        return f"Value({entry.content!r})"
    verb, words = entry.line.verb, entry.line.words
    if verb == "text":
        return f"Value({words[0]!r})"
    if verb == "take":
        return _value(entry.operands[words[0]])
    if verb == "run":
        args = [repr(words[0]), *(_argument(entry, word) for word in words[1:])]
        return f"run({', '.join(args)})"
    return _said(session, entry)


def _is_plain(content: Any) -> bool:
    """Whether what Python writes of it means the same again."""
    if isinstance(content, dict):
        return all(map(_is_plain, [*content, *content.values()]))
    if isinstance(content, list | tuple):
        return all(map(_is_plain, content))
    return type(content) in (str, int, float, bool, type(None))


def _said(session: Session, entry: Entry) -> str:
    names = {
        f"@{source.path}" if isinstance(source, File) else name: name
        for name, source in entry.operands.items()
    }
    parts = [repr(instruction(entry.line.words[0], names))]
    if entry.parts:
        parts.append(f"context({', '.join(_part(session, *part) for part in entry.parts)})")
    parts += [f"{name}={_value(source)}" for name, source in entry.operands.items()]
    return f"say({', '.join(parts)})"


def _part(session: Session, kind: str, what: str) -> str:
    """What the context held: a turn, a pinned value, or a text."""
    if kind == "text":
        return repr(session.names[what].content if what in session.names else what)
    told = session.names[what]
    line = f" {told.asked!r}," if kind == "turn" else ""
    return f"({told.name!r},{line} {told.name})"


def _argument(entry: Entry, word: str) -> str:
    name, sign, right = word.rpartition("=")
    if right[:1] + right[-1:] != "{}":
        return repr(word)
    return f"{name}{sign}given({_value(entry.operands[right[1:-1]])})"


def _value(source: Entry | File) -> str:
    if isinstance(source, File):
        return f"file({source.path!r}, {digest_of(source.text)!r})"
    return source.name if source.number else f"Value({source.content!r})"
