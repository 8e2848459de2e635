"""Models from the Hugging Face hub, through its library and its cache.

Theory of operation
-------------------
The hub is asked once which commit a revision is and what the commit holds: names, sizes, hashes.
Then the files are downloaded at that commit, and checked. What was chosen is noted under the name
it was asked for by, so the same name later means the same files, without network.

Rules
1. What is here is not asked for again: a branch stays at the commit first fetched. Another
   ``@revision`` fetches another one.
2. A file whose sha256 is not the one the hub announced is removed at once.
3. The library is imported inside functions: it is slow, and reads its settings at import. So
   settings that can be passed are read from the environment here, when used.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Self

from nlpu.engines.models.files import ModelFiles
from nlpu.engines.models.hub_cache import (
    COMMIT,
    cached,
    hub_cache,
    is_offline,
    model_of,
    note,
    snapshot,
    sweep,
)
from nlpu.engines.models.hub_errors import asking, endpoint, offline
from nlpu.engines.models.repo import HubName, Listing, choose
from nlpu.engines.models.store import Progress, Tell, checked, need_room
from nlpu.errors import MissingPart

_PATIENCE_S = 10.0


def fetch(name: HubName, tell: Tell | None = None, expected: str = "") -> ModelFiles:
    """Return the model, downloaded if it is not here. Raises Usage, HostError.

    expected: the only sha256 that will do, where it is known.
    """
    if here := cached(name, expected):
        return here
    wanted = listed(name)
    for file, (_, announced) in wanted.files.items():
        if expected and announced != expected:
            raise MissingPart(
                f"{endpoint()} has another file as {name.repo}/{file}: its sha256 is "
                f"{announced or 'not told'}, expected was {expected}; check HF_ENDPOINT"
            )
    _download(name, wanted, tell)
    note(name, wanted)
    return model_of(name, wanted, expected)


def listed(name: HubName) -> Listing:
    """Ask the hub which files a name means, and at which commit. Raises Usage, HostError."""
    if is_offline():
        raise offline(name)
    listing = _ask(name)
    chosen = choose(name, listing.files)
    return Listing(listing.commit, {file: listing.files[file] for file in chosen})


@cache
def _library() -> ModuleType:
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingPart(
            "names on the hub need the package huggingface_hub: pip install huggingface_hub"
        ) from error
    if "HF_HUB_VERBOSITY" not in os.environ:
        # Its warnings of each retry would stand amid our output.
        huggingface_hub.logging.set_verbosity(logging.ERROR)
    return huggingface_hub


def _ask(name: HubName) -> Listing:
    library = _library()
    with asking(name, hub_cache()):
        info = library.HfApi(endpoint=endpoint(), library_name="nlpu").model_info(
            name.repo, revision=name.revision, files_metadata=True, timeout=_PATIENCE_S
        )
        files = {
            file.rfilename: (file.size or 0, file.lfs.sha256 if file.lfs else "")
            for file in info.siblings or ()
        }
        if not COMMIT.fullmatch(info.sha or ""):
            raise ValueError("it names no commit")
    return Listing(info.sha, files)


def _download(name: HubName, wanted: Listing, tell: Tell | None) -> None:
    folder = snapshot(name, wanted.commit)
    sizes = {file: size for file, (size, _) in wanted.files.items()}
    absent = [file for file in sizes if not os.path.isfile(folder / file)]
    sweep(name)
    need_room(hub_cache(), sum(sizes[file] for file in absent))
    count = _Count(str(name), sum(sizes.values()), tell)
    for file, (size, announced) in wanted.files.items():
        end = count.done + size
        _verify(_downloaded(name, wanted.commit, file, count), announced)
        count.add(end - count.done)  # nothing was counted if the library had the file


def _downloaded(name: HubName, commit: str, file: str, count: _Count) -> Path:
    library = _library()
    with asking(name, hub_cache()):
        path: str = library.hf_hub_download(
            name.repo,
            file,
            revision=commit,
            endpoint=endpoint(),
            cache_dir=hub_cache(),
            library_name="nlpu",
            tqdm_class=_bar(count.add),
        )
    return Path(path)


def _verify(path: Path, announced: str) -> None:
    found = checked(path) if announced else ""
    if found == announced:
        return
    _remove(path)
    raise MissingPart(
        f"{endpoint()} sent something else as {path.name}: its sha256 is {found}, announced was "
        f"{announced}; it was removed, so try again"
    )


def _remove(path: Path) -> None:
    while path.is_symlink():  # the name in the snapshot, then the blob, which may be shared
        target = path.parent / path.readlink()
        path.unlink()
        path = target
    path.unlink(missing_ok=True)


class _Count:
    """Counts the bytes that have come, and tells whoever wants to know."""

    def __init__(self, what: str, total: int, tell: Tell | None) -> None:
        self.done = 0
        self._what, self._total, self._tell = what, total, tell

    def add(self, size: int) -> None:
        self.done += size
        if self._tell is not None and size:
            self._tell(Progress(self._what, self.done, self._total))


def _bar(add: Callable[[int], None]) -> type:
    """Make what the library takes for a progress bar's class; it only counts."""

    class Bar:
        n = total = 0

        def __init__(self, *_: Any, **__: Any) -> None: ...

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None: ...

        def update(self, size: float | None = 1) -> None:
            add(int(size or 0))

        def update_transfer(self, size: float | None = 1) -> None:
            """Leave out what came over the wire: ``update`` counts what was written."""

        def __getattr__(self, name: str) -> Callable[..., None]:
            return lambda *_, **__: None  # whatever else a bar does on a screen

    return Bar
