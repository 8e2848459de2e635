"""A directory without settings, files of them, and values of each for every source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from terminal_fixture import Terminal, nlpu

__all__ = ["nlpu"]  # a fixture
URL = "http://127.0.0.1:1"
LAYERS: dict[str, tuple[Any, Any, Any]] = {  # in the file, in the environment, given
    "engine": ("scripted", URL, "local"),
    "model": ("one", "two", "three"),
    "store": ("pages", "elsewhere", Path("here")),
    "run_dir": ("kept", "elsewhere", Path("here")),
    "sheets": ("measured", "../theirs", "mine/sheet.json"),
    "price": ([1, 2], "3,4,5", "0,0.5"),
    "calls": (10, "20", 30),
    "nlops": (1.5, "2.5", 3.5),
    "tokens": (100, "200", 300),
    "money": (1, "2.5", 0.01),
    "seconds": (60, "1e3", 0.1),
    "at_once": (10, "20", 30),
}


@pytest.fixture
def place(nlpu: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory in a home of its own, with nothing set."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "work" / "deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def put(folder: Path, text: str) -> Path:
    """A file of settings; gives its path."""
    (folder / "nlpu.toml").write_text(text)
    return folder / "nlpu.toml"


def value(name: str, raw: Any) -> Any:
    """A raw value of the table as it is read."""
    if name == "price":
        parts = raw.split(",") if isinstance(raw, str) else raw
        first, *_, last = map(float, parts)
        return (first, float(parts[-2]), last)
    if name in ("store", "run_dir", "sheets"):
        return Path(raw)
    return type(LAYERS[name][2])(raw)
