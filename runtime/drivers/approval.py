"""A driver's call as it is put before whoever decides about it.

Theory of operation
-------------------
What decides (arguments that are ``authority`` or ``selector``) comes first and whole, then the
rest, which anybody may have written. Each line begins with what says whose it is::

    the program wants to act outside with send, at main/1:
      Send a letter.
    ! to = "ann@example.org"              decides; its further lines begin with ". "
      subject = "Hello"                   a content that fits its line, as JSON
      body, 40,213 characters:            one that does not; its lines begin with "  | "
      | Dear Ann,
      ... 39,900 characters are not shown
      | Yours, Bob
    - 'to' decides what it does (authority) and is untrusted

Rules
1. No content stands at the beginning of a line, and none is wrapped by the terminal.
2. Every character is seen: what has no look of its own is written as <U+200B>, and of many blanks
   in what decides there is a count.
3. What decides is never cut. Contents are, in their middle, and how much is not shown is said.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from itertools import islice
from types import MappingProxyType
from typing import Any, NamedTuple

from nlpu.label import UNTRUSTED, Label
from nlpu.printing import cells, one_line, visible
from nlpu.runtime.drivers.driver import Driver
from nlpu.runtime.drivers.policy import Objection

WIDTH, HEIGHT = 80, 24
_EFFECTS = {"write": "change something", "external": "act outside"}
_LEAST = 3  # lines of a content: its start, how much is not shown, its end
_MOST = 3  # lines of a reason, and of what the driver says about itself
_NARROWEST = 16  # columns
_BRIEF = 80  # characters of a content in a message
_BLANKS = re.compile(" {4,}")


class ExactCall(NamedTuple):
    """A driver's call as a person sees it, and as it would be made. ``arguments`` is JSON."""

    position: str
    driver: Driver
    arguments: str
    objections: tuple[Objection, ...] = ()
    labels: Mapping[str, Label] = MappingProxyType({})  # of its arguments
    scope: Label = UNTRUSTED  # of the program, where it was issued

    @property
    def digest(self) -> str:
        """What an approval is bound to."""
        whole = b"\0".join([self.position.encode(), self.driver.digest, self.arguments.encode()])
        return blake2b(whole, digest_size=12).hexdigest()

    @property
    def text(self) -> str:
        """On one line, raw and whole."""
        return f"{self.driver.name}({self.arguments})"

    def __str__(self) -> str:
        return brief(self)

    def __repr__(self) -> str:
        why = "".join(f"; {each.why}" for each in self.objections)
        return one_line(f"ExactCall({self.position}: {one_line(str(self), 100)}{why})")


def screen(
    call: ExactCall, head: str = "", width: int = WIDTH, height: int = HEIGHT, cut: str = ""
) -> list[str]:
    """Give the lines of a call: for one screen if ``cut`` says where the rest is, else whole."""
    given, width, driver = _given(call), max(width, _NARROWEST), call.driver
    decides = [name for name in given if driver.role_of(name) != "content"]
    contents = {name: given[name] for name in given if name not in decides}
    lines = lined(head or wish(call), width, "", "  ")
    lines += _few(lined(driver.about.partition("\n")[0], width, "  ", "  "), cut)
    for name in decides:
        lines += lined(f"{_name(name)} = {_json(given[name])}", width)
    reasons = [_few(lined(each.why, width, "- ", "  "), cut) for each in call.objections]
    end = [line for each in reasons for line in each]
    room = height - 3 - len(lines) - len(end)  # the question, and a line on either side
    body = _contents(contents, width, room, cut)
    if cut and len(lines) + len(body) + len(end) > height - 2:
        end.append(f"^ {len(lines) + len(body)} lines stand above: what decides is among the first")
    return [*lines, *body, *end]


