"""Texts of the embedded processor's real model: asked again, in pieces, stopped and constrained."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from embedded_kit import QUESTIONS, Bench, bench

from nlpu.errors import ConstraintRejected
from nlpu.sampling import SEEDS
from nlpu.wire import Constraint, Reply, Request

__all__ = ["bench"]  # a fixture
pytestmark = pytest.mark.local


# -- text -----------------------------------------------------------------------------------------


def test_answers_and_ends_by_itself(bench: Bench) -> None:
    reply = bench.send(bench.ask("What is the capital of France?"))
    assert "Paris" in reply.text
    assert reply.finish == "stop"
    assert "<|" not in reply.text
    # The end token was chosen, so it is counted.
    assert reply.usage.completion_tokens == len(bench.tokens.encode(reply.text).ids) + 1


def test_a_text_repeats_itself_alone(bench: Bench) -> None:
    requests = [bench.ask(text, str(n), max_tokens=24) for n, text in enumerate(QUESTIONS)]
    first = [bench.send(one).text for one in requests]
    bench.together(requests)
    assert [bench.send(one).text for one in requests] == first


def test_a_longer_text_repeats_itself_too(bench: Bench) -> None:
    """Read in one piece and in two, the same prompt has other probabilities."""
    essay = (Path(__file__).parents[3] / "docs/essay.txt").read_text()
    for at in (0, 1500):
        asked = bench.ask(f"Say what this is about. {essay[at : at + 1200]}", max_tokens=24)
        assert len({bench.send(asked).text for _ in range(3)}) == 1


def test_what_a_slot_has_read_is_counted(bench: Bench) -> None:
    rules = "Answer briefly. " * 20
    bench.send(bench.ask(rules + QUESTIONS[1], max_tokens=2))
    warm = bench.send(bench.ask(rules + QUESTIONS[0], max_tokens=8))
    assert 60 <= warm.usage.cached_tokens < warm.usage.prompt_tokens


def test_requests_that_arrive_together_read_a_long_beginning_once(bench: Bench) -> None:
    rules = "Read the question with care, then answer. " * 30
    replies = bench.together([bench.ask(rules + q, q, max_tokens=3) for q in QUESTIONS])
    assert sorted(reply.usage.cached_tokens >= 240 for reply in replies) == [False, *[True] * 5]


def test_a_prompt_longer_than_one_step(bench: Bench) -> None:
    text = "The sky is blue. " * 60 + "The secret word is tulip. What is the secret word?"
    assert "tulip" in bench.send(bench.ask(text)).text.lower()


def test_length(bench: Bench) -> None:
    reply = bench.send(bench.ask("Tell a long story.", max_tokens=7))
    assert (reply.finish, reply.usage.completion_tokens) == ("length", 7)


def test_pieces_are_the_text(bench: Bench) -> None:
    async def work(request: Request) -> tuple[list[str], Reply]:
        pieces: list[str] = []
        return pieces, await bench.engine.send(request, pieces.append)

    asks = [
        bench.ask("Name three colours."),
        # Characters of several tokens, cut off within one of them or not.
        bench.ask("x", constraint=Constraint("choice", '["naïve 😀 語 end"]')),
        bench.ask("x", max_tokens=9, constraint=Constraint("choice", '["😀😀😀😀"]')),
    ]
    for request in asks:
        pieces, reply = bench.run(work(request))
        assert len(pieces) > 1
        assert "".join(pieces) == reply.text
    assert reply.finish == "length"


@pytest.mark.parametrize("stop", ["Paris", "is Par", "ance is", "Paris."])
def test_stop_strings(bench: Bench, stop: str) -> None:
    whole = bench.send(bench.ask("What is the capital of France?")).text
    pieces: list[str] = []
    request = bench.ask("What is the capital of France?", stop=("never", stop))
    reply = bench.run(bench.engine.send(request, pieces.append))
    assert reply.text == whole[: whole.index(stop)]
    assert "".join(pieces) == reply.text
    assert reply.finish == "stop"


# -- constraints ----------------------------------------------------------------------------------


def test_choice(bench: Bench) -> None:
    choices = ["yes", "no", "yes, but", 'say "so"\n', "naïve 語"]
    constraint = Constraint("choice", json.dumps(choices))
    for temperature in (0.0, 3.0):
        asks = [bench.ask(q, q, constraint=constraint, temperature=temperature) for q in QUESTIONS]
        for reply in bench.together(asks):
            assert reply.text in choices
            assert reply.finish == "stop"


def test_regex(bench: Bench) -> None:
    constraint = Constraint("regex", r"[A-Z][a-z]{2,8} (is|was) [0-9]{1,3}\.")
    asks = [bench.ask(q, q, constraint=constraint, temperature=2.0, seed=1) for q in QUESTIONS]
    for reply in bench.together(asks):
        assert re.fullmatch(constraint.spec, reply.text)


def test_json(bench: Bench) -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 12},
            "score": {"type": "integer", "minimum": 0, "maximum": 9},
            "kind": {"enum": ["a", "b"]},
            "not": {"type": "boolean"},  # a property may be called like a keyword
        },
        "required": ["name", "score", "kind", "not"],
        "additionalProperties": False,
    }
    constraint = Constraint("json", json.dumps(schema))
    asks = [bench.ask(q, q, max_tokens=60, constraint=constraint) for q in QUESTIONS[:3]]
    for reply in bench.together(asks):
        value = json.loads(reply.text)
        assert list(value) == ["name", "score", "kind", "not"]
        assert len(value["name"]) <= 12
        assert value["score"] in range(10)
        assert reply.finish == "stop"


@pytest.mark.parametrize(
    "constraint",
    [
        Constraint("regex", r"(a)\1"),
        Constraint("regex", "(("),
        Constraint("json", "not json"),
        Constraint("choice", "[]"),
    ],
)
def test_what_cannot_be_held_is_rejected(bench: Bench, constraint: Constraint) -> None:
    with pytest.raises(ConstraintRejected):
        bench.send(bench.ask("x", constraint=constraint))


def test_no_special_token_under_a_constraint(bench: Bench) -> None:
    # "<|im_start|>" as letters is allowed here; as one token it would vanish from the text.
    spec = r"[<|_a-z>]{12}"
    asks = [
        bench.ask(q, q, constraint=Constraint("regex", spec), temperature=5.0, seed=3)
        for q in QUESTIONS
    ]
    for reply in bench.together(asks):
        assert re.fullmatch(spec, reply.text)


# -- sampling -------------------------------------------------------------------------------------


def test_seeds_repeat(bench: Bench) -> None:
    def ask(seed: int | None, id: str) -> Request:
        return bench.ask(
            "Write one sentence about rain.",
            id,
            max_tokens=12,
            temperature=1.0,
            top_p=0.9,
            seed=seed,
        )

    seeds = [7, 8, None, 7, 9, None, SEEDS - 1, SEEDS - 1]
    texts = [bench.send(ask(seed, str(n))).text for n, seed in enumerate(seeds)]
    assert texts[0] == texts[3]
    assert texts[6] == texts[7]
    assert len(set(texts)) > 4


def test_a_narrow_nucleus_is_greedy(bench: Bench) -> None:
    greedy = bench.send(bench.ask(QUESTIONS[1])).text
    assert bench.send(bench.ask(QUESTIONS[1], temperature=1.0, top_p=1e-6)).text == greedy
