"""What a GGUF file says of its tensors is not trusted: they must lie in the file."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from nlpu.engines.embedded.gguf import metadata_of
from nlpu.errors import MissingPart

WORD, TEXT = 4, 8  # types of values


def text(content: bytes) -> bytes:
    return struct.pack("<Q", len(content)) + content


def gguf(offset: int, alignment: bytes = b"", tensors: int = 1, weights: int = 64) -> bytes:
    """A file with one tensor of two dimensions, and its alignment, if it tells one."""
    head = b"GGUF" + struct.pack("<IQQ", 3, tensors, bool(alignment))
    pair = text(b"general.alignment") + alignment if alignment else b""
    tensor = text(b"a.weight") + struct.pack("<IQQIQ", 2, 4, 4, 0, offset)
    return head + pair + tensor + bytes(weights)


def word(number: int) -> bytes:
    return struct.pack("<II", WORD, number)


def test_tensors_that_begin_in_the_file_are_fine(tmp_path: Path) -> None:
    file = tmp_path / "a.gguf"
    file.write_bytes(gguf(0, word(8)))
    assert metadata_of(file) == {"general.alignment": 8}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (gguf(64), "its weights go beyond its end"),
        (gguf(2**63), "its weights go beyond its end"),
        (gguf(0, tensors=2, weights=0), "it ends early"),
        (gguf(0, word(0)), "its alignment is 0"),
        (gguf(0, struct.pack("<I", TEXT) + text(b"x")), "its alignment is 'x'"),
    ],
)
def test_a_file_whose_tensors_cannot_be_there_is_damaged(
    tmp_path: Path, content: bytes, why: str
) -> None:
    file = tmp_path / "a.gguf"
    file.write_bytes(content)
    with pytest.raises(MissingPart, match=f"is not a whole GGUF file .{why}"):
        metadata_of(file)
