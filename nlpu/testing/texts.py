"""Texts of a format, a pattern and a length: words, dates, addresses.

Theory of operation
-------------------
A format has a function that rolls one of its texts; what a type says of its moments is met by
moments.py, of its schemes here; a pattern is rolled by patterns.py; all else is words, or of one of
the ``SORTS`` that are wanted. What a length or a second pattern forbids is rolled again.

Rules
1. Addresses and names are those that are kept for examples, and belong to nobody.
2. A date-time has a zone, as its format says; a time has none. Both, and dates, lie in the past.
   Where the type says another thing it is as that says.
3. A format that is not known is plain words, as for any reader of JSON schemas.
4. A pattern is searched for, so more may follow it where a text is too short.
5. What cannot be met is ConstraintRejected, in a sentence that names it.
"""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

from nlpu.errors import ConstraintRejected
from nlpu.testing.moments import moment
from nlpu.testing.patterns import Dice, holds, rolls

MORE = "nlpu-more"  # what a type says and no JSON schema does stands under it (fuller.py)
Sorts = tuple[Callable[[Dice], str], ...]
_AGAIN = 50  # rolls of a format whose texts have the wrong length


def text(
    dice: Dice,
    form: str,
    patterns: list[str],
    low: int,
    high: int | None,
    *,
    more: dict[str, Any] | None = None,
    sorts: Sorts = (),
) -> str:
    """Make a text of a format, in which patterns are found, within bounds of its length.

    more: what else its type says (fuller.py). sorts: those of a text of which nothing is said.
    Raises ConstraintRejected.
    """
    most = max(low, 40) * 50 if high is None else high
    for found in _rolled(dice, form, patterns, low, most=most, more=more or {}, sorts=sorts):
        if low <= len(found) <= most and all(holds(one, found) for one in patterns):
            return found
    what = " ".join(filter(None, (form, *patterns))) or "words"
    raise ConstraintRejected(
        f"no text of {low} to {most} characters was found for {what:.60}; script the answer"
    )


