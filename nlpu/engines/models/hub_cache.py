"""What of the hub is on this machine: the library's cache, and our notes of what was chosen.

Theory of operation
-------------------
A note says for a name which commit and which files it stood for when it was fetched. Without a
note (others downloaded it, or ours are gone) the library's own refs and snapshots are read, and
taken only where the name can mean nothing else.

Rules
1. Nothing here reaches the network, and nothing imports the library.
2. The library's cache is read in its documented layout; all that is written to it is a ref, and
   all that is removed are beginnings of downloads that nobody goes on with.
"""

from __future__ import annotations

import fcntl
import os
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from nlpu.engines.models.files import ModelFiles, check_folder, check_gguf
from nlpu.engines.models.repo import HubName, Listing, choose, is_sure
from nlpu.engines.models.store import (
    cache_dir,
    checked,
    checked_parts,
    read_json,
    write_json,
    write_text,
)
from nlpu.errors import NlpuError

COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_BEGUN = re.compile(r"([^.]+)\.[0-9a-f]{8}\.incomplete")  # blob, and a part drawn by its writer


def is_offline() -> bool:
    """Say whether the user forbids to ask the hub."""
    said = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return said.upper() in ("1", "ON", "YES", "TRUE")


def hub_cache() -> Path:
    """Name the library's cache, as its users set it."""
    env = os.environ.get
    home = env("HF_HOME") or (env("XDG_CACHE_HOME") or "~/.cache") + "/huggingface"
    place = env("HF_HUB_CACHE") or env("HUGGINGFACE_HUB_CACHE") or f"{home}/hub"
    return Path(os.path.abspath(os.path.expanduser(os.path.expandvars(place))))


def snapshot(name: HubName, commit: str) -> Path:
    """Name the folder with the files of a commit."""
    return _repo_dir(name) / "snapshots" / commit


def cached(name: HubName, expected: str = "") -> ModelFiles | None:
    """Return the model if it is on this machine. Raises MissingPart if it is damaged.

    expected: the only sha256 that will do, where it is known.
    """
    for listing in (_noted(name), _lying(name)):
        if listing and all(
            os.path.isfile(snapshot(name, listing.commit) / file) for file in listing.files
        ):
            return model_of(name, listing, expected)
    return None


def model_of(name: HubName, listing: Listing, expected: str = "") -> ModelFiles:
    """Return the model whose files lie here, checked. Raises MissingPart, Usage."""
    folder = snapshot(name, listing.commit)
    source = f"hub {name.repo} @{listing.commit[:8]}"
    if len(listing.files) > 1:
        hashes = {file: announced for file, (_, announced) in listing.files.items()}
        check_folder(folder)
        sha256 = checked_parts(folder, hashes)
        return ModelFiles(name.repo, folder, sha256, listing.commit, source, is_gguf=False)
    ((file, (_, announced)),) = listing.files.items()
    sha256 = checked(folder / file, expected or announced)
    check_gguf(folder / file)
    return ModelFiles(f"{name.repo}/{file}", folder / file, sha256, listing.commit, source)


def note(name: HubName, listing: Listing) -> None:
    """Note which files a name stands for, so that it needs no network again."""
    content = {"commit": listing.commit, "files": listing.files}
    write_json(_note_of(name), content)
    if len(listing.files) == 1:  # results are journaled under the file's full name
        write_json(_note_of(replace(name, file=next(iter(listing.files)))), content)
    if not COMMIT.fullmatch(name.revision):  # as the library does, for its other users
        write_text(_repo_dir(name) / "refs" / name.revision, listing.commit)


def sweep(name: HubName) -> None:
    """Remove what killed downloads of a repo left: the library begins each of them anew.

    A blob's writer holds its lock, so the beginnings that were there before the lock was free have
    no writer. Where a file system has no locks, what has a lock's file stays.
    """
    folder = _repo_dir(name)
    locks = folder.parent / ".locks" / folder.name
    for path in [*folder.glob("blobs/*.incomplete")]:
        begun = _BEGUN.fullmatch(path.name)
        if begun and _is_free(locks / f"{begun[1]}.lock"):
            with suppress(OSError):  # none of ours to remove
                path.unlink()


def _is_free(lock: Path) -> bool:
    """Whether nobody holds a lock of the library's; it is neither made nor kept."""
    try:
        with lock.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _noted(name: HubName) -> Listing | None:
    content = read_json(_note_of(name))
    try:
        files = {str(file): (int(size), str(sha)) for file, (size, sha) in content["files"].items()}
        commit = COMMIT.fullmatch(content["commit"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return Listing(commit[0], files) if commit and files else None


def _lying(name: HubName) -> Listing | None:
    commit = _commit(name)
    folder = snapshot(name, commit)
    if not commit or not os.path.isdir(folder):
        return None
    there = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.*")}
    try:
        chosen = choose(name, there)
        if len(chosen) > 1:
            check_folder(folder)
    except NlpuError:
        return None
    sizes = {file: there[file].stat().st_size for file in chosen if os.path.isfile(there[file])}
    if len(sizes) < len(chosen) or not is_sure(name, chosen):
        return None
    return Listing(commit, {file: (size, _blob(there[file])) for file, size in sizes.items()})


def _commit(name: HubName) -> str:
    if COMMIT.fullmatch(name.revision):
        return name.revision
    try:
        said = (_repo_dir(name) / "refs" / name.revision).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
    return said if COMMIT.fullmatch(said) else ""


def _blob(path: Path) -> str:
    # In the cache a file is a link to a blob, and a large one's is named by its sha256.
    found = _SHA256.fullmatch(path.readlink().name) if path.is_symlink() else None
    return found[0] if found else ""


def _repo_dir(name: HubName) -> Path:
    return hub_cache() / ("models--" + name.repo.replace("/", "--"))


def _note_of(name: HubName) -> Path:
    return cache_dir() / "hub" / f"{quote(str(name), safe='')}.json"
