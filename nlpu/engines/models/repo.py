"""A hub name, and which files of its repo are the model. Pure: nothing here reads or asks.

Theory of operation
-------------------
``owner/repo``, ``owner/repo:file.gguf`` and ``owner/repo/file.gguf`` name a model on the hub, each
with an optional ``@revision``. Without a file, the repo's only GGUF is meant, or its only
``*q4_k_m.gguf``; a repo without any GGUF but with safetensors is a model folder.

Rules
1. The choice follows from the repo's list of files alone, never from what is already here.
2. Where it is not clear, it is an error that lists what there is: no model is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from nlpu.engines.models.files import is_split, lacking, parts, refuse_split
from nlpu.errors import MissingPart, Usage
from nlpu.printing import some

MAIN = "main"
_PART = r"\w[\w.-]*"
_NAME = re.compile(
    rf"(?P<repo>{_PART}/{_PART})(?:@(?P<early>[\w.-]+))?"
    r"(?::(?P<file>[^@:]+)|/(?P<path>[^@:]+\.gguf))?(?:@(?P<late>[\w./-]+))?",
    re.ASCII,
)
_PAGE = re.compile(
    rf"https?://(?:huggingface\.co|hf\.co)/({_PART}/{_PART})"
    r"(?:/(?:tree|blob|resolve)/([\w.-]+)(?:/([^?]+?))?)?/?(?:\?.*)?",
    re.ASCII,
)
_BESIDE = ("mmproj", "imatrix")  # GGUF files that are no language model
_SHOWN = 12


@dataclass(frozen=True, slots=True)
class HubName:
    """A model on the hub. file: "" if the repo is to say; revision: a branch, tag or commit."""

    repo: str
    file: str = ""
    revision: str = MAIN

    def __str__(self) -> str:
        """Write the name so that it can be given again."""
        file = f":{self.file}" if self.file else ""
        return self.repo + file + (f"@{self.revision}" if self.revision != MAIN else "")


@dataclass(frozen=True, slots=True)
class Listing:
    """What a commit of a repo holds: for each file its size and sha256, "" if the hub has none."""

    commit: str
    files: dict[str, tuple[int, str]]


def read_hub_name(name: str) -> HubName | None:
    """Read a hub name, or the address of its page; None if this cannot be one."""
    if page := _PAGE.fullmatch(name):
        repo, revision, file = page.groups()
        name = repo + (f":{file}" if file else "") + (f"@{revision}" if revision else "")
    found = _NAME.fullmatch(name)
    if not found or (found["early"] and found["late"]):
        return None
    file = found["file"] or found["path"] or ""
    revision = found["early"] or found["late"] or MAIN
    if any(part in ("", ".", "..") for text in (file or "-", revision) for part in text.split("/")):
        return None
    return HubName(found["repo"], file, revision)


def choose(name: HubName, files: Collection[str]) -> tuple[str, ...]:
    """Choose the model's files: one GGUF, or a folder's. Raises Usage, MissingPart."""
    ggufs = sorted(file for file in files if file.lower().endswith(".gguf"))
    if name.file:
        if name.file not in ggufs:
            raise Usage(f"{name.repo} has no GGUF file {name.file}: {_there_are(ggufs)}")
        refuse_split(name.file)
        return (name.file,)
    if ggufs:
        return (_only(name, ggufs),)
    return _folder(name, files)


def is_sure(name: HubName, chosen: tuple[str, ...]) -> bool:
    """Say whether a choice among some of a repo's files would be the same among all of them."""
    return bool(name.file) or len(chosen) > 1 or _middling(chosen[0])


def _only(name: HubName, ggufs: list[str]) -> str:
    models = [file for file in ggufs if not any(word in file.lower() for word in _BESIDE)]
    whole = [file for file in models if not is_split(file)]
    likely = whole if len(whole) == 1 else [file for file in whole if _middling(file)]
    if len(likely) == 1:
        return likely[0]
    if models and not whole:
        refuse_split(models[0])
    raise Usage(
        f"{name.repo} has several GGUF files and not one *q4_k_m.gguf: name one as "
        f"{name.repo}:FILE, where FILE is {some(models or ggufs, _SHOWN)}"
    )


def _middling(file: str) -> bool:
    return file.lower().endswith("q4_k_m.gguf")


def _folder(name: HubName, files: Collection[str]) -> tuple[str, ...]:
    top = [file for file in files if "/" not in file]
    missing = lacking(top)
    if "*.safetensors" in missing:
        raise Usage(f"{name.repo} holds neither a GGUF file nor safetensors: name another repo")
    if missing:
        raise MissingPart(
            f"{name.repo} holds no whole model (no {', '.join(missing)}): name another repo"
        )
    return parts(top)


def _there_are(ggufs: list[str]) -> str:
    return f"it has {some(ggufs, _SHOWN)}" if ggufs else "it has none at all"
