"""Writing a file that a person named: whole or not at all, and for its owner alone.

A file that is written over keeps its mode.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from nlpu.errors import Usage
from nlpu.owner_only import make_file


def write_file(path: Path, text: str) -> None:
    """Write the text beside the path, then put it in its place. Raises Usage."""
    if path.name == "-" or (path.exists() and not path.is_file()):
        raise Usage(f"{path} is not a file; name one to be written")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            make_file(part)
            part.write_text(text, encoding="utf-8", errors="backslashreplace")
            if path.exists():
                part.chmod(stat.S_IMODE(path.stat().st_mode))
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise Usage(f"cannot write {path}: {error.strerror}; name another place") from error
