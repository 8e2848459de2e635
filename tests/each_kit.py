"""A folder with programs for ``nlpu run --each``, its command, and what it wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from terminal_fixture import Terminal

PROGRAM = '''
from nlpu import nlop

@nlop(max_tokens=20, at_limit="trim")
def echo(text: str) -> str:
    """Repeat the text."""

def go(text: str, topic: str = "rain", times: int = 1):
    if text == "bad":
        raise ValueError("it is bad")
    return {"text": text, "topic": topic, "times": times, "said": len(str(echo(text))) > 0}

def takes(record: dict[str, int], flag: bool = False):
    return [record, flag]

def odd(text: str):
    if text == "b":
        raise ValueError("\\udc80")
    return {"nan": [float("nan"), -float("inf")], "text": "NaN"}

class Foreign:
    def __str__(self):
        return "a foreign object"

def mixed(text: str):
    return {"text": text, "raw": {"a": b"\\x89PNG", "b": "\\ud800", "c": Foreign()}[text]}

def busy(text: str):
    while True:
        pass
'''
SCRIPTED = ("--engine", "scripted")


@pytest.fixture
def folder(nlpu: Terminal, tmp_path: Path) -> Path:
    """The working directory, with the programs."""
    (tmp_path / "mine.py").write_text(PROGRAM)
    return tmp_path


def each(*args: str, program: str = "go") -> tuple[str, ...]:
    return ("run", f"mine.py:{program}", *SCRIPTED, "--each", *args)


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def texts(text: str) -> list[Any]:
    return [line["result"] and line["result"]["text"] for line in lines(text)]
