"""What a typed line means. Pure: text in, a ``Line`` or a Usage error out.

Theory of operation
-------------------
A line is said to the model unless it is one of three things, tried in this order:

    NAME = ...       binds what the right side gives: a call, a program, a "text", a value, @FILE
    _3, {NAME}, NAME shows a value
    a command        its first word is a command's, and its words could be that command's by their
                     number, or there are one or two; with a slash before it, always

A line that begins with a space is always said. In what is said, values are named as ``_`` (the
newest), ``_3`` or ``{NAME}``, and files as ``@FILE`` or ``{@FILE}``, which may hold blanks; they
become operands, so the instruction keeps only their names. ``{{NAME}}`` stands for {NAME} itself,
and what stands in braces and is no name ({"a": 1}) for itself.

Rules
1. What decides (which names, programs and files there are) is asked through ``Known`` while the
   line is typed, and the ``Line`` holds the outcome: it means the same on every resume.
2. A line that looks like a reference and names nothing is an error, never silently a text; so is
   one that looks like a command or a binding and is none: a call costs, a second look does not.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Collection
from difflib import get_close_matches
from keyword import iskeyword
from typing import NamedTuple

from nlpu.errors import Usage
from nlpu.runtime.terminal.repl.commands import COMMANDS

Known = Callable[[str], Collection[str]]  # a kind of word (PROGRAM, VALUE, ...) -> those there are
_ALSO = {"exit": "quit", "/exit": "/quit"}  # what fingers know from other consoles
_MEANT = {  # commands, and what other consoles and the terminal have for them
    **{name: name for name in COMMANDS},
    **{"exit": "quit", "bye": "quit", "q": "quit", "show": "inspect", "memory": "mem"},
}
_MARKS = ":\\!?.,;()"  # before and behind a command's name in other consoles, or typed by mistake
_BIND = re.compile(r"([^\W\d_]\w*)\s*=(?!=)\s*(.+)", re.DOTALL)
_NO_BIND = re.compile(r"_\w*\s*=.*|\w+\s*=", re.DOTALL)
_VALUE = re.compile(r"_\d*|\{\w+\}|@\S+|\{@[^{}]+\}")
_SAID = re.compile(
    r"\{\{(?P<literal>@[^{}]+|\w+)\}\}|\{(?P<braced>@[^{}]+|\w+)\}|(?<!\w)(?P<bare>_\d*)(?!\w)"
    r"|(?<!\S)@(?P<file>\S*\w)"
)
_FILE_LIKE = re.compile(r"/|\.\w{1,5}$")
_FILE_WORD = re.compile(r"(?<!\S)(?:\w+=)?\{@[^{}]+\}")  # one word, whatever blanks are in it
_TO_SAY = "to say it to the model, begin the line with a blank"
_NEAR = 0.8  # of 1: how like a command's name a word is that is taken for it
_TAKEN = frozenset({"context", "sample", "samples"})  # operand names that mean something else


class Line(NamedTuple):
    """A line that was understood.

    verb:  "say", "text", "take" (a value or @FILE), "show", or a command.
    name:  what its value is bound to, besides its number.
    """

    typed: str
    name: str
    verb: str
    words: tuple[str, ...]


def parse(typed: str, known: Known) -> Line:
    """The meaning of a line. Raises Usage."""
    text = typed.strip()
    if typed[:1] != " ":
        bound = _BIND.fullmatch(text)
        if bound is not None:
            return _binding(text, bound[1], bound[2], known)
        is_value = _VALUE.fullmatch(text) and "@" not in text[:2]
        if is_value or text in known("VALUE"):
            return Line(text, "", "show", (resolved(text, known),))
        found = command(text, known)
        if found is not None:
            return found
        _check_said(text, known)
    return Line(text, "", "say", (_said(text, known),))


def _check_said(text: str, known: Known) -> None:
    """Raises Usage for what hardly was meant for the model (rule 2)."""
    near = _near_miss(text, known)
    if near:
        word = text.split(maxsplit=1)[0]
        raise Usage(f"there is no command {word!r}; did you mean {near}? Or, {_TO_SAY}")
    if _NO_BIND.fullmatch(text):
        raise Usage(f"{text!r} binds nothing: write NAME = LINE; a name begins with a letter")
    if not any(map(str.isalnum, text)):
        raise Usage(f"{text!r} says nothing; {_TO_SAY}")


def _near_miss(text: str, known: Known) -> str:
    """The command that a line is likely a slip of: alone, or with words that this command takes."""
    typed, *words = text.split()
    word = typed.strip(_MARKS).lower()
    if typed in COMMANDS or not word:  # it was asked already whether it is one
        return ""
    near = [word] if word in _MEANT else [name for name in _MEANT if _one_slip(name, word)]
    near = near or get_close_matches(word, _MEANT, 1, _NEAR)
    if not near:
        return ""
    verb = _MEANT[near[0]]
    fits_it = misfit(COMMANDS[verb][0], tuple(words), known) is None
    return verb if not words or fits_it or typed[0] in ":\\!" else ""


def _one_slip(name: str, word: str) -> bool:
    """Whether a key was missed, or one too many, or two in the other order."""
    if len(name) != len(word):
        short, long = sorted((name, word), key=len)
        return len(short) > 2 and any(long[:i] + long[i + 1 :] == short for i in range(len(long)))
    other = sum(one != two for one, two in zip(name, word, strict=True))
    return other == 2 and sorted(name) == sorted(word)


def command(text: str, known: Known) -> Line | None:
    """The command that a line is, if it is one. Raises Usage for one that is called wrongly."""
    text = _ALSO.get(text, text)
    slash = text.startswith("/")
    verb, _, rest = text.removeprefix("/").partition(" ")
    if verb not in COMMANDS:
        if slash:
            raise Usage(f"there is no command {verb!r}{_near(verb, COMMANDS)}; see: help")
        return None
    usage = COMMANDS[verb][0]
    try:
        whole = _FILE_WORD.sub(lambda found: shlex.quote(found[0]), rest)
        words = tuple(shlex.split(whole)) if verb == "run" else tuple(rest.split())
    except ValueError:
        words = tuple(rest.split())
    wrong = misfit(usage, words, known)
    if wrong is None:
        if verb == "run":
            return Line(text, "", verb, _resolved_words(words, known))
        if "[TEXT...]" in usage:
            words = tuple(rest.split(maxsplit=1))
        value = words and _VALUE.fullmatch(words[0])
        return Line(text, "", verb, (resolved(words[0], known), *words[1:]) if value else words)
    if slash or "..." in usage or len(words) <= max(1, len(usage.split()) - 1):
        stop = "" if wrong.endswith("?") else "."
        raise Usage(f"{wrong}{stop} Usage: {usage}{'' if slash else f'; {_TO_SAY}'}")
    return None


def misfit(usage: str, words: tuple[str, ...], known: Known) -> str | None:
    """Why the words are not those of the usage; None if they are."""
    places = usage.split()[1:]
    many = bool(places) and "..." in places[-1]
    if len(words) > len(places) and not many:
        return f"{words[len(places)]!r} is one word too many"
    for place, word in zip(places, words, strict=False):
        kind = place.strip("[]")
        if "..." not in kind and not fits(kind, word, known):
            options = [option for each in kind.split("|") for option in known(each)]
            return f"{word!r} is no {kind.lower().replace('|', ' or ')}{_near(word, options)}"
    missing = [place for place in places[len(words) :] if not place.startswith("[")]
    return f"{missing[0]} is missing" if missing else None


def fits(kind: str, word: str, known: Known) -> bool:
    """Whether a word can stand in the place of that kind (or of those kinds: A|B)."""
    if kind == "FILE.py":
        return word.endswith(".py")
    if kind == "NAME":
        return word.isidentifier()
    if kind == "PROGRAM" and ".py" in word:
        return True
    if kind == "RUN":  # also the start of one's name, and an edited one's number: seen later
        return any(name.startswith(word.partition(".")[0]) for name in known(kind))
    if "|" in kind:
        return any(fits(each, word, known) for each in kind.split("|"))
    there = known(kind)
    return word.strip("{}") in there or (kind == "VALUE" and word == "_" and bool(there))


def _binding(typed: str, name: str, right: str, known: Known) -> Line:
    if iskeyword(name) or name in _TAKEN or name in COMMANDS or not name.isidentifier():
        raise Usage(f"{name!r} means something else here; choose another name")
    if len(right) > 1 and right[0] == right[-1] and right[0] in "\"'":
        return Line(typed, name, "text", (right[1:-1],))
    if _VALUE.fullmatch(right) or right in known("VALUE"):
        return Line(typed, name, "take", (resolved(right, known),))
    if right.startswith("@"):
        raise Usage(f"{right} names no file; write a name with blanks as {{@my file.txt}}")
    inner = parse(right, known)
    if inner.verb not in ("say", "run"):
        raise Usage(f"{inner.verb} gives no value that {name!r} could be bound to")
    return Line(typed, name, inner.verb, inner.words)


def resolved(word: str, known: Known) -> str:
    """A reference as it is kept: ``_3``, ``NAME`` or ``@FILE``. Raises Usage (rule 2)."""
    word = word.strip("{}")
    values = known("VALUE")
    if word.startswith("@"):
        if word[1:] not in known(word):
            raise Usage(f"there is no file {word[1:]}; for the characters write {{{{{word}}}}}")
        return word
    if word == "_":
        numbers = [int(v[1:]) for v in values if v[0] == "_" and v[1:].isdigit()]
        word = f"_{max(numbers)}" if numbers else word
    if word not in values:
        have = ", ".join(list(values)[-6:]) or "none yet"
        hint = f"for the characters write {{{{{word}}}}}"
        raise Usage(f"there is no value {word}; there are: {have}; {hint}")
    return word


def _said(text: str, known: Known) -> str:
    """The text with every reference in braces, and the newest value by its number."""

    def braced(found: re.Match[str]) -> str:
        if found["literal"]:
            return found[0]
        if found["file"] is not None:
            return _said_file(found["file"], known)
        return "{" + resolved(found["braced"] or found["bare"], known) + "}"

    return _SAID.sub(braced, text)


def _said_file(name: str, known: Known) -> str:
    """A file by its reference; what only might be one (@ann) as it is. Raises Usage."""
    if name in known("@" + name):
        if set(name) & set("{}"):
            raise Usage(f"a name with braces cannot be given in a line: {name}; link that file")
        return f"{{@{name}}}"
    return f"{{{resolved('@' + name, known)}}}" if _FILE_LIKE.search(name) else f"@{name}"


def references(text: str) -> list[str]:
    """What a said text refers to, each once, in order."""
    found = (m["braced"] for m in _SAID.finditer(text) if not m["literal"])
    return list(dict.fromkeys(word for word in found if word))


def instruction(text: str, names: dict[str, str]) -> str:
    """A said text with its references replaced by the names of their operands."""
    return _SAID.sub(
        lambda m: "{" + m["literal"] + "}" if m["literal"] else names.get(m["braced"] or "", m[0]),
        text,
    )


def _resolved_words(words: tuple[str, ...], known: Known) -> tuple[str, ...]:
    """Words with each reference, also that of name=_3, in braces."""
    out = []
    for word in words:
        name, sign, right = word.rpartition("=")
        is_value = _VALUE.fullmatch(right) and (not sign or name.isidentifier())
        out.append(f"{name}{sign}{{{resolved(right, known)}}}" if is_value else word)
    return tuple(out)


def _near(word: str, options: Collection[str]) -> str:
    near = get_close_matches(word, options, 1)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; there are: {', '.join(sorted(options))}" if options else ""
