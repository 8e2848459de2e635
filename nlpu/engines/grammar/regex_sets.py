"""The sets of characters that a regular expression has letters for.

Theory of operation
-------------------
``\\d \\w \\s`` mean two things: ASCII to those who constrain decoding, and Unicode to those who
validate (Python, and pydantic's Rust engine). The tables hold what the second kind takes.

Rules
1. A set is asked for as ASCII, or as what is never narrower, or never wider, than pydantic's engine
   takes it: tests/nlpu/engines/test_grammar_regex.py compares them character by character.
2. Wide ``\\d`` and ``\\s`` are exact (Unicode 16). Wide ``\\w`` is ASCII's and all beyond ASCII but
   the large blocks without letters: its 800 ranges would be tried for each token.
"""

from __future__ import annotations

from nlpu.engines.grammar.gbnf import Ranges, merged, outside

_ASCII: dict[str, Ranges] = {
    "d": ((48, 57),),
    "w": ((48, 57), (65, 90), (95, 95), (97, 122)),
    "s": ((9, 13), (32, 32)),
}
_ZEROS = (
    0x30,
    0x660,
    0x6F0,
    0x7C0,
    0x966,
    0x9E6,
    0xA66,
    0xAE6,
    0xB66,
    0xBE6,
    0xC66,
    0xCE6,
    0xD66,
    0xDE6,
    0xE50,
    0xED0,
    0xF20,
    0x1040,
    0x1090,
    0x17E0,
    0x1810,
    0x1946,
    0x19D0,
    0x1A80,
    0x1A90,
    0x1B50,
    0x1BB0,
    0x1C40,
    0x1C50,
    0xA620,
    0xA8D0,
    0xA900,
    0xA9D0,
    0xA9F0,
    0xAA50,
    0xABF0,
    0xFF10,
    0x104A0,
    0x10D30,
    0x10D40,
    0x11066,
    0x110F0,
    0x11136,
    0x111D0,
    0x112F0,
    0x11450,
    0x114D0,
    0x11650,
    0x116C0,
    0x116D0,
    0x116DA,
    0x11730,
    0x118E0,
    0x11950,
    0x11BF0,
    0x11C50,
    0x11D50,
    0x11DA0,
    0x11F50,
    0x16130,
    0x16A60,
    0x16AC0,
    0x16B50,
    0x16D70,
    0x1CCF0,
    0x1D7CE,
    0x1D7D8,
    0x1D7E2,
    0x1D7EC,
    0x1D7F6,
    0x1E140,
    0x1E2F0,
    0x1E4F0,
    0x1E5F1,
    0x1E950,
    0x1FBF0,
)
_SPACES: Ranges = (
    *_ASCII["s"],
    (0x85, 0x85),
    (0xA0, 0xA0),
    (0x1680, 0x1680),
    (0x2000, 0x200A),
    (0x2028, 0x2029),
    (0x202F, 0x202F),
    (0x205F, 0x205F),
    (0x3000, 0x3000),
)
_NO_WORDS: Ranges = (
    (0, 0x2F),
    (0x3A, 0x40),
    (0x5B, 0x5E),
    (0x60, 0x60),
    (0x7B, 0xA9),
    (0xAB, 0xB4),
    (0xB6, 0xB9),
    (0xBB, 0xBF),
    (0xD7, 0xD7),
    (0xF7, 0xF7),
    (0x2000, 0x200B),
    (0x200E, 0x203E),
    (0x2041, 0x2053),
    (0x2055, 0x2070),
    (0x2072, 0x207E),
    (0x2080, 0x208F),
    (0x20A0, 0x20CF),
    (0x2190, 0x24B5),
    (0x24EA, 0x2BFF),
    (0x2E00, 0x2E2E),
    (0x2E30, 0x3004),
    (0x3008, 0x3020),
    (0xFE10, 0xFE1F),
    (0xFE50, 0xFE6F),
    (0xFF00, 0xFF0F),
    (0xFF1A, 0xFF20),
    (0xFF5B, 0xFF65),
    (0x1F18A, 0x1FBEF),
)
_WIDE: dict[str, Ranges] = {
    "d": merged((zero, zero + 9) for zero in _ZEROS),
    "w": outside(_NO_WORDS),
    "s": _SPACES,
}


def known_set(letter: str, wide: bool | None = None) -> Ranges:
    """Give the characters that ``\\letter`` stands for; a capital is what its letter is not.

    None is ASCII exactly; True and False are the widest and the narrowest reading of all.
    """
    if letter.islower():
        return (_WIDE if wide else _ASCII)[letter]
    return outside((_WIDE if wide is False else _ASCII)[letter.lower()])
