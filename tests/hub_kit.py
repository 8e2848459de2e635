"""A model hub on loopback: what the hub's library asks for, and the faults a real one has.

Large files (``.gguf``, ``.safetensors``) are served as on the hub: the hub redirects to another
host, here the same server under another name, and says size and sha256 on the way.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import pytest

from nlpu.engines.models import KnownModel, Progress

# Read by the library when it is imported; with it, the library would also ask who it runs under.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


def sha256_of(content: bytes) -> str:
    """The sha256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def listed(folder: Path) -> str:
    """The sha256 of what ``sha256sum`` prints of a whole model's files, by their names."""
    names = ("config.json", "model.safetensors", "tokenizer.json")
    command = ["sha256sum", *names]
    return sha256_of(subprocess.run(command, cwd=folder, capture_output=True, check=True).stdout)


LARGE = (".gguf", ".safetensors")
GGUF = b"GGUF" + bytes(range(256)) * 400
REPO, Q4, Q8 = "Org/Small-GGUF", "small-q4_k_m.gguf", "small-q8_0.gguf"
FILES = {Q4: GGUF, Q8: GGUF + b"8", "README.md": b"# Small"}
KNOWN = KnownModel("small", (), "Org", "MIT", len(GGUF), sha256_of(GGUF), REPO, Q4)
FOLDER = {
    "config.json": b"{}",
    "tokenizer.json": b'{"version": "1.0"}',
    "model.safetensors": b"weights" * 1000,
    "README.md": b"# A model",
    "figure.png": b"PNG",
}


@dataclass
class Repo:
    """A repo: its commits, what its branches and tags name, and what is wrong with it."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    token: str = ""  # whom it lets in, if it is gated
    sent: dict[str, bytes] = field(default_factory=dict)  # instead of what was announced
    cuts: dict[str, list[int]] = field(default_factory=dict)  # bytes before each GET is cut
    sizes: dict[str, int] = field(default_factory=dict)  # announced instead of the true ones

    def info(self, revision: str) -> dict[str, Any]:
        """What ``/api/models/REPO/revision/REVISION?blobs=True`` answers."""
        commit = self.refs.get(revision, revision)
        files = [self._file(name, content) for name, content in self.commits[commit].items()]
        return {"id": "x/y", "sha": commit, "siblings": files, "gated": bool(self.token)}

    def _file(self, name: str, content: bytes) -> dict[str, Any]:
        size = self.sizes.get(name, len(content))
        lfs = {"size": size, "sha256": sha256_of(content), "pointerSize": 130}
        large = name.endswith(LARGE)
        return {"rfilename": name, "size": size, "blobId": "b"} | ({"lfs": lfs} if large else {})


class Hub:
    """The server. ``asked``: every request so far; ``fault``: a status for all of them."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.asked: list[str] = []
        self.tokens: list[str] = []
        self.fault = 0
        self.page = b""  # answered to everything, as a proxy's log-in page is
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def add(self, name: str, files: dict[str, bytes], revision: str = "main") -> str:
        """Put files into a repo as a commit that a branch or tag names. Returns the commit."""
        repo = self.repos.setdefault(name, Repo())
        commit = hashlib.sha1(repr((name, sorted(files.items()))).encode()).hexdigest()
        repo.commits[commit] = files
        repo.refs[revision] = commit
        return commit

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop answering. Idempotent."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    hub: Hub

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, *_: Any) -> None: ...

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        self.hub.asked.append(f"{self.command} {path}")
        self.hub.tokens.append(self.headers.get("Authorization", ""))
        if self.hub.fault:
            return self._send(self.hub.fault, b"{}")
        if self.hub.page:
            return self._send(200, self.hub.page)
        parts = path.split("/")
        if parts[:2] == ["api", "models"] and parts[4:5] == ["revision"]:
            return self._info("/".join(parts[2:4]), "/".join(parts[5:]))
        if parts[2:3] == ["resolve"]:
            return self._resolve("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        if parts[0] == "cdn":
            return self._bytes("/".join(parts[1:3]), parts[3], "/".join(parts[4:]))
        return self._send(404, b"{}")

    def _info(self, name: str, revision: str) -> None:
        repo = self.hub.repos.get(name)
        if repo is None:
            return self._send(401, b"{}", {"X-Error-Code": "RepoNotFound"})
        if repo.refs.get(revision, revision) not in repo.commits:
            return self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        return self._send(200, json.dumps(repo.info(revision)).encode())

    def _resolve(self, name: str, commit: str, file: str) -> None:
        repo = self.hub.repos[name]
        if repo.token and self.headers.get("Authorization") != f"Bearer {repo.token}":
            return self._send(401, b"", {"X-Error-Code": "GatedRepo"})
        content = repo.commits[commit].get(file)
        if content is None:
            return self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
        head = {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha1(content).hexdigest()}"'}
        if not file.endswith(LARGE):
            return self._send(200, content, head)
        head["X-Linked-Etag"] = f'"{sha256_of(content)}"'
        head["X-Linked-Size"] = str(len(content))
        head["Location"] = f"http://localhost:{self.hub.port}/cdn/{name}/{commit}/{file}"
        return self._send(302, b"", head)

    def _bytes(self, name: str, commit: str, file: str) -> None:
        repo = self.hub.repos[name]
        content = repo.sent.get(file, repo.commits[commit][file])
        begin = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        span = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        head = {"Content-Range": span} if begin else {}
        cuts = repo.cuts.get(file, [])
        cut = cuts.pop(0) if cuts else None
        self._send(206 if begin else 200, content[begin:], head, cut)

    def _send(
        self, status: int, body: bytes, head: dict[str, str] | None = None, cut: int | None = None
    ) -> None:
        self.send_response(status)
        for key, value in ({"Content-Length": str(len(body))} | (head or {})).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[:cut])


@contextmanager
def own_caches(place: Path) -> Iterator[pytest.MonkeyPatch]:
    """Give the test caches of its own, and no settings of whoever runs it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HF_TOKEN", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_ENDPOINT"):
            patch.delenv(name, raising=False)
        for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HUGGING_FACE_HUB_TOKEN"):
            patch.delenv(name, raising=False)
        patch.setenv("HF_HOME", str(place / "hf"))
        patch.setenv("NLPU_CACHE", str(place / "nlpu"))
        yield patch


@pytest.fixture
def env(tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    """The test's own caches; for settings of its own, too."""
    with own_caches(tmp_path) as patch:
        patch.chdir(tmp_path)
        yield patch


@pytest.fixture
def hub(env: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with one repo of two GGUF files, which the library asks."""
    with Hub() as hub:
        env.setenv("HF_ENDPOINT", hub.url)
        hub.add(REPO, FILES)
        yield hub


def left(place: Path) -> list[str]:
    """Files that hold or held a model's bytes, and what a download may leave behind."""
    found = (path for path in place.rglob("*") if path.is_file() or path.is_symlink())
    return sorted(path.name for path in found if {"blobs", "snapshots", "models"} & set(path.parts))


class Told(list[Progress]):
    """Progress as it was told."""

    def __call__(self, progress: Progress) -> None:
        self.append(progress)
