"""The prompt of a terminal: completion, history, colours, and what the line will do.

The toolbar says, while a line is typed, whether it will be a call or which command it is: the same
``parse`` that will carry it out decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress

from prompt_toolkit import PromptSession
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import FileHistory
from prompt_toolkit.lexers import Lexer
from prompt_toolkit.shortcuts import CompleteStyle
from prompt_toolkit.styles import Style

from nlpu.errors import NlpuError
from nlpu.owner_only import make_dir, make_file
from nlpu.runtime.journal.places import local
from nlpu.runtime.loader import load
from nlpu.runtime.terminal.arguments import parameters
from nlpu.runtime.terminal.output import one_line, said, say
from nlpu.runtime.terminal.repl.commands import COMMANDS
from nlpu.runtime.terminal.repl.console import Console
from nlpu.runtime.terminal.repl.lines import parse
from nlpu.types.result import choices_of

HISTORY = "repl_history"  # in the run directory
_WORD = re.compile(r"\S*$")
_OPENED = re.compile(r"\{@([^{}]*)$")
_MARKED = re.compile(r"\{@[^{}]*\}?|\{\w*\}?|(?<!\w)_\d*(?!\w)|(?<!\S)@\S+")
_STYLE = Style.from_dict(
    {
        "command": "bold ansicyan",
        "value": "ansigreen",
        "prompt": "bold",
        "bottom-toolbar": "reverse",
    }
)


def reader(on: Console) -> Callable[[], str]:
    """Reads one line; raises EOFError (Ctrl-D) and KeyboardInterrupt (Ctrl-C)."""
    folder = local(on.settings.run_dir)
    make_dir(folder)
    make_file(folder / HISTORY)
    session: PromptSession[str] = PromptSession(
        history=Lines(str(folder / HISTORY)),
        auto_suggest=AutoSuggestFromHistory(),
        completer=Words(on),
        complete_while_typing=False,
        complete_style=CompleteStyle.READLINE_LIKE,
        lexer=Marks(on),
        bottom_toolbar=lambda: [("", _toolbar(on, session.default_buffer.text))],
        style=_STYLE,
        enable_open_in_editor=True,
        reserve_space_for_menu=0,
    )
    return lambda: session.prompt([("class:prompt", f"{prompt_of(on)}> ")])


def prompt_of(on: Console) -> str:
    """The name that the next value will have."""
    return "held" if on.held is not None else f"_{len(on.session.entries) + 1}"


def _toolbar(on: Console, typed: str) -> str:
    counts, run = on.run.counts, on.run.name
    spent = f"{counts.calls} calls, {counts.completion_tokens / 100:.1f} nlops"
    return one_line(f"{_meaning(on, typed)} | {run} | {spent}", 79)


def _meaning(on: Console, typed: str) -> str:
    """What Enter would do."""
    if not typed.strip():
        return "a line is a call; help lists the commands"
    try:
        line = parse(typed, on.known)
    except NlpuError as error:
        return said(error)
    if line.verb in COMMANDS:
        return f"command: {COMMANDS[line.verb][0]}"
    into = f", bound to {line.name}" if line.name else ""
    return {"say": "a call", "text": "a text", "take": "a value"}.get(line.verb, line.verb) + into


class Lines(FileHistory):
    """Lines of all sessions; where the file cannot be read or written, those of this one."""

    def load_history_strings(self) -> Iterable[str]:
        try:
            yield from super().load_history_strings()
        except OSError as error:
            say(f"earlier lines are not there: {error.strerror}: {self.filename!r}")

    def store_string(self, string: str) -> None:
        with suppress(OSError):
            super().store_string(string)


class Marks(Lexer):
    """Colours a command's first word and the references."""

    def __init__(self, on: Console) -> None:
        self._on = on

    def lex_document(self, document: Document) -> Callable[[int], StyleAndTextTuples]:
        return lambda number: self._marked(document.lines[number])

    def _marked(self, text: str) -> StyleAndTextTuples:
        try:
            verb = parse(text, self._on.known).verb if text.strip() else "say"
        except NlpuError:
            verb = "say"
        out: StyleAndTextTuples = []
        start = len(text.split(" ", 1)[0]) if verb in COMMANDS and verb != "say" else 0
        if start and "=" not in text[:start]:
            out.append(("class:command", text[:start]))
        else:
            start = 0
        for found in _MARKED.finditer(text, start):
            out += [("", text[start : found.start()]), ("class:value", found[0])]
            start = found.end()
        return [*out, ("", text[start:])]


def _opened(usage: str) -> str:
    """A command's name, with a blank if words may follow."""
    name, blank, _ = usage.partition(" ")
    return name + blank


def _files(typed: str, braced: bool, event: CompleteEvent) -> Iterable[Completion]:
    """The files that go on with ``typed``; one with blanks gets the braces it needs."""
    for found in PathCompleter().get_completions(Document(typed), event):
        if braced or " " not in found.text:
            yield found
        else:
            yield Completion(f"{{@{typed}{found.text}", -len(typed) - 1, display=found.display)


class Words(Completer):
    """Completes commands, then what their usage says; names and files anywhere."""

    def __init__(self, on: Console) -> None:
        self._on = on

    def get_completions(self, document: Document, event: CompleteEvent) -> Iterable[Completion]:
        before = document.text_before_cursor
        match = _WORD.search(before)
        word = match[0] if match else ""
        opened = _OPENED.search(before)
        if opened or "@" in word:
            yield from _files(opened[1] if opened else word.rpartition("@")[2], bool(opened), event)
            return
        for option, note in self._options(before[: len(before) - len(word)], word):
            if option.startswith(word) and option != word:
                yield Completion(option, -len(word), display_meta=note)

    def _options(self, before: str, word: str) -> Iterable[tuple[str, str]]:
        values = [(name, "") for name in self._on.known("VALUE")]
        if word.startswith("{"):
            return [("{" + name + "}", note) for name, note in values]
        words = before.removeprefix("/").split()
        if words[1:2] == ["="]:  # name = run ...
            words = words[2:]
        if not words:
            slash = "/" if word.startswith("/") else ""
            return [(slash + _opened(usage), usage) for usage, _ in COMMANDS.values()] + values
        return self._of_command(words) or values

    def _of_command(self, words: list[str]) -> list[tuple[str, str]]:
        verb, *given = words
        if verb not in COMMANDS:
            return []
        if verb == "run" and given:
            return self._arguments(given[0])
        places = COMMANDS[verb][0].split()[1:]
        if len(given) >= len(places):
            return []
        kinds = places[len(given)].strip("[].").split("|")
        return [(option, kind.lower()) for kind in kinds for option in self._on.known(kind)]

    def _arguments(self, program: str) -> list[tuple[str, str]]:
        """name= for each parameter, with what it takes; its choices where they are few."""
        try:
            places = parameters(load(program))
        except NlpuError:
            return []
        found = []
        for place in places:
            found.append((f"{place.name}=", str(place)))
            if place.type is bool:
                found += [(f"{place.name}={word}", "") for word in ("yes", "no")]
            elif place.schema is None and place.type not in (str, int, float):
                found += [(f"{place.name}={choice}", "") for choice in choices_of(place.type)]
        return found + [("{" + name + "}", "") for name in self._on.known("VALUE")]