def _rolled(
    dice: Dice,
    form: str,
    patterns: list[str],
    low: int,
    *,
    most: int,
    more: dict[str, Any],
    sorts: Sorts,
) -> Iterator[str]:
    if form in ("date", "time", "date-time", "duration") and more:
        yield moment(form, more, dice)
    elif schemes := more.get("allowed_schemes"):
        yield from (_address(dice, form, schemes, n >= _AGAIN) for n in range(2 * _AGAIN))
    elif form in FORMATS:
        yield from (FORMATS[form](dice) for _ in range(_AGAIN))
        for _ in range(_AGAIN if form in _SIZED else 0):
            yield _SIZED[form](dice, dice.between(low, min(most // 4 * 3, low + 9)))
    elif patterns:
        yield from (found.ljust(low, "s") for found in rolls(patterns[0], dice, low, most))
    else:
        if sorts:
            yield sorts[dice.below(len(sorts))](dice)
        yield _words(dice, low, most)


def _words(dice: Dice, low: int, high: int) -> str:
    words = dice.words(dice.between(1, 4))
    while len(words) < low:
        words += " " + dice.words(1)
    cut = words[:high]
    return cut[:-1] + "s" if cut.endswith(" ") else cut  # strippers of blanks leave it as long


def _day(dice: Dice) -> str:
    return f"{dice.between(1990, 2024)}-{dice.between(1, 12):02}-{dice.between(1, 28):02}"


def _time(dice: Dice) -> str:
    return f"{dice.below(24):02}:{dice.below(60):02}:{dice.below(60):02}"


def _name(dice: Dice) -> str:
    return dice.words(dice.between(1, 2)).replace(" ", "-")


def _ipv4(dice: Dice) -> str:
    return f"192.0.2.{dice.between(1, 254)}"  # addresses of examples, which belong to nobody


def _ipv6(dice: Dice) -> str:
    return f"2001:db8::{dice.between(1, 0xFFFE):x}"


def _url(dice: Dice) -> str:
    return f"https://example.com/{_name(dice)}/{dice.below(100)}"


def _address(dice: Dice, form: str, schemes: list[str], short: bool) -> str:
    """Write an address of one of the schemes (rule 1); a file has no host."""
    scheme = schemes[dice.below(len(schemes))]
    if scheme == "file":
        return f"file:///{_name(dice)}"
    if form == "multi-host-uri" and not short:
        return f"{scheme}://localhost:5432/{_name(dice)}"
    return f"{scheme}://a" if short else _url(dice).replace("https", scheme)


def _mail(dice: Dice) -> str:
    return f"{_name(dice)}@example.com"


def _uuid(version: int) -> Callable[[Dice], str]:
    def make(dice: Dice) -> str:
        number = dice.below(1 << 128) & ~(0xF << 76) & ~(3 << 62)
        return str(UUID(int=number | version << 76 | 2 << 62))

    return make


def _bytes(dice: Dice, size: int | None = None) -> bytes:
    return (dice.words(2) if size is None else _words(dice, size, size)).encode()


_ZONES = ("UTC", "Europe/Berlin", "Asia/Tokyo", "America/Lima", "Africa/Cairo")

FORMATS: dict[str, Callable[[Dice], str]] = {
    "date": _day,
    "time": _time,
    "date-time": lambda dice: f"{_day(dice)}T{_time(dice)}Z",
    "duration": lambda dice: f"P{dice.below(9)}DT{dice.below(24)}H{dice.below(60)}M",
    "zoneinfo": lambda dice: _ZONES[dice.below(len(_ZONES))],
    "uuid": _uuid(4),
    **{f"uuid{version}": _uuid(version) for version in range(1, 9)},
    "uri": _url,
    "url": _url,
    "iri": _url,
    "multi-host-uri": lambda dice: f"postgresql://{_name(dice)}@localhost:5432/{_name(dice)}",
    "hostname": lambda dice: f"{_name(dice)}.example.com",
    "email": _mail,
    "name-email": lambda dice: f"{_name(dice)} <{_mail(dice)}>",
    "ipv4": _ipv4,
    "ipv6": _ipv6,
    "ipvanyaddress": _ipv4,
    "ipv4interface": lambda dice: f"{_ipv4(dice)}/24",
    "ipv6interface": lambda dice: f"{_ipv6(dice)}/64",
    "ipvanyinterface": lambda dice: f"{_ipv4(dice)}/24",
    "ipv4network": lambda dice: f"10.{dice.below(256)}.{dice.below(256)}.0/24",
    "ipv6network": lambda dice: f"2001:db8:{dice.between(1, 0xFFFE):x}::/48",
    "ipvanynetwork": lambda dice: f"10.{dice.below(256)}.{dice.below(256)}.0/24",
    "base64": lambda dice: b64encode(_bytes(dice)).decode(),
    "base64url": lambda dice: urlsafe_b64encode(_bytes(dice)).decode(),
    "path": lambda dice: "/".join(_name(dice) for _ in range(dice.between(1, 2))) + ".txt",
    "file-path": lambda dice: "/etc/hosts",  # one that is there
    "directory-path": lambda dice: "/",
    "json-pointer": lambda dice: f"/{_name(dice)}/{dice.below(10)}",
    "color": lambda dice: f"#{dice.below(1 << 24):06x}",
    "fraction": lambda dice: f"{dice.between(1, 9)}/{dice.between(2, 9)}",
}
_SIZED: dict[str, Callable[[Dice, int], str]] = {  # where no usual text has the length
    "uri": lambda dice, size: "https://a",
    "base64": lambda dice, size: b64encode(_bytes(dice, size)).decode(),
    "base64url": lambda dice, size: urlsafe_b64encode(_bytes(dice, size)).decode(),
}
SORTS: Sorts = (
    lambda dice: str(dice.between(1, 9999)),
    lambda dice: "4242424242424242",  # a card's, for tests
    lambda dice: dice.words(1).upper(),
    lambda dice: dice.words(2).title(),
    lambda dice: _name(dice) + ".txt",
    lambda dice: f"{dice.between(1, 99)}.{dice.below(100):02}",
    *FORMATS.values(),
)
