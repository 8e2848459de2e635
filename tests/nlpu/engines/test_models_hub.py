"""Models from the hub: every form of name, what is fetched, and what is kept for later."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hub_kit import (
    FILES,
    FOLDER,
    GGUF,
    KNOWN,
    Q4,
    Q8,
    REPO,
    Hub,
    Told,
    env,
    hub,
    left,
    listed,
    sha256_of,
)

from nlpu import errors as e
from nlpu.engines.models import fetch_model, installed_model
from nlpu.engines.models.find import fetch_known

__all__ = ["env", "hub"]  # fixtures


@pytest.mark.parametrize(
    ("name", "file"),
    [
        (REPO, Q4),
        (f"{REPO}:{Q8}", Q8),
        (f"{REPO}/{Q8}", Q8),
        (f"{REPO}@main", Q4),
        (f"{REPO}:{Q4}@main", Q4),
    ],
)
def test_a_hub_name_is_fetched_once_then_needs_no_hub(
    hub: Hub, tmp_path: Path, name: str, file: str
) -> None:
    with pytest.raises(e.MissingPart, match="is not on this machine: run with --model"):
        installed_model(name)
    assert hub.asked == []
    found = fetch_model(name)
    commit = hub.repos[REPO].refs["main"]
    assert found.path.read_bytes() == FILES[file] and found.path.is_absolute()
    assert (found.name, found.sha256) == (f"{REPO}/{file}", sha256_of(FILES[file]))
    assert (found.revision, found.source) == (commit, f"hub {REPO} @{commit[:8]}")
    asked = len(hub.asked)
    assert fetch_model(name) == found and len(hub.asked) == asked
    hub.close()
    assert fetch_model(name) == installed_model(name) == installed_model(found.name) == found


def test_a_branch_stays_at_the_commit_fetched_and_a_revision_names_another(hub: Hub) -> None:
    old = fetch_model(REPO)
    commit = hub.add(REPO, {Q4: GGUF + b"new"})
    assert fetch_model(REPO) == old
    new = fetch_model(f"{REPO}@{commit}")
    assert (new.revision, new.path.read_bytes()) == (commit, GGUF + b"new")
    assert fetch_model(f"{REPO}@{old.revision}") == old  # by its commit, though asked as main
    tag = hub.add(REPO, {Q4: GGUF + b"tag"}, "refs/pr/1")
    assert fetch_model(f"{REPO}@refs/pr/1").revision == tag
    assert fetch_model(REPO) == old


def test_progress_is_told_to_the_last_byte(hub: Hub) -> None:
    told = Told()
    fetch_model(REPO, told)
    loads = [one for one in told if one.what == REPO]
    assert [one.done_bytes for one in loads] == sorted(one.done_bytes for one in loads)
    assert loads[-1].done_bytes == loads[-1].total_bytes == len(GGUF)


def test_who_is_told_of_the_progress_may_stop_it(hub: Hub, tmp_path: Path) -> None:
    def stop(_: object) -> None:
        raise e.Cancelled("enough")

    with pytest.raises(e.Cancelled, match="enough"):
        fetch_model(REPO, stop)
    assert left(tmp_path) == []
    known = replace(KNOWN, revision=hub.repos[REPO].refs["main"], parts_file="/none")
    with pytest.raises(e.Cancelled):
        fetch_known(known, stop)


def test_safetensors_are_a_folder(hub: Hub, tmp_path: Path) -> None:
    commit, told = hub.add("Org/Whole", FOLDER), Told()
    found = fetch_model("Org/Whole", told)
    assert (found.name, found.is_gguf, found.revision) == ("Org/Whole", False, commit)
    there = {path.name: path.read_bytes() for path in found.path.iterdir()}
    assert there == {n: FOLDER[n] for n in ("config.json", "tokenizer.json", "model.safetensors")}
    assert found.sha256 == listed(found.path)
    loads = [one for one in told if one.what == "Org/Whole"]
    assert loads[-1].done_bytes == loads[-1].total_bytes == sum(map(len, there.values()))
    hub.close()
    assert installed_model("Org/Whole") == fetch_model("Org/Whole") == found
    (found.path / "config.json").unlink()
    with pytest.raises(e.MissingPart, match="Org/Whole is not on this machine"):
        installed_model("Org/Whole")


def test_without_our_notes_the_librarys_cache_is_read(
    hub: Hub, tmp_path: Path, env: pytest.MonkeyPatch
) -> None:
    four, eight = fetch_model(REPO), fetch_model(f"{REPO}:{Q8}")
    hub.add("Org/One", {Q8: GGUF})
    fetch_model("Org/One")
    hub.add("Org/Whole", FOLDER)
    whole = fetch_model("Org/Whole")
    hub.close()
    env.setenv("NLPU_CACHE", str(tmp_path / "other"))
    assert installed_model(REPO) == four and installed_model(eight.name) == eight
    assert installed_model("Org/Whole") == whole
    with pytest.raises(e.MissingPart):  # the repo may hold others: which is meant is not sure
        installed_model("Org/One")
    four.path.resolve().write_bytes(GGUF + b"?")
    with pytest.raises(e.MissingPart, match="is damaged or another file"):
        installed_model(REPO)


def test_a_known_model_comes_from_the_hub_under_its_short_name(hub: Hub) -> None:
    known = replace(KNOWN, revision=hub.repos[REPO].refs["main"])
    found = fetch_known(known)
    assert (found.name, found.sha256) == ("small", known.sha256)
    hub.close()
    assert fetch_known(known) == found


def test_settings_of_the_environment_are_all_it_takes(hub: Hub, tmp_path: Path) -> None:
    code = f"from nlpu.engines.models import fetch_model; print(fetch_model({REPO!r}).path)"
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert str(tmp_path / "hf" / "hub") in done.stdout
    offline = os.environ | {"HF_HUB_OFFLINE": "1"}
    again = subprocess.run(command, capture_output=True, text=True, env=offline, check=False)
    assert again.stdout == done.stdout


def test_two_at_once_get_the_same(hub: Hub) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(fetch_model, [REPO] * 4))
    assert found[0].path.read_bytes() == GGUF and len(set(found)) == 1
