"""Lines of stdin as they come, without waiting for the next one."""

from __future__ import annotations

import io
import os
from collections import deque
from select import select
from typing import IO

_PATIENCE_S, _PIECE = 0.02, 1 << 16


class Patient:
    """A stream whose next line may be long in coming: meanwhile ``readline`` gives None."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._rest, self._lines, self._is_over = stream, b"", deque[bytes](), False

    def readline(self, most: int) -> bytes | None:
        """The next line, or what there is of one that is longer; nothing at the end."""
        while not (self._lines or self._is_over) and len(self._rest) < most:
            try:
                if not select([self._stream], [], [], _PATIENCE_S)[0]:
                    return None
                piece = os.read(self._stream.fileno(), _PIECE)
            except io.UnsupportedOperation:  # it is no file of the system
                piece = self._stream.read(_PIECE)
            self._is_over = not piece
            *whole, self._rest = (self._rest + piece).split(b"\n")
            self._lines.extend(line + b"\n" for line in whole)
        if self._lines:
            return self._lines.popleft()
        rest, self._rest = self._rest, b""
        return rest
