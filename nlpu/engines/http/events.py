"""Cuts the bytes of server-sent events into the JSON values of their data.

Theory of operation
-------------------
A value is handed on as soon as its data is a whole JSON object: most servers end an event with an
empty line, some only with the line, and some say one object in several data lines. Lines end in LF,
CR LF or CR.

Rules
1. Where the bytes are cut changes nothing.
2. A mark of the byte order before the first line is no part of it.
3. What follows ``[DONE]`` is not read.
4. Lines that belong to no event are kept, up to a bound: a server may have answered without events.
5. An event that is named ``error`` is one, whatever its data looks like.
6. Empty lines, comments and fields beside the data keep a connection open and carry nothing, be it
   that they come byte by byte.
"""

from __future__ import annotations

from typing import Any

from nlpu.engines.http.body import BOM, MOST_ERROR, MOST_LINE, parsed

_FIELDS = (b":", b"event:", b"id:", b"retry:")


class Unreadable(Exception):
    """Data that is no JSON object. ``data``: what was said."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.data = data


class Events:
    """Feed it bytes; it gives the values that are whole."""

    def __init__(self) -> None:
        self.done = False
        self.idle = True  # what it was fed last carries nothing
        self.stray = b""
        self._begun = self._named_error = False
        self._rest = b""
        self._data = b""

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """The objects that ``data`` completes. Raises Unreadable."""
        text = self._rest + data
        if not self._begun:
            if len(text) < len(BOM) and BOM.startswith(text):
                self._rest = text
                return []
            text, self._begun = text.removeprefix(BOM), True
        lines = _with_plain_ends(text).split(b"\n")
        self._rest = lines.pop()
        self.idle = all(map(_carries_nothing, [*lines, self._rest]))
        if len(self._rest) > MOST_LINE:
            raise Unreadable(self._rest)
        return self._read(lines)

    def end(self) -> list[dict[str, Any]]:
        """The object of a last line that has no end, if it is whole; nothing where it is cut."""
        line, self._rest = self._rest.rstrip(b"\r"), b""
        return self._read([line]) if line else []

    def _read(self, lines: list[bytes]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for line in lines:
            if self.done:
                break
            if line.startswith(b"data:"):
                self._take(line[5:].strip(), found)
            elif line.startswith(b"event:"):
                self._named_error = line[6:].strip() == b"error"
            elif line and not line.startswith(_FIELDS):
                self.stray = (self.stray + line + b"\n")[: MOST_ERROR + 1]
            elif not line and self._data:
                raise Unreadable(self._data)
            elif not line:
                self._named_error = False  # an event without data
        return found

    def _take(self, value: bytes, found: list[dict[str, Any]]) -> None:
        if len(value) < 9 and value.strip(b'"').upper() == b"[DONE]":
            self.done = True
            return
        self._data = self._data + b"\n" + value if self._data else value
        if len(self._data) > MOST_LINE:
            raise Unreadable(self._data)
        if self._data.endswith(b"}"):
            try:
                event = parsed(self._data)
            except ValueError:
                return  # more lines may complete it
            self._data = b""
            found.append({"error": event.get("error", event)} if self._named_error else event)
            self._named_error = False


def _carries_nothing(line: bytes) -> bool:
    """Whether a line, or the beginning of one, is none of the data (rule 6)."""
    line = line.strip()
    return not line or any(line.startswith(each) or each.startswith(line) for each in _FIELDS)


def _with_plain_ends(text: bytes) -> bytes:
    """LF for every end of a line; a last CR waits for what follows it."""
    if b"\r" not in text:
        return text
    last = text[-1:] if text.endswith(b"\r") else b""
    return text[: len(text) - len(last)].replace(b"\r\n", b"\n").replace(b"\r", b"\n") + last
