"""``benchmarks/document.py``: its documents hold the answers, and its arms ask every question."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from benchmarks.servers import scripted_server
from nlpu.runtime.bench.servers import Served

FILE = Path(__file__).parents[2] / "benchmarks" / "document.py"


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    spec = importlib.util.spec_from_file_location("document", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["harbour", "library"])
def test_a_document_holds_the_answers(bench: ModuleType, name: str) -> None:
    file = bench.DOCUMENTS / f"{name}.txt"
    text, questions = file.read_text(encoding="utf-8"), bench.read_questions(file)
    assert 6000 < len(text) < 7000 and len(questions) == 16
    judged = [each["right"] for each in questions if each["kind"] == "judge"]
    assert sorted(judged) == [["no"]] * 4 + [["yes"]] * 4
    for each in questions:
        if each["kind"] == "answer":
            assert any(word in text.lower() for word in each["right"]), each


def test_what_is_right(bench: ModuleType) -> None:
    judged: dict[str, Any] = {"kind": "judge", "right": ["no"]}
    asked: dict[str, Any] = {"kind": "answer", "right": ["five tonnes", "5 tonnes"]}
    assert bench.is_right(judged, "no") and not bench.is_right(judged, "yes, no")
    assert bench.is_right(asked, "It lifts 5 tonnes.") and not bench.is_right(asked, "15 tonnes")
    assert bench.scored([judged, asked], ["no", "six"]) == {
        "right": 1,
        "right_judged": 1,
        "questions": 2,
    }


def test_both_conventions_ask_and_the_default_shares(
    bench: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with scripted_server("--gpu", "64,2000,1e6", "--full", "--window", "16384") as url:
        rows = bench.measured(Served(url, None), "fault-1", bench.arms(None))
        ours, today = next(rows), next(rows)
    assert (ours["arm"], today["arm"]) == ("ours", "today")
    assert len(ours["said"]) == len(today["said"]) == 16
    assert ours["cached_tokens"] > 0.8 * ours["prompt_tokens"]
    assert today["cached_tokens"] < 0.2 * today["prompt_tokens"]
    bench.table([ours, today])
    assert "harbour, today" in capsys.readouterr().out
