"""The benchmarks of memory run, and count what they say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kit import computer
from memory_kit import memory

from benchmarks.memory_answers import ask, figures, sampled, token_f1
from benchmarks.memory_portable import memory_portable
from benchmarks.memory_scale import memory_scale
from nlpu.errors import MissingPart, Usage
from nlpu.memory.store.embedders import open_embedder
from nlpu.runtime.bench.locomo import read_talk
from nlpu.runtime.bench.memory import measure
from nlpu.testing.scripted import Seen

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


def test_token_f1_counts_words_as_often_as_they_are_there() -> None:
    assert token_f1("Bob, Bob!", "bob") == pytest.approx(2 / 3)
    assert token_f1("", "bob") == token_f1("Ann", "bob") == 0.0 and token_f1("Bob", "bob") == 1.0


def test_the_sample_is_the_same_every_time_and_spread_over_files(data: Path) -> None:
    talk = read_talk(data / "1.json")
    several = [talk._replace(questions=talk.questions * 10)] * 3
    drawn = sampled(several, 12)
    assert drawn == sampled(several, 12) and sum(map(len, drawn)) == 12
    assert sampled([talk], 0) == [[]] and sampled([talk], 5) == [talk.questions]


def test_the_sample_is_asked_with_a_model(data: Path, tmp_path: Path) -> None:
    talk = read_talk(data / "1.json")

    def model(seen: Seen) -> str:
        return "Bob" if "few words" in seen.instruction else "yes"

    with memory(tmp_path / "store") as store, computer(model) as machine:
        store.write_pages(talk.pages.values())
        asked = ask(machine, store, talk, talk.questions)
    assert figures([asked]) == {"questions": 1, "token_f1": {"recency": 1.0, "hybrid": 1.0}}
    assert asked.results["iterative"].recall[10] == [0.5]
    assert asked.nlops["iterative"] > asked.nlops["hybrid"] == 0.0
