"""Model files and folders on this machine, their hashes, and the notes of those."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hub_kit import FOLDER, GGUF, Told, listed, own_caches, sha256_of

from nlpu.engines.models import ModelFiles, fetch_model, installed_model
from nlpu.engines.models.store import need_room, storage_failure
from nlpu.errors import HostError, MissingPart, StorageFailed, Usage

Get = Callable[[str | None], ModelFiles]
BOTH = pytest.mark.parametrize("get", [installed_model, fetch_model])


@pytest.fixture(autouse=True)
def caches(tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    with own_caches(tmp_path) as patch:
        patch.chdir(tmp_path)
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield patch


def folder(place: Path, files: dict[str, bytes] = FOLDER) -> Path:
    place.mkdir(parents=True)
    for name, content in files.items():
        (place / name).write_bytes(content)
    return place


@BOTH
@pytest.mark.parametrize("given", ["some.gguf", "./some.gguf", "{here}/some.gguf", "~/some.gguf"])
def test_a_file_is_the_model(
    get: Get, given: str, tmp_path: Path, caches: pytest.MonkeyPatch
) -> None:
    caches.setenv("HOME", str(tmp_path))
    (tmp_path / "some.gguf").write_bytes(GGUF)
    found = get(given.format(here=tmp_path))
    assert (found.name, found.path) == ("some", tmp_path / "some.gguf")
    assert (found.sha256, found.revision, found.source) == (sha256_of(GGUF), "", "file")


def test_a_hash_is_computed_once_for_a_size_and_time(tmp_path: Path) -> None:
    path, told = tmp_path / "a.gguf", Told()
    path.write_bytes(GGUF)
    assert fetch_model(str(path), told).sha256 == sha256_of(GGUF)
    assert told[-1].done_bytes == told[-1].total_bytes == len(GGUF)
    stat = path.stat()
    path.write_bytes(GGUF[:-1] + b"!")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert fetch_model(str(path)).sha256 == sha256_of(GGUF)  # not read: it looks the same
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert fetch_model(str(path)).sha256 == sha256_of(GGUF[:-1] + b"!")


@pytest.mark.parametrize("notes", ["", "{", "[]", '{"PATH": 3}', '{"PATH": [1, 2, 3]}', "[" * 9999])
def test_damaged_notes_are_ignored_and_written_anew(tmp_path: Path, notes: str) -> None:
    path, book = tmp_path / "a.gguf", tmp_path / "nlpu" / "checksums.json"
    path.write_bytes(GGUF)
    book.parent.mkdir()
    book.write_text(notes.replace("PATH", str(path)))
    assert installed_model(str(path)).sha256 == sha256_of(GGUF)
    assert json.loads(book.read_text())[str(path)][2] == sha256_of(GGUF)
    assert [entry.name for entry in book.parent.iterdir()] == ["checksums.json"]


def test_notes_that_cannot_be_written_are_done_without(
    tmp_path: Path, caches: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.gguf").write_bytes(GGUF)
    caches.setenv("NLPU_CACHE", str(tmp_path / "a.gguf" / "cache"))
    assert installed_model("a.gguf").sha256 == sha256_of(GGUF)


@BOTH
def test_a_folder_is_the_model_and_wins_over_a_hub_name(get: Get, tmp_path: Path) -> None:
    found = get(str(folder(tmp_path / "Qwen" / "Qwen3-0.6B")))
    assert (found.name, found.is_gguf) == ("Qwen3-0.6B", False)
    assert found.sha256 == listed(found.path)
    assert get("Qwen/Qwen3-0.6B") == found
    assert found.path.is_absolute() and found.source == "folder"


def test_a_folder_with_another_file_is_another_model(tmp_path: Path) -> None:
    place = folder(tmp_path / "model")
    found = installed_model(str(place))
    (place / "README.md").write_text("what a person reads decides no answer")
    assert installed_model(str(place)) == found
    (place / "config.json").write_text('{"rope_theta": 1.0}')
    assert installed_model(str(place)).sha256 not in (found.sha256, "")


SHARDS = {"model.safetensors.index.json": b'{"weight_map": {"a": "model-1.safetensors"}}'}


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, r"holds no model \(no config.json, tokenizer.json, \*.safetensors\)"),
        ({"config.json": b"{}", "m.safetensors": b""}, r"\(no tokenizer.json\)"),
        (FOLDER | SHARDS, r"\(no model-1.safetensors\)"),
        ({"b.gguf": GGUF, "a.gguf": GGUF}, r"name the file in it: a.gguf, b.gguf"),
    ],
)
def test_a_folder_without_a_model_says_what_is_missing(
    tmp_path: Path, files: dict[str, bytes], said: str
) -> None:
    with pytest.raises(Usage, match=said):
        installed_model(str(folder(tmp_path / "model", files)))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.gguf", b"GGU", "is no GGUF file"),
        ("a.gguf", b"", "is no GGUF file"),
        ("a-00001-of-00003.gguf", GGUF, "split GGUF, which is not supported"),
        ("a.bin", b"PK\3\4", "is no GGUF file"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Usage, match=said):
        installed_model(name)


@BOTH
@pytest.mark.parametrize("name", ["./no", "/no/such", "~/no", "no.gguf", "models/no.gguf", ".."])
def test_a_path_that_leads_nowhere_is_no_hub_name(get: Get, name: str) -> None:
    with pytest.raises(Usage, match=r"no file or folder|holds no model"):
        get(name)


def test_what_is_neither_file_nor_folder_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    with pytest.raises(Usage, match="neither a file nor a folder"):
        installed_model("pipe.gguf")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(GGUF)
    (tmp_path / "a.gguf").chmod(0)
    with pytest.raises(MissingPart, match=r"cannot be read .Permission denied"):
        installed_model("a.gguf")


def test_what_the_disk_objects_to_is_told_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(StorageFailed, match="are needed: free some, or name another folder"):
        need_room(tmp_path / "not" / "there", 10**18)
    full: HostError = storage_failure(OSError(errno.ENOSPC, "No space left"), tmp_path)
    assert "is full: free some of it, or name another folder in NLPU_CACHE" in str(full)
    other = storage_failure(PermissionError(errno.EACCES, "Permission denied"), tmp_path)
    assert "cannot be used (Permission denied)" in str(other)
