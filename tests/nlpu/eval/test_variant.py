"""Variants: an op's words as a file, read back as they were or refused in a sentence."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlpu import Usage, nlop, variant
from nlpu.eval.variant import Variant, variant_in

TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40)


@nlop
def colour(text: str) -> Literal["red", "green"]:
    """Which colour is it?"""


@nlop
def longer(left: str, right: str) -> str:
    """Give the longer one."""


def kept(made: Variant, folder: Path) -> Path:
    path = folder / "variant.json"
    path.write_text(made.written(), encoding="utf-8")
    return path


@given(
    words=TEXTS.filter(str.strip),
    shown=st.lists(st.tuples(TEXTS, TEXTS, TEXTS.filter(str.strip)), max_size=3),
    told=st.lists(TEXTS, max_size=2),
)
def test_a_variant_comes_back_as_it_went(
    tmp_path_factory: pytest.TempPathFactory, words: str, shown: list[Any], told: list[str]
) -> None:
    changed = replace(longer, text=words, examples=shown)
    path = kept(Variant.made(longer, changed, told), tmp_path_factory.mktemp("variant"))
    back = variant(longer, path)
    assert back == changed and back.digest == changed.digest
    assert variant_in(path).told == tuple(told)


def test_what_it_changes_is_in_the_digest() -> None:
    asked, shown = replace(colour, text="Name it."), colour.using(examples=[("A rose.", "red")])
    ops = [colour, *(Variant.made(colour, each).of_op(colour) for each in (asked, shown))]
    assert len({each.digest for each in ops}) == 3
    assert Variant.made(colour, colour).of_op(colour).digest == colour.digest


def good() -> dict[str, Any]:
    changed = replace(colour, text="Name it.", examples=[("A rose.", "red")])
    return Variant.made(colour, changed).model_dump(mode="json")


def sealed(**changes: Any) -> str:
    """A file whose writer knows how digests are made."""
    made = Variant.model_validate_json(json.dumps({**good(), **changes}))
    return made.model_copy(update={"digest": made.seal()}).written()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is no variant that nlpu tune wrote"),
        ("[1]", "is no variant"),
        ("{}", "op: Field required"),
        ("[" * 200_000, "is no variant"),
        ('{"op": 1, "op": 2}', "the key 'op' is given twice"),
        (json.dumps({**good(), "text": 7}), "text: "),
        (json.dumps({**good(), "run": "import os"}), "run: Extra inputs are not permitted"),
        (json.dumps({**good(), "text": "\ud800"}), "is no variant"),
        (" " * (1 << 20) + "{}", "longer than 1 MB"),
        (json.dumps({**good(), "text": "Say red."}), "was changed since it was measured"),
        (json.dumps({**good(), "digest": ""}), "was changed since it was measured"),
        (sealed(op="other"), "the variant is of other, and colour is asked"),
        (sealed(of="00"), "colour has other words, examples or settings now"),
        (sealed(text=" "), "does not fit colour: op colour has an empty instruction"),
        (sealed(examples=[{"operands": [], "answer": "red"}]), "has 0 operands, not 1"),
        (sealed(examples=[{"operands": ["A."], "answer": "blue"}]), "does not fit"),
    ],
)
def test_a_file_that_is_none_or_was_changed_is_refused(
    tmp_path: Path, content: str, says: str
) -> None:
    path = tmp_path / "variant.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(Usage) as refused:
        variant(colour, path)
    assert says in str(refused.value) and len(str(refused.value)) < 500


def test_what_is_no_file_or_no_text_or_no_op_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    for name, says in (
        ("pipe", "it is not a file"),
        ("bytes", "is no variant"),
        ("none", "cannot be read: No such file"),
    ):
        with pytest.raises(Usage, match=says):
            variant(colour, tmp_path / name)
    with pytest.raises(Usage, match="5 is no variant that nlpu tune wrote"):
        variant(colour, 5)  # type: ignore[arg-type]
    with pytest.raises(Usage, match="a variant is of an op"):
        variant("colour", tmp_path / "none")  # type: ignore[arg-type]
