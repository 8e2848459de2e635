"""The scripted engine's tokens: pieces of its texts, cut by a rule near a real tokenizer's."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.fake_vllm.answers import full
from nlpu.errors import MissingPart, Truncated
from nlpu.testing.answers import pieces
from nlpu.testing.scripted import Scripted
from tests.kit import execute, shorten


@given(st.text(max_size=60))
def test_pieces_are_the_text(text: str) -> None:
    assert "".join(pieces(text)) == text


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("The rabbit's house.", ["The", " rabbit", "'", "s", " house", "."]),
        ("1,234.5 kg", ["1", ",", "2", "3", "4", ".", "5", " kg"]),
        ('{"name":"Ann","n":12}', ['{"', "name", '":"', "Ann", '","', "n", '":', "1", "2", "}"]),
        ("internationally", ["internat", "ionally"]),
        ("für 日本_", ["f", "ü", "r", " ", "日", "本", "_"]),
        ("a\n\n  b", ["a", "\n\n  ", "b"]),
        ("full moxxxx keel", ["full", " mo", "x", "x", "x", "x", " keel"]),
    ],
)
def test_pieces_are_cut_by_their_rule(text: str, cut: list[str]) -> None:
    assert pieces(text) == cut


def test_a_reply_is_counted_and_cut_in_pieces() -> None:
    engine = Scripted("The old house by the river.", tokens_per_s=7)
    run = execute(lambda: shorten("x"), engine=engine)
    assert (run.receipt.completion_tokens, run.receipt.seconds) == (7, 1.0)
    short = shorten.using(max_tokens=3, at_limit="trim")
    run = execute(lambda: short("x"), engine="The old house by the river.")
    assert (run.result, run.receipt.completion_tokens) == ("The old", 3)
    assert isinstance(
        execute(lambda: shorten.using(max_tokens=6)("x"), engine=engine).error, Truncated
    )


@pytest.mark.parametrize("limit", [1, 2, 30])
def test_a_full_answer_has_exactly_as_many_tokens_as_it_may(limit: int) -> None:
    for n in range(20):
        said = full({"prompt": f"p{n}", "max_tokens": limit})
        assert said is not None and len(pieces(said)) == limit


PROSE = (
    "The captain had not slept. All night the river had been rising, slowly, almost politely, "
    "and in the morning it stood in the garden; nobody could say whether the letters, "
    "which he'd hidden under the floor of the boathouse, were still dry. “Perhaps,” said Mary, "
    "“we should look?”"
)
RECORDS = [
    {"id": 17 * n, "name": name, "paid": n % 2 == 0, "amount": 12.5 * n, "tags": ["new", "urgent"]}
    for n, name in enumerate(("Ann Miller", "Tom Baker", "Clara Stone", "Peter Novak"))
]
SAMPLES = {
    "prose": PROSE,
    "compact": json.dumps(RECORDS, separators=(",", ":")),
    "json": json.dumps(RECORDS),
    "indented": json.dumps(RECORDS, indent=2),
    "numbers": " ".join(str(7**n) for n in range(30)),
    "floats": json.dumps([1 / n for n in range(1, 20)]),
    "dates": json.dumps([f"2024-{n:02}-17T10:{n + 20}:00Z" for n in range(1, 13)]),
}


@pytest.mark.local
@pytest.mark.parametrize("name", SAMPLES)
def test_the_rule_is_near_a_real_tokenizer(name: str) -> None:
    from nlpu.engines.embedded.vocabulary import tokenizer_files
    from nlpu.engines.models import installed_model
    from nlpu.tokens import tokenizer_in

    try:
        real = tokenizer_in(tokenizer_files(installed_model(None)))
    except MissingPart as missing:
        pytest.skip(str(missing))
    counted = len(real.encode(SAMPLES[name]))
    assert len(pieces(SAMPLES[name])) == pytest.approx(counted, rel=0.35)
