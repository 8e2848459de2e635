"""The files of datasheets: which there are, and what tells that one is another by now.

Rules
1. A run notes them as it begins: what is planned later, maybe in a later life, is planned from the
   same files or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

from nlpu.errors import Usage


def files_of(places: Iterable[str]) -> list[Path]:
    """Give the files of datasheets in places that are files or folders of them."""
    found = list[Path]()
    for each in map(Path, places):
        found += sorted(each.glob("*.json")) if each.is_dir() else [each]
    return found


def noted(places: Iterable[str]) -> dict[str, str]:
    """Give a digest of each file there is; "" for one that cannot be read, which is told later."""
    return {str(path): _digest(path) for path in files_of(places)}


def check_same(before: Mapping[str, str], places: Iterable[str]) -> None:
    """Refuse other files than there were, wherever they lie. Raises Usage."""
    now = noted(places)
    if sorted(before.values()) == sorted(now.values()):
        return
    there = set(before.values())
    odd = [path for path, digest in now.items() if digest not in there]
    gone = [path for path, digest in before.items() if digest not in now.values()]
    which = ", ".join(dict.fromkeys(gone + odd))
    raise Usage(
        f"the datasheets have changed since the run began ({which}), and only now it plans from "
        "them: restore them, or go on with what they say now (--changed, changed=True)"
    )


def _digest(path: Path) -> str:
    try:
        now = path.stat()
        return _content_digest(path, now.st_mtime_ns, now.st_size)
    except OSError:
        return ""


@lru_cache(maxsize=64)
def _content_digest(path: Path, modified_ns: int, size: int) -> str:
    """Read once for a batch; a changed file has another time or size."""
    return blake2b(path.read_bytes(), digest_size=16).hexdigest()
