"""The first run: forty letters on the real model, killed half-way; its parts without a model."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from nlpu.engines.scripted import Scripted
from programs.demo import at_once
from programs.letters import FIELDS, Letter, forty, letters, score
from runtime import Computer
from tests.terminal_fixture import COMMAND, environment


def written(letter: Letter) -> str:
    """A letter's record as a model has to write it."""
    said = {**letter.model_dump(), "amount": f"{letter.amount} euros"}
    return json.dumps({name: f" {said[name]}" for name in FIELDS})


KEY = dict(forty())


def test_the_key_is_of_forty_letters_that_hold_their_words() -> None:
    assert len(KEY) == 40
    for text, key in KEY.items():
        assert str(key.amount) in text and key.city in text and key.sender in text
        assert all(part in text for part in key.date.split())


def test_a_day_is_the_same_day_in_both_orders() -> None:
    one = {"amount": 1, "city": "Ghent", "sender": "Ann Moss"}
    assert Letter(date="March 4", **one) == Letter(date="4 March", **one)


def test_what_a_model_says_is_scored_field_by_field() -> None:
    keys = list(KEY.values())
    assert score(keys) == {**dict.fromkeys(FIELDS, 40), "whole": 40}
    wrong = keys[0].model_copy(update={"city": "Nowhere"})
    assert score([wrong, None, *keys[2:]]) == {
        "amount": 39, "city": 38, "date": 39, "sender": 39, "whole": 38,
    }  # fmt: skip
    assert score([])["whole"] == 0


def test_each_letter_is_a_call_and_a_bad_reply_is_one_letter_lost() -> None:
    said = {text: written(key) for text, key in KEY.items()}
    lost = next(iter(KEY))

    def answer(seen: Any) -> str:
        text = seen.operands["letter"]
        return "no record" if text == lost else said[text]

    with Computer(Scripted(answer)) as computer:
        run = computer.run(letters)
    assert run.receipt.calls == 40
    assert run.result[0] is None and run.result[1:] == list(KEY.values())[1:]


def test_one_prompt_that_is_no_list_gives_nothing() -> None:
    with Computer(Scripted(lambda seen: "no list")) as computer:
        assert computer.run(at_once, list(KEY)).result == []


@pytest.mark.slow
@pytest.mark.local
@pytest.mark.timeout(900)
def test_the_demo_on_the_real_model(tmp_path: Path) -> None:
    ended = subprocess.run(
        [*COMMAND, "run", "demo", "--json"],
        cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    scores = json.loads(ended.stdout)["result"]
    assert scores["letters"] == 40 and scores["right"] >= 34
    assert scores["one_prompt"] < scores["right"] / 2
    assert scores["made_again"] == 0 and 20 <= scores["answered_before_the_kill"] < 40
    said = [line for line in ended.stderr.splitlines() if "calls in flight" not in line]
    assert len(said) <= 25 and not list(tmp_path.glob(".nlpu/runs/demo-*"))
