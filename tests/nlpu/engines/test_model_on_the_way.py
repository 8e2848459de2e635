"""A model that is fetched by its name, run, and found again in the run's header: the real one."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from hub_kit import Hub, env, hub

from nlpu.engines.models import installed_model
from nlpu.runtime.terminal.show.archive import records
from tests.terminal_fixture import COMMAND, environment

__all__ = ["env", "hub"]  # fixtures

NAME = "Org/Smol-GGUF"


def ask(place: Path, hub_url: str, *more: str) -> subprocess.CompletedProcess[str]:
    caches = {"HF_ENDPOINT": hub_url, "HF_HOME": str(place / "hf"), "NLPU_CACHE": str(place / "n")}
    return subprocess.run(
        [*COMMAND, "run", "ask", "What is the capital of France?", "--model", NAME, *more],
        cwd=place,
        env=environment(**caches),
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


@pytest.mark.local
def test_a_hub_name_is_downloaded_in_sight_answers_and_stands_in_the_header(
    hub: Hub, tmp_path: Path
) -> None:
    file = installed_model(None)
    commit = hub.add(NAME, {"smol.gguf": file.path.read_bytes()})
    first = ask(tmp_path, hub.url)
    assert first.returncode == 0, first.stderr
    assert "Paris" in first.stdout and "98 MB" in first.stderr
    hub.close()
    second = ask(tmp_path, hub.url, "--json")
    assert "Paris" in json.loads(second.stdout)["result"] and "MB" not in second.stderr
    for record in records(tmp_path / ".nlpu" / "runs"):
        can = record.past.header["can"]
        assert (can["model"], can["weights"]) == (f"{NAME}/smol.gguf", file.sha256)
        assert commit in can["source"] and NAME in can["source"]


@pytest.mark.local
def test_a_cut_download_is_one_sentence_and_leaves_no_run(hub: Hub, tmp_path: Path) -> None:
    hub.add(NAME, {"smol.gguf": installed_model(None).path.read_bytes()})
    hub.repos[NAME].cuts["smol.gguf"] = [1000] * 20
    ended = ask(tmp_path, hub.url)
    assert ended.returncode == 1 and "Traceback" not in ended.stderr
    assert ended.stderr.strip().splitlines()[-1].startswith("error: ")
    assert not list((tmp_path / ".nlpu").glob("runs/*.db"))


@pytest.mark.local
def test_a_gguf_that_is_none_is_said_to_be_so(hub: Hub, tmp_path: Path) -> None:
    hub.add(NAME, {"smol.gguf": b"GGUF" + bytes(range(256)) * 40})
    ended = ask(tmp_path, hub.url)
    assert ended.returncode == 2 and "Traceback" not in ended.stderr
    assert "smol.gguf is not a whole GGUF file" in ended.stderr
