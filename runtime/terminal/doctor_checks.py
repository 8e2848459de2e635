"""The doctor's checks. Each looks at one thing and, if it is not there, says how it is had.

Of the groups, ``base`` alone is needed: what is missing of the others is no fault.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from nlpu.engines.embedded.gguf import metadata_of
from nlpu.engines.hub_engine import check_kind
from nlpu.engines.models import DEFAULT_MODEL, installed_model, known_models
from nlpu.errors import NlpuError, UnknownProcessor
from nlpu.extras import adding, adding_weights
from nlpu.owner_only import open_to_others
from nlpu.runtime.journal import own
from nlpu.runtime.journal.places import journals, local
from nlpu.runtime.journal.where import Place
from nlpu.runtime.scheduler.budget import Budget
from nlpu.runtime.settings import KEY_VARIABLE, Settings, api_key
from nlpu.runtime.terminal.options import DEFAULT_SERVER

_LEAST_FREE_MB = 200
_ASK_S = 5.0
_REQUIREMENT = re.compile(r"""(?P<package>[\w.-]+)[^;]*(;.*extra\s*==\s*["'](?P<extra>[\w-]+))?""")
_ADDS = {
    "memory": "texts that are kept, and found again (nlpu memory)",
    "documents": "HTML and PDF files for a memory",
    "mcp": "tools of MCP servers in programs",
    "transformers": "model folders, embedding models, models for vLLM",
    "vllm": "large models on a GPU (nlpu serve)",
    "postgres": "runs and memories in a database (--store postgresql://)",
    "fleet": "runs over several processes and machines (--workers, nlpu worker)",
    "tune": "better words and examples for an op (nlpu tune)",
    "otel": "runs as OpenTelemetry spans (nlpu show --otel)",
    "plot": "pictures of benchmarks (nlpu bench --plot)",
    "docs": "the pages as a site (make docs)",
    "dev": "the tests of this project (make test)",
}
Version = Callable[[str], str | None]  # of a package, where it is installed
_MORE_THAN_ITSELF = {
    "dev": "make test",  # installs all that the tests need, and passes them
    "memory": f"{adding('memory', 'transformers')} && {adding_weights('embedder')}",
    "vllm": "python3 -m venv .venv-vllm && .venv-vllm/bin/pip install 'vllm>=0.32'",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. ``adds``: what it is good for; ``remedy``: what to do if not ``ok``."""

    group: str
    name: str
    ok: bool
    detail: str
    remedy: str = ""
    adds: str = ""


def check_all(now: Settings, offline: bool) -> list[Check]:
    """Everything, in the order it is printed."""
    declared = declared_here()
    more = [_or_elsewhere(check) for check in extras(declared, version_here)]
    servers = [] if offline or now.engine == DEFAULT_SERVER else [DEFAULT_SERVER]
    return [
        *packages(declared, version_here),
        _runs(now.run_dir),
        *_money(now),
        _engine(now, offline, more),
        *_models(),
        *more,
        *(_server(url, "servers") for url in servers),
        *_open_to_others(now),
    ]


def _open_to_others(now: Settings) -> list[Check]:
    """What others can read though it holds texts, and whether one's own journals can be known."""
    found = []
    folders = (local(now.run_dir), now.store)
    for place in (each for each in folders if isinstance(each, Path)):
        wide = sum(not path.is_dir() for path in open_to_others(place))
        if wide and place.stat().st_mode & 0o077:  # else nobody comes to them
            detail = f"{wide} files can be read by others"
            found.append(Check("private", str(place), False, detail, f"chmod -R go= {place}"))
    no_secret = own.trouble()
    if no_secret:
        found.append(Check("private", "journals", False, "none is known to be yours", no_secret))
    return found


# -- packages --------------------------------------------------------------------------------


def declared_here() -> list[str]:
    """What the project requires, as its metadata says."""
    try:
        return metadata.requires("nlpu") or []
    except metadata.PackageNotFoundError:
        return ["nlpu"]


def version_here(package: str) -> str | None:
    """The installed version of a package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def packages(declared: Sequence[str], version_of: Version) -> list[Check]:
    """Python, and what nothing works without."""
    version = ".".join(map(str, sys.version_info[:3]))
    recent = sys.version_info >= (3, 11)
    python = Check("base", "python", recent, version, "" if recent else "install 3.11 or later")
    return [python, _brought("base", "packages", _groups(declared)[""], version_of)]


def extras(declared: Sequence[str], version_of: Version) -> list[Check]:
    """Each extra that the project declares, and whether it is here."""
    groups = _groups(declared)
    del groups[""]
    return [_brought("extras", extra, names, version_of) for extra, names in groups.items()]


def how_to_install(extra: str) -> str:
    """The one command; the registry's ``nlpu`` may be somebody else's."""
    return _MORE_THAN_ITSELF.get(extra) or adding(extra)


def _groups(declared: Sequence[str]) -> dict[str, list[str]]:
    """Packages by the extra that brings them; "" brings those of the base."""
    groups: dict[str, list[str]] = {"": []}
    for line in declared:
        if found := _REQUIREMENT.match(line):
            groups.setdefault(found["extra"] or "", []).append(found["package"])
    return groups


def _brought(group: str, name: str, names: list[str], version_of: Version) -> Check:
    versions = {package: version_of(package) for package in names}
    missing = [package for package, version in versions.items() if version is None]
    detail = ", ".join(f"{package} {version}" for package, version in versions.items())
    remedy = how_to_install(name) if group == "extras" else "make install"
    if missing:
        return Check(
            group,
            name,
            False,
            detail=f"no {', '.join(missing)}",
            remedy=remedy,
            adds=_ADDS.get(name, ""),
        )
    return Check(group, name, True, detail, adds=_ADDS.get(name, ""))


def _or_elsewhere(check: Check) -> Check:
    """vLLM may have an environment of its own."""
    from nlpu.engines.vllm.command import PYTHON_VARIABLE, survey

    if check.name != "vllm" or check.ok or not os.environ.get(PYTHON_VARIABLE):
        return check
    try:
        found = survey()
    except NlpuError as error:
        return Check(
            "extras", "vllm", False, detail=str(error), remedy=check.remedy, adds=check.adds
        )
    build = "CPU build" if found.cpu else "GPU build"
    return Check("extras", "vllm", True, f"{build} in {found.prefix}", adds=check.adds)


# -- where runs go, and what runs the model ----------------------------------------------------


def _runs(place: Place) -> Check:
    """Where runs go: a disk with room, or a database that answers."""
    if isinstance(place, Path):
        return _disk(place)
    try:
        return Check("base", str(place), True, f"{len(journals(place))} journals")
    except NlpuError as error:
        return Check("base", str(place), False, str(error), "name another with --store")


def _disk(run_dir: Path) -> Check:
    remedy = "choose another with --run-dir, NLPU_RUN_DIR or nlpu.toml"
    try:
        place = run_dir.absolute()
    except FileNotFoundError:
        return Check("base", str(run_dir), False, "the folder that this is in was removed", remedy)
    while not place.exists():
        place = place.parent
    free_mb = shutil.disk_usage(place).free // 2**20
    roomy, writable = free_mb >= _LEAST_FREE_MB, os.access(place, os.W_OK)
    return Check(
        "base",
        str(run_dir),
        roomy and writable,
        f"{free_mb} MB free{'' if writable else ', not writable'}",
        "" if roomy and writable else f"free some space, or {remedy}" if writable else remedy,
    )


def _engine(now: Settings, offline: bool, more: Sequence[Check]) -> Check:
    """The engine that a run would be made on."""
    if "://" in now.engine and offline:
        return Check("base", now.engine, True, "not asked: --offline")
    if "://" in now.engine:
        return _server(now.engine, "base", now.model)
    if now.engine == "scripted":
        return Check("base", "scripted", True, "the model of tests, which makes its answers up")
    for extra in more:
        if extra.name == now.engine and not extra.ok:
            return Check("base", now.engine, False, extra.detail, extra.remedy)
    return _in_process(now.engine, now.model)


def _in_process(engine: str, model: str | None) -> Check:

    if engine != "local" and model is None:
        return Check("base", engine, False, "no model is named", "name a folder: --model DIR")
    name = model or DEFAULT_MODEL
    path, how = _found(name)
    if path is not None:
        try:
            if not check_kind(engine, name):
                metadata_of(path)
        except NlpuError as error:
            path, how = None, str(error)
    detail, _, remedy = how.partition(": ")
    return Check("base", engine, path is not None, detail or name, remedy)


def _money(now: Settings) -> list[Check]:
    """Whether a limit of money can be held."""
    try:
        Budget(money=now.money).check_prices(now.price)
    except NlpuError as error:
        what, _, remedy = str(error).partition(": ")
        return [Check("base", "money", False, what, remedy)]
    return []


def _models() -> list[Check]:
    """The models that have a name here."""

    checks = []
    for model in known_models():
        path, how = _found(model.name)
        how = how.removeprefix(f"{model.name} is not on this machine: ")
        adds = f"{model.size_bytes / 1e6:,.0f} MB, {model.licence}, {model.publisher}"
        checks.append(
            Check(
                "models",
                model.name,
                path is not None,
                detail=str(path or ""),
                remedy=how,
                adds=adds,
            )
        )
    return checks


def _found(model: str) -> tuple[Path | None, str]:
    """Where a model is; if it is not here, why not and how it is had."""

    try:
        return installed_model(model).path, ""
    except NlpuError as error:
        return None, str(error)


def _server(url: str, group: str, model: str | None = None) -> Check:
    try:
        return Check(group, url, True, asyncio.run(_asked(url, model)))
    except UnknownProcessor as error:
        return Check(group, url, False, str(error), "name one that it serves: --model")
    except NlpuError as error:
        remedy = "start one: nlpu serve MODEL, and set " + KEY_VARIABLE
        return Check(group, url, False, str(error), remedy)
    except TimeoutError:
        return Check(group, url, False, f"no answer within {_ASK_S:g} s", "see to that server")


async def _asked(url: str, model: str | None) -> str:
    from nlpu.engines.registry import named_engine  # several URLs are servers of one model

    engine = named_engine(url, model, api_key())
    try:
        async with asyncio.timeout(_ASK_S):
            able = await engine.capabilities()
    finally:
        await engine.close()
    return " ".join([f"{able.model}, window {able.window}.", *able.weaker])
