"""The doctor's checks. Each looks at one thing and, if it is not there, says what to do."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from nlpu.errors import NlpuError
from runtime.terminal.options import DEFAULT_SERVER, KEY_VARIABLE, api_key

_LEAST_FREE_MB = 200
_ASK_S = 5.0


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. ``remedy`` is what to do if it is not ``ok``."""

    group: str
    name: str
    ok: bool
    detail: str
    remedy: str = ""


def check_all(engine: str | None, run_dir: Path, offline: bool) -> list[Check]:
    """Everything, in the order it is printed."""
    servers = [] if offline else [DEFAULT_SERVER]
    if engine not in (None, "local", "scripted", DEFAULT_SERVER):
        servers.append(str(engine))
    return [
        *_packages(),
        *_disk(run_dir),
        _local(),
        *(_server(url) for url in servers),
        _vllm(),
    ]


def _packages() -> list[Check]:
    version = ".".join(map(str, sys.version_info[:3]))
    found = [Check("packages", "python", sys.version_info >= (3, 11), version)]
    for group, names in _groups().items():
        if group != "vllm":  # it may have an environment of its own: ``_vllm``
            found.append(_package_group(group, names, how_to_install(group)))
    return found


def _groups() -> dict[str, list[str]]:
    """Packages by the extra that brings them, as the project declares them."""
    groups: dict[str, list[str]] = {"base": []}
    try:
        declared = metadata.requires("nlpu") or []
    except metadata.PackageNotFoundError:
        declared = ["nlpu"]
    for line in declared:
        needed, _, extra = line.partition("; extra == ")
        package = re.split(r"[^\w.-]", needed)[0]
        groups.setdefault(extra.strip('"') or "base", []).append(package)
    return groups


def how_to_install(group: str) -> str:
    """What brings a group of packages; the registry's ``nlpu`` may be somebody else's."""
    make = "make install" if group in ("base", "local") else "make test"
    what = "." if group == "base" else f"'.[{group}]'"
    return f"in the checkout: {make}, or pip install -c constraints.txt -e {what}"


def _package_group(name: str, packages: list[str], remedy: str) -> Check:
    versions = {package: _version(package) for package in packages}
    missing = [package for package, version in versions.items() if version is None]
    if missing:
        return Check("packages", name, False, f"no {', '.join(missing)}", remedy)
    return Check("packages", name, True, ", ".join(f"{p} {v}" for p, v in versions.items()))


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _disk(run_dir: Path) -> list[Check]:
    place = run_dir.absolute()
    while not place.exists():
        place = place.parent
    free_mb = shutil.disk_usage(place).free // 2**20
    roomy, writable = free_mb >= _LEAST_FREE_MB, os.access(place, os.W_OK)
    remedy = "choose another with --run-dir or NLPU_RUN_DIR"
    return [
        Check(
            "runs", str(run_dir), roomy and writable,
            f"{free_mb} MB free{'' if writable else ', not writable'}",
            "" if roomy and writable else f"free some space, or {remedy}" if writable else remedy,
        )
    ]  # fmt: skip


def _local() -> Check:
    from nlpu.engines.weights import DEFAULT_MODEL, find_model

    name = f"local ({DEFAULT_MODEL})"
    missing = [package for package in _groups().get("local", []) if _version(package) is None]
    if missing:
        return Check("processors", name, False, f"no {', '.join(missing)}", "make install")
    try:
        return Check("processors", name, True, f"weights in {find_model()}")
    except NlpuError as error:
        return Check("processors", name, False, str(error), "make install")


def _server(url: str) -> Check:
    try:
        return Check("processors", url, True, asyncio.run(_asked(url)))
    except NlpuError as error:
        remedy = "start one: nlpu serve MODEL, and set " + KEY_VARIABLE
        return Check("processors", url, False, str(error), remedy)
    except TimeoutError:
        return Check("processors", url, False, f"no answer within {_ASK_S:g} s", "")


async def _asked(url: str) -> str:
    from nlpu.engines.openai_http import HttpEngine

    engine = HttpEngine(url, api_key=api_key())
    try:
        async with asyncio.timeout(_ASK_S):
            able = await engine.capabilities()
    finally:
        await engine.close()
    return " ".join([f"{able.model}, window {able.window}.", *able.weaker])


def _vllm() -> Check:
    from nlpu.engines.serve_command import survey

    try:
        found = survey()
    except NlpuError as error:
        return Check("servers to start", "vllm", False, str(error), "see docs/gpu.md")
    build = "CPU build" if found.cpu else "GPU build"
    return Check("servers to start", "vllm", True, f"{build} in {found.prefix}")
