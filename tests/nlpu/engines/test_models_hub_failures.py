"""What can go wrong with the hub: each in one sentence, and nothing broken is kept."""

from __future__ import annotations

import fcntl
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hub_kit import FILES, GGUF, KNOWN, Q4, Q8, REPO, Hub, Told, env, hub, left, sha256_of

from nlpu import errors as e
from nlpu.engines.models import fetch_model, installed_model
from nlpu.engines.models.find import fetch_known

__all__ = ["env", "hub"]  # fixtures


def failure(name: str, kind: type[e.NlpuError]) -> str:
    """The one sentence of a failed fetch."""
    with pytest.raises(e.NlpuError) as caught:
        fetch_model(name)
    assert type(caught.value) is kind, caught.value
    assert "\n" not in str(caught.value) and "Error" not in str(caught.value)
    return str(caught.value)


def test_wrong_names_are_the_users_and_say_what_there_is(hub: Hub) -> None:
    assert f"{hub.url} has no model Org/Smal: check the name, or set" in failure(
        "Org/Smal", e.Usage
    )
    assert f"{REPO} has no revision v9" in failure(f"{REPO}@v9", e.Usage)
    said = failure(f"{REPO}:none.gguf", e.Usage)
    assert said == f"{REPO} has no GGUF file none.gguf: it has {Q4}, {Q8}"
    assert "is no name of a hub repo" in failure("Org/Sm--all", e.Usage)
    hub.add("Org/Many", {"a.gguf": GGUF, "b.gguf": GGUF})
    assert "name one as Org/Many:FILE" in failure("Org/Many", e.Usage)
    hub.add("Org/Page", {"a.gguf": b"<html>"})
    assert "is no GGUF file" in failure("Org/Page", e.Usage)


