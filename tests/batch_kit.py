"""A program over many inputs, a computer for it, and what such a batch comes to."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from kit import echo, said, shorten

from nlpu import FakeClock, NlpuError
from nlpu.runtime.computer import Computer
from nlpu.runtime.fleet.batch import Batch
from nlpu.runtime.fleet.item import Item
from nlpu.testing.scripted import Scripted


def told(text: str) -> str:
    """The program of most of these tests: two calls, one on the other's answer."""
    if text == "bad":
        raise ValueError("it is bad")
    return f"{shorten(echo(text))}!"


def asks_once(text: str) -> str:
    return str(echo(text))


def computer(model: Any = None, folder: str | Path | None = None, **more: Any) -> Computer:
    """On a fake clock, with a model that says what it was asked."""
    engine = model if isinstance(model, Scripted) else Scripted(model or said)
    return Computer(engine, run_dir=folder, clock=FakeClock(), **more)


def all_there_is(batch: Batch) -> list[Item]:
    """The items of one that is stopped before its end, which is raised last."""
    found: list[Item] = []
    with suppress(NlpuError):
        found.extend(batch)
    return found
