"""A session as a plain program: what each value was made from, line by line.

The program makes the same calls: the same instructions on the same operands, the context being
spelled out as what it was at each line. Lines without a value are left out, and a result that a
person edited is written down as a text. What was edited of a program's op is not in it, and it
says so.
"""

from __future__ import annotations

from runtime.terminal.repl.entries import Entry
from runtime.terminal.repl.lines import instruction
from runtime.terminal.repl.session import Session

_HEAD = '''"""The session {name} of nlpu repl.

    nlpu run THIS_FILE:session
{missing}"""

from nlpu import Value
from runtime.terminal.repl.acts import context, file, given, run, say


def session():
'''


def program_of(session: Session, name: str) -> str:
    """The text of the program."""
    kept = [entry for entry in session.entries if not entry.error]
    lines = [f"    {entry.name} = {_made(session, entry)}\n" for entry in kept]
    named = [f"{bound!r}: {entry.name}" for bound, entry in session.names.items() if entry.number]
    ancestor = session.state.ancestor if session.state is not None else None
    edited = ", ".join(ancestor.edits.ops) if ancestor is not None else ""
    missing = (
        f"\nNot in it: the texts that these ops were given there: {edited}\n" if edited else ""
    )
    return (
        _HEAD.format(name=name, missing=missing)
        + "".join(lines)
        + f"    return {{{', '.join(named)}}}\n"
    )


def _made(session: Session, entry: Entry) -> str:
    if _is_edited(session, entry):
        return f"Value({entry.content!r})"
    verb, words = entry.line.verb, entry.line.words
    if verb == "text":
        return f"Value({words[0]!r})"
    if verb == "take":
        return _value(session, words[0])
    if verb == "run":
        args = [repr(words[0]), *(_argument(session, word) for word in words[1:])]
        return f"run({', '.join(args)})"
    return _said(session, entry)


def _said(session: Session, entry: Entry) -> str:
    names = {reference: name for name, reference in entry.operands.items()}
    parts = [repr(instruction(entry.line.words[0], names))]
    if entry.parts:
        parts.append(f"context({', '.join(_part(session, *part) for part in entry.parts)})")
    parts += [f"{name}={_value(session, what)}" for name, what in entry.operands.items()]
    return f"say({', '.join(parts)})"


def _part(session: Session, kind: str, what: str) -> str:
    """What the context held: a turn, a pinned value, or a text."""
    if kind == "text":
        return repr(session.names[what].content if what in session.names else what)
    told = session.names[what]
    line = f" {told.line.typed!r}," if kind == "turn" else ""
    return f"({told.name!r},{line} {told.name})"


def _argument(session: Session, word: str) -> str:
    name, sign, right = word.rpartition("=")
    if right[:1] + right[-1:] != "{}":
        return repr(word)
    return f"{name}{sign}given({_value(session, right[1:-1])})"


def _value(session: Session, reference: str) -> str:
    if reference.startswith("@"):
        return f"file({reference[1:]!r})"
    entry = session.names[reference]
    return entry.name if entry.number else f"Value({entry.content!r})"


def _is_edited(session: Session, entry: Entry) -> bool:
    node, state = entry.node, session.state
    ancestor = state.ancestor if state is not None else None
    return node is not None and ancestor is not None and ancestor.was_edited(node.position)
