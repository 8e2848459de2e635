"""The benchmarks of memory run, and count what they say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from memory.embed import open_embedder
from nlpu.errors import MissingPart, Usage
from runtime.bench.memory import GATE, HELD_OUT, measure, read_talk
from runtime.bench.memory_portable import memory_portable
from runtime.bench.memory_scale import memory_scale

LOCOMO = Path(__file__).parents[2] / "shared" / "data" / "locomo"
TALK = {
    "speakers": ["Ann", "Bob"],
    "sessions": [
        {
            "when": "1:56 pm on 8 May, 2023",
            "turns": [
                {"id": "D1:1", "speaker": "Ann", "text": "I painted the lighthouse."},
                {"id": "D1:2", "speaker": "Bob", "text": "I keep bees."},
            ],
        }
    ],
    "qa": [
        {"question": "Who keeps bees?", "answer": "Bob", "evidence": ["D1:2", "D9:9"]},
        {"question": "Unanswerable?", "answer": "", "evidence": []},
    ],
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "1.json").write_text(json.dumps(TALK))
    return tmp_path


def test_a_talk_becomes_pages_with_times_and_questions_with_evidence(data: Path) -> None:
    talk = read_talk(data / "1.json")
    assert talk.pages["D1:2"].text == "Bob: I keep bees."
    assert talk.pages["D1:2"].start == len("Ann: I painted the lighthouse.") + 1
    assert talk.pages["D1:1"].time_s == 1683554160.0
    assert [question.text for question in talk.questions] == ["Who keeps bees?"]


def test_a_folder_without_talks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Usage, match=r"no \.json files"):
        measure(tmp_path)


def test_small_stores_are_measured(data: Path) -> None:
    try:
        open_embedder("static")
    except MissingPart as missing:
        pytest.skip(str(missing))
    figures = memory_scale(pages=80, small=40, questions=20)
    assert [store["pages"] for store in figures["stores"]] == [40, 80]
    assert all(store["found_among_5"] > 0.5 for store in figures["stores"])
    recalls = memory_portable(str(data), old="static")["recall_at_10"]
    assert set(recalls.values()) == {0.5}  # one of two turns of evidence is in the file


@pytest.mark.slow
@pytest.mark.local
@pytest.mark.timeout(1800)
def test_the_gate_on_real_conversations() -> None:
    if not LOCOMO.is_dir():
        pytest.skip("there are no LoCoMo files beside the project")
    rows = {row["name"]: row for row in measure(LOCOMO)["firmware"]}
    assert rows[HELD_OUT]["recall_at_10"] >= GATE
    assert rows["hybrid"]["recall_at_10"] >= rows["both by rank"]["recall_at_10"]
