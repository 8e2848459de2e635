"""What a GGUF file says of itself: its metadata, read without loading a tensor.

Theory of operation
-------------------
A GGUF file begins with a magic word, a version, two counts and then key-value pairs, each with a
type (the format's specification: ``docs/gguf.md`` of the ggml project). The file is mapped, so only
the pages that hold metadata are read. llama.cpp reads the rest.

Rules
1. Nothing is trusted: a length that points outside the file, an unknown type or another magic is a
   MissingPart that names the file.
2. Keys of large arrays that nobody asked for are skipped, not kept.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Collection
from pathlib import Path
from typing import Any

from nlpu.errors import MissingPart

_FORMATS = {  # type number -> struct format of one value
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
_STRING, _ARRAY = 8, 9
_VERSIONS = (2, 3)  # version 1 had 32-bit counts and is gone


def metadata_of(path: Path, arrays: Collection[str] = ()) -> dict[str, Any]:
    """All scalar metadata of a file, and the named arrays. Raises MissingPart."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            return _Reader(view).read(arrays)
    except (struct.error, ValueError, KeyError, UnicodeDecodeError, OverflowError) as error:
        why = "it ends early" if isinstance(error, struct.error) else error
        raise MissingPart(
            f"{path} is not a whole GGUF file ({why}): download it again, or name another"
        ) from error
    except OSError as error:
        raise MissingPart(f"{path} cannot be read: {error.strerror}; name another file") from error


class _Reader:
    def __init__(self, view: mmap.mmap) -> None:
        self._view, self._at = view, 0

    def read(self, arrays: Collection[str]) -> dict[str, Any]:
        magic = self._view[:4]
        if magic != b"GGUF":
            raise ValueError(f"it begins with {magic!r}")
        self._at = 4
        version, tensors, pairs = self._take("I"), self._take("Q"), self._take("Q")
        if version not in _VERSIONS:
            raise ValueError(f"version {version} is not known")
        found: dict[str, Any] = {}
        for _ in range(pairs):
            key, kind = self._string(), self._take("I")
            if kind == _ARRAY:
                values = self._array(key in arrays)
                if values is not None:
                    found[key] = values
            else:
                found[key] = self._string() if kind == _STRING else self._take(_FORMATS[kind])
        self._check_tensors(tensors, found.get("general.alignment", 32))
        return found

    def _check_tensors(self, count: int, alignment: Any) -> None:
        """Raise ValueError if a tensor begins beyond the file's end: a download was cut."""
        if type(alignment) is not int or alignment < 1:
            raise ValueError(f"its alignment is {alignment!r:.20}")
        last = 0
        for _ in range(count):
            self._bytes()  # its name
            dimensions = self._take("I")
            self._at += 8 * dimensions + 4  # their sizes, and its type
            last = max(last, self._take("Q"))
        if count and -(-self._at // alignment) * alignment + last >= len(self._view):
            raise ValueError("its weights go beyond its end")

    def _take(self, form: str) -> Any:
        (value,) = struct.unpack_from("<" + form, self._view, self._at)
        self._at += struct.calcsize("<" + form)
        return value

    def _bytes(self) -> bytes:
        size = self._take("Q")
        start = self._at
        if start + size > len(self._view):
            raise ValueError("a text goes beyond its end")
        self._at = start + size
        return self._view[start : self._at]

    def _string(self) -> str:
        return self._bytes().decode()

    def _array(self, wanted: bool) -> list[Any] | None:
        kind, count = self._take("I"), self._take("Q")
        if kind == _STRING:
            if count > len(self._view):
                raise ValueError("a list goes beyond its end")
            texts = [self._bytes() for _ in range(count)]
            return [text.decode(errors="replace") for text in texts] if wanted else None
        form = _FORMATS[kind]
        start, size = self._at, struct.calcsize("<" + form) * count
        if start + size > len(self._view):
            raise ValueError("a list goes beyond its end")
        self._at = start + size
        return list(struct.unpack_from(f"<{count}{form}", self._view, start)) if wanted else None
