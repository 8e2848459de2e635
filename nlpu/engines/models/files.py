"""Model files as they lie on this machine: a GGUF file, or a folder with a whole model.

Rules
1. What is handed on was looked at: a file begins as GGUF files do, a folder lacks nothing.
2. A wheel's package is never imported: its file is read where the installer recorded it.
3. Nothing here writes, and nothing reaches the network.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from nlpu.engines.models.store import read_json
from nlpu.errors import MissingPart, Usage
from nlpu.extras import adding_weights

_MAGIC = b"GGUF"
_FOLDER = (".json", ".jinja", ".model", ".safetensors")
_WORDS = ("merges.txt", "vocab.txt")
_SPLIT = re.compile(r"-\d{5}-of-(?!00001)\d{5}\.gguf$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model on this machine.

    name:     what results are journaled under.
    path:     a GGUF file or a model folder, absolute.
    sha256:   of the GGUF file, or of what ``sha256sum`` prints of a folder's ``parts``.
    revision: the hub's commit; "" where there is none.
    source:   where it came from, for people.
    is_gguf:  whether it is one GGUF file, not a folder.
    """

    name: str
    path: Path
    sha256: str
    revision: str
    source: str
    is_gguf: bool = True

    @property
    def origin(self) -> str:
        """Where it came from, with its revision if it has one."""
        return f"{self.source}, revision {self.revision}" if self.revision else self.source


def find_in_wheel(distribution: str, ending: str) -> Path:
    """Find the one file of an installed wheel whose path ends so. Raises MissingPart."""
    from importlib import metadata  # here: only models out of wheels need it

    try:
        files = metadata.files(distribution) or []
    except metadata.PackageNotFoundError:
        files = []
    found = [Path(str(file.locate())) for file in files if str(file).endswith(ending)]
    if len(found) != 1 or not found[0].is_file():
        raise MissingPart(
            f"the weights package {distribution} is not installed: {adding_weights()}"
        )
    return found[0].absolute()


def check_gguf(path: Path) -> None:
    """Raise Usage if this is no GGUF file that can be used, MissingPart if it cannot be read."""
    refuse_split(path.name)
    try:
        with path.open("rb") as file:
            magic = file.read(len(_MAGIC))
    except OSError as error:
        raise _unreadable(path, error) from error
    if magic != _MAGIC:
        raise Usage(f"{path} is no GGUF file (it does not begin with GGUF): name a .gguf file")


def is_split(name: str) -> bool:
    """Say whether a file's name makes it one piece of a split GGUF."""
    return _SPLIT.search(name) is not None


def refuse_split(name: str) -> None:
    """Raise Usage for one piece of a split GGUF."""
    if is_split(name):
        raise Usage(
            f"{name} is one piece of a split GGUF, which is not supported: name a model in one "
            "file, or join the pieces with `llama-gguf-split --merge`"
        )


def lacking(names: Collection[str]) -> list[str]:
    """List what a model folder needs that is not among these file names."""
    missing = [name for name in ("config.json", "tokenizer.json") if name not in names]
    weights = any(name.endswith(".safetensors") for name in names)
    return missing if weights else [*missing, "*.safetensors"]


def parts(names: Collection[str]) -> tuple[str, ...]:
    """Choose from the names in a folder those that are its model's, sorted."""
    top = [name for name in names if "/" not in name]
    # Some repos hold the weights twice, the second time in their maker's own layout.
    doubles = {name for name in top if name.startswith("consolidated")}
    usual = any(name.startswith("model") and name.endswith(".safetensors") for name in top)
    wanted = [name for name in top if name.endswith(_FOLDER) or name in _WORDS]
    return tuple(sorted(name for name in wanted if not (usual and name in doubles)))


def check_folder(path: Path) -> None:
    """Raise MissingPart, naming what is missing, if the folder holds no whole model."""
    try:
        names = {entry.name for entry in path.iterdir()}
    except OSError as error:
        raise _unreadable(path, error) from error
    index = read_json(path / "model.safetensors.index.json").get("weight_map")
    shards = set(map(str, index.values())) if isinstance(index, dict) else set()
    missing = [*lacking(names), *sorted(shards - names)]
    if not missing:
        return
    ggufs = sorted(name for name in names if name.endswith(".gguf"))
    hint = f"name the file in it: {', '.join(ggufs)}" if ggufs else "name a folder with a model"
    raise MissingPart(f"{path} holds no model (no {', '.join(missing)}): {hint}")


def _unreadable(path: Path, error: OSError) -> MissingPart:
    return MissingPart(
        f"{path} cannot be read ({error.strerror}): see to its permissions, or name another"
    )
