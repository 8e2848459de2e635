"""Numbers in texts: numerals and number words, read whole or not at all.

Theory of operation
-------------------
A number that is read by half is another number: "twenty-one" is not 20, "1e6" not 1. So numerals
are read with their sign, thousands, decimals, exponent, fraction, percent and scale ("5 million",
"$5m"), number words as the English number that all adjacent ones make together.

Rules
1. What looks like more than a number (a date, a time, a version, a list without blanks) is none.
2. A percentage is its share: 50 % is 0.5.
3. Words count where there is no numeral.
4. Nothing here raises, whatever the text.
"""

from __future__ import annotations

import re
import unicodedata
from decimal import Context, Decimal, DecimalException
from math import inf

Number = int | float
_PLAIN = str.maketrans(  # blank, hyphens, apostrophe; Arabic's point and comma
    "\u2009\u2010\u2011\ufe63\u2019\u066b\u066c", " ---'.,"
)
_MOST_DIGITS = 4000  # Python writes none that are much longer
_CONTEXT = Context(prec=2 * _MOST_DIGITS)
_TEENS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
)
_UNITS = {name: value for value, name in enumerate(_TEENS.split(" "))} | {"a": 1, "an": 1}
_DECADES = "twenty thirty forty fifty sixty seventy eighty ninety"
_TENS = {name: 10 * value for value, name in enumerate(_DECADES.split(" "), 2)}
_SCALES = {
    "dozen": 12,
    "thousand": 10**3,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
}
_TIMES = {**_SCALES, "hundred": 100}
_SHORT = {"k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}  # by the first letter: mn, mln, bn
_PARTS = {
    "half": 2,
    "halves": 2,
    "third": 3,
    "thirds": 3,
    "quarter": 4,
    "quarters": 4,
    "fifth": 5,
    "fifths": 5,
    "sixth": 6,
    "sixths": 6,
    "eighth": 8,
    "eighths": 8,
    "tenth": 10,
    "tenths": 10,
}
_ORDINALS = "first|second|third|fourth|fifth|sixth|seventh|eighth|ninth"
_SCALE = f"(?P<scale>{'|'.join(_TIMES)})"
_PERCENT = r"(?P<percent>\s*%|\s+per\s?cent\b)?"
_NUMERAL = re.compile(
    r"(?<![\w.,:/^])(?<!\d[-'\u00d7*])(?<!\d\s[\u00d7*]\s)(?<!\d\*\*)"
    r"(?P<minus>(?:minus|negative)\s+)?(?P<sign>[-+\u2212\u2013])?"
    r"(?P<money>[$\u20ac\u00a3\u00a5])?"
    r"(?:(?P<mixed>\d+)\s(?=\d+/\d))?"
    r"(?P<whole>\d{1,3}(?:[, '_]\d{3})+(?!\d)|\d+|(?=\.\d))(?P<part>\.\d+|,\d{1,2}(?!\d))?"
    r"(?:e(?P<power>[-+]?\d+)|\s*[\u00d7x*]\s*10\^(?P<tens>[-+]?\d+))?"
    r"(?:/(?P<under>\d+))?"
    r"(?!\d|[.,:/^'_]\d|-\d+-\d|\s*[\u00d7*]\s*\d|\*\*\d|e\d|x[\da-f]|\^)"
    r"(?![\u00b2\u00b3\u00b9\u2070-\u2079])"
    rf"(?:\s+{_SCALE}\b|\s?(?P<short>mln|mn|bn|tn)\b|(?P<letter>k|(?(money)[mbt]|k))\b)?{_PERCENT}"
)
_WORD = "|".join([*sorted({*_UNITS, *_TENS, *_SCALES} - {"a", "an"}), "hundred"])
_RUN = re.compile(
    rf"(?<!\w)(?<!\bpoint\s)(?P<minus>(?:minus|negative)\s+)?"
    rf"(?:(?P<words>(?:an?\s+)?\b(?:{_WORD})(?:(?:\s+and\s+|[\s-]+)(?:{_WORD})\b)*"
    rf"(?:\s+point(?:\s+(?:{_WORD})\b)+)?)"
    rf"(?:\s+and\s+(?:an?|one)\s+(?P<plus>half|third|quarter)|[\s-]+(?P<parts>{'|'.join(_PARTS)}))?"
    rf"|(?:an?\s+)?(?P<alone>half|quarter))\b(?!-(?:{_ORDINALS})\b)"
    rf"(?:\s+(?:of\s+)?(?:an?\s+)?{_SCALE}\b)?{_PERCENT}"
)


def number_in(text: str) -> Number | None:
    """Read the first number in a text; in words, where no numeral is in it."""
    plainly = _ready(text)
    for pattern, read in ((_NUMERAL, _numeral), (_RUN, _worded)):
        for found in pattern.finditer(plainly):
            value = read(found)
            if value is not None:
                return value
    return None


def number_of(text: str) -> Number | None:
    """Read a text that is a number and nothing else."""
    plainly = _ready(text).strip()
    for pattern, read in ((_NUMERAL, _numeral), (_RUN, _worded)):
        found = pattern.fullmatch(plainly)
        if found is not None:
            return read(found)
    return None


def same_number(one: Number | Decimal, other: Number | Decimal) -> bool:
    """Tell whether two numbers are equal, whatever they are kept as: 1.5 is Decimal("1.50")."""
    return one == other or _decimal(one) == _decimal(other)


def _decimal(number: Number | Decimal) -> Decimal:
    """The number as it is written: of a float the digits that tell it from others."""
    return Decimal(repr(number)) if isinstance(number, float) else Decimal(number)


def _ready(text: str) -> str:
    """The text in one case; a fraction that is one sign stands apart from what is before it."""
    signs = [
        " " + unicodedata.normalize("NFKC", sign).replace("\u2044", "/")
        if unicodedata.decomposition(sign).startswith("<fraction>")
        else unicodedata.normalize("NFKC", sign)
        if unicodedata.decomposition(sign).startswith(("<wide>", "<narrow>", "<noBreak>"))
        else sign
        for sign in text
    ]
    return "".join(signs).casefold().translate(_PLAIN)


def _numeral(found: re.Match[str]) -> Number | None:
    whole = re.sub(r"[, '_]", "", found["whole"]) or "0"
    power = found["power"] or found["tens"] or "0"
    part = (found["part"] or "").replace(",", ".")
    if len(whole) + len(part) > _MOST_DIGITS or len(power) > 4:
        return None
    try:
        value = Decimal(f"{whole}{part}e{power}")
        if found["under"]:
            value = _CONTEXT.divide(value, Decimal(found["under"][:_MOST_DIGITS]))
        value = _CONTEXT.add(value, Decimal(found["mixed"] or 0))
    except (DecimalException, ValueError):
        return None
    short = found["short"] or found["letter"] or " "
    value = _CONTEXT.multiply(value, Decimal(_SHORT.get(short[0], 1)))
    return _told(value, found, _negative(found["sign"]))


def _negative(sign: str | None) -> bool:
    return sign is not None and sign != "+"


def _told(value: Decimal, found: re.Match[str], negative: bool = False) -> Number | None:
    """The number with its scale and sign, as a share if it is a percentage (rule 2)."""
    value = _CONTEXT.multiply(value, Decimal(_TIMES.get(found["scale"], 1)))
    if found["percent"]:
        value = _CONTEXT.multiply(value, Decimal("0.01"))
    if negative != bool(found["minus"]):
        value = value.copy_negate()
    if value and abs(value.adjusted()) > _MOST_DIGITS:
        return None
    if value == value.to_integral_value(context=_CONTEXT):
        return int(value)
    told = float(value)
    return told if abs(told) != inf else None


def _worded(found: re.Match[str]) -> Number | None:
    if found["alone"]:
        return _told(Decimal(1) / _PARTS[found["alone"]], found)
    words = [word for word in re.split(r"[\s-]+", found["words"]) if word != "and"]
    before, _, digits = " ".join(words).partition(" point ")
    whole = _whole(before.split())
    after = [_UNITS.get(word, _TIMES.get(word, 10)) for word in digits.split()]
    times = after.pop() if after[1:] and after[-1] >= 12 else 1  # one point five million
    if whole is None or any(digit > 9 for digit in after):
        return None
    value = Decimal(f"{whole}.{''.join(map(str, after)) or '0'}") * times
    if found["plus"]:
        value += Decimal(1) / _PARTS[found["plus"]]
    if found["parts"]:
        value = _CONTEXT.divide(value, Decimal(_PARTS[found["parts"]]))
    return _told(value, found)


def _whole(words: list[str]) -> int | None:
    """The number that words make together; None where they make none (rule 1)."""
    total, group, least = 0, None, 10**15
    for word in words:
        if word in _SCALES:
            scale = _SCALES[word]
            if group is None or scale >= least:
                return None
            total, group, least = total + group * scale, None, scale
        else:
            group = _grouped(group, word)
            if group is None:
                return None
    return total + (group or 0)


def _grouped(group: int | None, word: str) -> int | None:
    """A number below a thousand with one more word; None where it does not go on so."""
    if word == "hundred":
        return group * 100 if group is not None and 0 < group < 100 else None
    more = _UNITS.get(word, _TENS.get(word, 0))
    if group is None:
        return more
    open_tens = group % 100 >= 20 and group % 10 == 0 and 0 < more < 10
    open_hundreds = group > 0 and group % 100 == 0 and more > 0
    return group + more if open_tens or open_hundreds else None
