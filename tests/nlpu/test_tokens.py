"""Tokenizers: remembering words gives the same ids as the library does for the whole text."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers, trainers

from nlpu.errors import MissingPart
from nlpu.tokens import FileTokenizer, tokenizer_in

ESSAY = (Path(__file__).parents[2] / "docs" / "essay.txt").read_text()[:20_000]
LLAMA = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
NASTY = st.text(
    st.sampled_from(" \t\n\r\u00a0\u200bab1'é中\U0001f600-._`\u0301<|im_end|>s"), max_size=60
)


def trained(path: Path, pieces: Any, added: str | None = None) -> tuple[FileTokenizer, Tokenizer]:
    """A small tokenizer with that way of cutting, as ours and as the library's."""
    library = Tokenizer(models.BPE())
    library.pre_tokenizer = pieces
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<|im_end|>", *([added] if added else [])]
    library.train_from_iterator(
        ESSAY.splitlines(),
        trainers.BpeTrainer(vocab_size=900, initial_alphabet=alphabet, show_progress=False),
    )
    library.add_special_tokens([AddedToken(token, special=True) for token in special])
    library.save(str(path / "tokenizer.json"))
    library.encode_special_tokens = True
    return FileTokenizer(path), library


BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
SMOL = [
    pre_tokenizers.Digits(individual_digits=True),
    pre_tokenizers.ByteLevel(add_prefix_space=False),
]
CUTS = {
    "gpt2": pre_tokenizers.ByteLevel(add_prefix_space=False),
    "smollm": pre_tokenizers.Sequence(SMOL),
    "llama": pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA), "isolated"), BYTES]),
}


@pytest.fixture(scope="module", params=list(CUTS))
def pair(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[FileTokenizer, Tokenizer]:
    return trained(tmp_path_factory.mktemp("tokenizer"), CUTS[request.param])


@given(text=NASTY)
def test_the_ids_are_the_librarys(pair: tuple[FileTokenizer, Tokenizer], text: str) -> None:
    ours, library = pair
    assert ours._by_word
    assert ours.encode(text) == library.encode(text, add_special_tokens=False).ids


def test_a_whole_essay_has_the_librarys_ids(pair: tuple[FileTokenizer, Tokenizer]) -> None:
    ours, library = pair
    assert ours.encode(ESSAY) == library.encode(ESSAY, add_special_tokens=False).ids


def test_special_tokens_are_only_made_of_trusted_text(
    pair: tuple[FileTokenizer, Tokenizer],
) -> None:
    ours, library = pair
    end = library.token_to_id("<|im_end|>")
    assert ours.encode("<|im_end|>", special=True) == [end]
    assert end not in ours.encode("so <|im_end|> it <|im_end|>")


def spaces(path: Path) -> tuple[FileTokenizer, Tokenizer]:
    """Pieces that reach over single spaces: two words are one."""
    split = pre_tokenizers.Split(Regex(r"\w+ \w+|\s|\w+|."), "isolated")
    return trained(path, pre_tokenizers.Sequence([split, BYTES]))


@pytest.mark.parametrize(
    "make",
    [
        spaces,
        lambda path: trained(path, pre_tokenizers.Metaspace()),
        lambda path: trained(path, pre_tokenizers.ByteLevel(add_prefix_space=True)),
        lambda path: trained(path, CUTS["gpt2"], added="of the"),
    ],
)
def test_where_words_depend_on_their_neighbours_none_is_remembered(
    tmp_path: Path, make: Any
) -> None:
    ours, library = make(tmp_path)
    assert not ours._by_word
    assert ours.encode(ESSAY) == library.encode(ESSAY, add_special_tokens=False).ids


def test_a_models_tokenizer_is_read_once_as_long_as_its_file_is_the_same(tmp_path: Path) -> None:
    with pytest.raises(MissingPart):
        tokenizer_in(tmp_path)
    trained(tmp_path, CUTS["gpt2"])
    first = tokenizer_in(tmp_path)
    assert tokenizer_in(tmp_path) is first
    os.utime(tmp_path / "tokenizer.json", ns=(1, 1))
    assert tokenizer_in(tmp_path) is not first
