"""A hub's model of either kind, by its name alone: known before anything is downloaded."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hub_kit import FOLDER, REPO, Hub, env, hub

from nlpu.engines.hub_engine import HubEngine, check_kind
from nlpu.engines.models import fetch_model, is_folder
from nlpu.engines.registry import named_engine
from nlpu.errors import Cancelled, MissingPart, UnknownProcessor, Usage

__all__ = ["env", "hub"]  # fixtures
WITHOUT = """
import sys
sys.modules["torch"] = None  # as where it is not installed
from nlpu import Computer, op
from nlpu.runtime.terminal.app import main
with Computer(model="Org/Whole") as computer:
    try:
        computer.run(lambda: op("Say hello")().value)
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
sys.exit(main(["run", "ask", "Hi", "--model", "Org/Whole", *sys.argv[1:]]))
"""


def files_sent(hub: Hub) -> list[str]:
    return [each for each in hub.asked if "/resolve/" in each or "/cdn/" in each]


def test_the_kind_is_known_from_the_hubs_list(hub: Hub) -> None:
    hub.add("Org/Whole", FOLDER)
    assert is_folder("Org/Whole") and not is_folder(REPO) and not is_folder(None)
    assert check_kind("local", "Org/Whole") and not check_kind("local", REPO)
    assert files_sent(hub) == []
    fetch_model("Org/Whole")
    hub.close()
    assert is_folder("Org/Whole"), "it is here"


@pytest.mark.parametrize("engine", [(), ("--engine", "transformers")])
def test_a_folder_that_nothing_here_can_run_is_not_downloaded(
    hub: Hub, tmp_path: Path, engine: tuple[str, ...]
) -> None:
    hub.add("Org/Whole", FOLDER)
    command = [sys.executable, "-c", WITHOUT, *engine]
    ended = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env=os.environ, check=False
    )
    in_python, in_terminal = ended.stderr.splitlines()[-2:]
    assert in_python.startswith(
        "MissingPart: Org/Whole is a folder of safetensors, which needs torch"
    )
    assert in_terminal.startswith(
        "error: Org/Whole is a folder of safetensors, which needs torch: "
    )
    assert "nlpu serve" in in_terminal and ended.returncode == 1 and files_sent(hub) == []


def test_a_gguf_is_not_downloaded_for_transformers(hub: Hub) -> None:
    with pytest.raises(Usage, match=f"{REPO} is GGUF, which transformers does not run: leave out"):
        check_kind("transformers", REPO)
    assert files_sent(hub) == []


def test_each_kind_is_run_by_its_own_engine(hub: Hub) -> None:
    hub.add("Org/Whole", FOLDER)

    async def tried(name: str) -> str:
        engine = named_engine("local", name)
        assert isinstance(engine, HubEngine) and repr(engine) == f"HubEngine({name})"
        with pytest.raises((MissingPart, UnknownProcessor)):  # these are no models
            await engine.capabilities()
        engine.cancel("nobody")
        await engine.close()
        return repr(engine)

    assert asyncio.run(tried(REPO)).startswith("EmbeddedEngine(")
    assert asyncio.run(tried("Org/Whole")).startswith("TransformersEngine(")


def test_closed_while_the_hub_is_asked_it_runs_nothing(hub: Hub) -> None:
    async def closed() -> None:
        engine = HubEngine(REPO)
        opening = asyncio.ensure_future(engine.capabilities())
        await asyncio.sleep(0)
        await engine.close()
        with pytest.raises(Cancelled, match="was closed"):
            await opening

    asyncio.run(closed())
    assert files_sent(hub) == []