def test_a_gated_repo_needs_the_users_token_and_only_the_hub_sees_it(
    hub: Hub, env: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub.repos[REPO].token = "hf_secret"
    said = failure(REPO, e.Unauthorized)
    assert f"accept its terms on {hub.url}/{REPO} and set HF_TOKEN" in said
    env.setenv("HF_TOKEN", "hf_secret")
    assert fetch_model(REPO).path.read_bytes() == GGUF
    sent = dict(zip(hub.asked, hub.tokens, strict=True))
    assert {token for asked, token in sent.items() if "cdn/" in asked} == {""}


def test_a_hub_that_cannot_be_reached_fails_at_once(env: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        env.setenv("HF_ENDPOINT", f"http://127.0.0.1:{taken.getsockname()[1]}/")
        begun = time.monotonic()
        said = failure(REPO, e.Unreachable)
    assert time.monotonic() - begun < 5
    assert "the hub cannot be reached at http://127.0.0.1:" in said and "check the network" in said


def test_the_user_may_forbid_to_ask_the_hub(hub: Hub, env: pytest.MonkeyPatch) -> None:
    env.setenv("HF_HUB_OFFLINE", "1")
    said = failure(REPO, e.MissingPart)
    assert said.startswith(f"{REPO} is not on this machine, and HF_HUB_OFFLINE is set: unset it")
    assert hub.asked == []


@pytest.mark.parametrize(
    ("status", "kind"),
    [(500, e.ServerFault), (429, e.Overloaded), (403, e.Unauthorized), (418, e.RequestRefused)],
)
def test_what_the_hub_answers_instead_is_its_fault(
    hub: Hub, status: int, kind: type[e.NlpuError]
) -> None:
    hub.fault = status
    assert str(status) in failure(REPO, kind)


@pytest.mark.parametrize("page", [b"<html>log in</html>", b"[]", b"{}", b'{"id": "a/b"}'])
def test_what_is_no_hub_is_told_from_one(hub: Hub, page: bytes) -> None:
    hub.page = page
    with pytest.raises(e.ServerFault, match=r"did not answer as a hub does .* check HF_ENDPOINT"):
        fetch_model(REPO)


def test_a_wrong_hash_is_told_and_nothing_is_kept(hub: Hub, tmp_path: Path) -> None:
    hub.repos[REPO].sent[Q4] = b"GGUF" + bytes(len(GGUF) - 4)
    said = failure(REPO, e.MissingPart)
    assert f"sent something else as {Q4}" in said and sha256_of(GGUF) in said
    assert sha256_of(hub.repos[REPO].sent[Q4]) in said and "it was removed" in said
    assert left(tmp_path) == []
    hub.repos[REPO].sent.clear()
    assert fetch_model(REPO).path.read_bytes() == GGUF


def test_a_cut_download_is_resumed(hub: Hub) -> None:
    hub.repos[REPO].cuts[Q4] = [50_000]
    told = Told()
    assert fetch_model(REPO, told).path.read_bytes() == GGUF
    assert sum("cdn/" in asked for asked in hub.asked) == 2
    assert [one for one in told if one.what == REPO][-1].done_bytes == len(GGUF)


def test_a_download_that_is_cut_again_and_again_leaves_nothing(hub: Hub, tmp_path: Path) -> None:
    hub.repos[REPO].cuts[Q4] = [50_000] + [0] * 20
    said = failure(REPO, e.ConnectionLost)
    assert "was cut" in said and "nothing broken was kept, try again" in said
    assert left(tmp_path) == []
    hub.repos[REPO].cuts.clear()
    assert fetch_model(REPO).path.read_bytes() == GGUF


def _begun(place: Path) -> list[str]:
    """Beginnings of downloads, by the sha256 of what is downloaded."""
    return sorted(path.name.partition(".")[0] for path in place.rglob("*.incomplete"))


def test_what_killed_downloads_left_is_removed_by_the_next(hub: Hub, tmp_path: Path) -> None:
    code = (
        "import os; from nlpu.engines.models import fetch_model;"
        "fetch_model({!r}, lambda now: os._exit(9))"
    )
    for name in (REPO, REPO, f"{REPO}:{Q8}"):
        killed = subprocess.run([sys.executable, "-c", code.format(name)], check=False)
        assert killed.returncode == 9
        assert _begun(tmp_path)
    (begun,) = (path for path in tmp_path.rglob("*.incomplete"))
    assert begun.name.startswith(sha256_of(FILES[Q8]))
    assert fetch_model(f"{REPO}:{Q8}").path.read_bytes() == FILES[Q8]
    assert _begun(tmp_path) == []


def test_what_another_process_is_writing_stays(hub: Hub, tmp_path: Path) -> None:
    blob, folder = sha256_of(FILES[Q8]), "models--" + REPO.replace("/", "--")
    begun = tmp_path / "hf" / "hub" / folder / "blobs" / f"{blob}.0123abcd.incomplete"
    lock = tmp_path / "hf" / "hub" / ".locks" / folder / f"{blob}.lock"
    for path in (begun, lock):
        path.parent.mkdir(parents=True)
        path.touch()
    (begun.parent / f"{blob}.incomplete").touch()  # other versions of the library resume these
    with lock.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert fetch_model(REPO).path.read_bytes() == GGUF
        assert begun.exists()
    fetch_model(f"{REPO}:{Q8}")
    assert not begun.exists() and (begun.parent / f"{blob}.incomplete").exists()


def test_a_download_of_another_size_is_a_cut_one(hub: Hub, tmp_path: Path) -> None:
    hub.repos[REPO].sent[Q4] = GGUF[:-1000]
    assert "was cut" in failure(REPO, e.ConnectionLost)
    assert left(tmp_path) == []


def test_room_is_looked_for_before_the_download(hub: Hub, tmp_path: Path) -> None:
    hub.repos[REPO].sizes[Q4] = 10**17
    said = failure(REPO, e.StorageFailed)
    assert "are needed: free some, or name another folder in NLPU_CACHE (HF_HOME" in said
    assert left(tmp_path) == [] and not any("resolve" in asked for asked in hub.asked)


def test_a_cache_that_cannot_be_written_says_so(
    hub: Hub, tmp_path: Path, env: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    env.setenv("HF_HOME", str(tmp_path / "file"))
    said = failure(REPO, e.StorageFailed)
    assert "cannot be used (Not a directory): see to its permissions, or name another" in said


def test_a_damaged_file_in_the_cache_is_told_and_its_removal_heals(hub: Hub) -> None:
    found = fetch_model(REPO)
    blob = found.path.resolve()
    blob.write_bytes(GGUF[:-1] + b"?")

    def told() -> str:
        with pytest.raises(e.MissingPart) as caught:
            fetch_model(REPO)
        return str(caught.value)

    assert str(blob) in told() and sha256_of(GGUF) in told() and "delete it and" in told()
    with pytest.raises(e.MissingPart, match=sha256_of(GGUF[:-1] + b"?")):
        installed_model(found.name)
    blob.unlink()
    assert fetch_model(REPO) == found


def test_a_known_model_whose_bytes_the_hub_has_not_is_not_fetched(hub: Hub) -> None:
    known = replace(KNOWN, sha256="0" * 64, revision=hub.repos[REPO].refs["main"])
    with pytest.raises(e.MissingPart, match=f"another file as {REPO}/{Q4}: its sha256 is .*0000"):
        fetch_known(known)
    assert not any("resolve" in asked for asked in hub.asked)