def brief(call: ExactCall) -> str:
    """Tell the call on one line, for messages: what decides first, contents cut in their middle."""
    given = _given(call)
    parts = {True: list[str](), False: list[str]()}
    for name, content in given.items():
        text = _counted("".join(visible(_json(content, compact=True))))
        is_content = call.driver.role_of(name) == "content"
        if is_content and len(text) > _BRIEF:
            hidden = f" ...({len(text) - _BRIEF:,} characters more)... "
            text = text[: _BRIEF // 2] + hidden + text[-_BRIEF // 2 :]
        parts[is_content].append(f"{''.join(visible(_json(name)))}:{text}")
    return f"{call.driver.name}({{{','.join(parts[False] + parts[True])}}})"


def wish(call: ExactCall) -> str:
    """Say what the program wants, for the first line."""
    effect = _EFFECTS.get(call.driver.effect, "look at something")
    return f"the program wants to {effect} with {call.driver.name}, at {call.position}:"


def lined(text: str, width: int = WIDTH, first: str = "! ", more: str = ". ") -> list[str]:
    """Give all lines of a text that decides (rule 2)."""
    lines = _wrapped(_counted(text), width - 1 - max(len(first), len(more)))
    return [f"{more if at else first}{line}" for at, (line, _) in enumerate(lines)]


def _few(lines: list[str], cut: str) -> list[str]:
    hidden = len(lines) - _MOST + 1
    return [*lines[: _MOST - 1], f"  ... {hidden} more lines{cut}"] if cut and hidden > 1 else lines


def quoted(text: str, width: int = WIDTH) -> list[str]:
    """Give all lines of a text that anybody may have written (rule 1)."""
    return [f"  | {line}" for line, _ in _wrapped(text, width - 5)]


def _contents(contents: dict[str, Any], width: int, room: int, cut: str) -> list[str]:
    most = max(1, room // (_LEAST + 1)) if cut else len(contents)
    short = {name: _short(name, contents[name], width) for name in islice(contents, most)}
    long = list(short.values()).count("")
    share = max(_LEAST, (room - len(short) + long) // max(1, long) - 1)
    lines: list[str] = []
    for name, line in short.items():
        text = contents[name] if isinstance(contents[name], str) else _json(contents[name])
        if line:
            lines.append(line)
        else:
            head = lined(f"{_name(name)}, {len(text):,} characters:", width, "  ", "  ")
            lines += _few(head, cut)  # a server's names, too, are as long as it likes
            lines += _ends(text, width, share, cut) if cut else quoted(text, width)
    if len(contents) > most:
        lines.append(f"  ... {len(contents) - most:,} more arguments are not shown{cut}")
    return lines


def _short(name: str, content: Any, width: int) -> str:
    """An argument on one line, if it fits."""
    line = f"  {_name(name)} = {_json(content)}"
    line = "".join(visible(line)) if len(line) < width else ""
    return line if cells(line) < width else ""


def _ends(text: str, width: int, share: int, cut: str) -> list[str]:
    """The text in so many lines: its start and its end (rule 3)."""
    room = width - 5
    start = list(islice(_wrapped(text, room), share + 1))
    end: list[tuple[str, int]] = []
    if len(start) > share:
        start = start[: share // 2]
        rest = text[sum(taken for _, taken in start) :]
        end = list(_wrapped(rest[-room * share :], room))[-((share - 1) // 2) :]
    lines = [f"  | {line}" for line, _ in (*start, *end)]
    if end:
        hidden = len(text) - sum(taken for _, taken in (*start, *end))
        lines.insert(len(start), f"  ... {hidden:,} characters are not shown{cut}")
    return lines


def _wrapped(text: str, room: int) -> Iterator[tuple[str, int]]:
    """Lines of at most ``room`` columns, each with how many characters it took."""
    line, used, taken = "", 0, 0
    for sign, seen in zip(text, visible(text), strict=True):
        wide = cells(seen)
        if sign == "\n" or used + wide > room:
            yield line, taken + (sign == "\n")
            line, used, taken = "", 0, 0
        if sign != "\n":
            line, used, taken = line + seen, used + wide, taken + 1
    yield line, taken


def _given(call: ExactCall) -> dict[str, Any]:
    """The arguments by name; as they are written where Python does not read them again."""
    try:
        return dict(json.loads(call.arguments))
    except (ValueError, RecursionError):  # a number of thousands of digits, a list in a list in ...
        return {"arguments": call.arguments}


def _counted(text: str) -> str:
    return _BLANKS.sub(lambda run: f"<{len(run[0])} blanks>", text)


def _json(content: Any, *, compact: bool = False) -> str:
    separators = (",", ":") if compact else None
    return json.dumps(content, ensure_ascii=False, separators=separators)


def _name(name: str) -> str:
    """An argument's name; a server's tools may have any."""
    return name if name.isidentifier() and name.isascii() else _json(name)
