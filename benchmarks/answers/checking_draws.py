"""Draws what the checking families are filled with: names, amounts, padding, and whole cases."""

import random
from typing import Any

import checking_words as words

Case = dict[str, Any]
POOLS = {
    "thing": words.THINGS,
    "boat": words.BOATS,
    "person": words.PEOPLE,
    "place": words.PLACES,
    "show": words.SHOWS,
    "site": words.SITES,
    "crop": words.CROPS,
    "job": words.JOBS,
    "day": words.DAYS,
    "colour": words.COLOURS,
}


def article(noun: str) -> str:
    """Return the noun with "a" or "an" before it."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def listed(items: list[str]) -> str:
    """Return the items as a phrase: "x, y and z"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def capital(text: str) -> str:
    """Return the text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def fill(shape: str, rng: random.Random, **given: str) -> str:
    """Return the shape with its names filled: those given, else drawn; p and q always differ."""
    p, q = rng.sample(words.PEOPLE, 2)
    drawn = {name: rng.choice(pool) for name, pool in POOLS.items()}
    return shape.format(**{**drawn, "p": p, "q": q, **given})


def padded(text: str, k: int, rng: random.Random) -> str:
    """Return the text, in one of ten cases among sentences that have nothing to do with it."""
    if k % 100 < 90:
        return text
    filler = rng.sample(words.FILLER, 6)
    cut = rng.randrange(7)
    between = "\n" if "\n" in text else " "
    return between.join([*filler[:cut], text, *filler[cut:]])


def amounts(kind: str, rng: random.Random, count: int) -> list[tuple[float, str]]:
    """Return as many different amounts as asked for, as numbers and as they are written."""
    numbers = rng.sample(range(11, 99), count)
    if kind in ("kg", "km", "m"):
        return [(n / 2, f"{n / 2:g} {kind}") for n in numbers]
    if kind == "price":
        return [(n / 4, f"{n / 4:.2f} euros") for n in numbers]
    if kind == "time":
        return [
            (n + 15, f"{n + 15} minutes" if n < 60 or n % 2 else spelled(n + 15)) for n in numbers
        ]
    if kind == "mixed":
        return [(n * 100, f"{n * 100} grams" if n % 2 else f"{n / 10:g} kilos") for n in numbers]
    if kind == "clock":
        return [(n, f"{n // 6 + 5}:{n % 6}0") for n in rng.sample(range(10, 90), count)]
    if kind == "date":
        days = rng.sample(range(336), count)
        return [(n, f"{n % 28 + 1} {words.MONTHS[n // 28]}") for n in days]
    if kind == "day":
        return [(n, words.DAYS[n]) for n in rng.sample(range(7), count)]
    if kind == "words":
        return [(n, f"{words.TENS[n]} metres") for n in rng.sample(range(8), count)]
    shape, base = {"age": ("{} years", 0), "year": ("{}", 1800), "cm": ("{} cm", 80)}[kind]
    return [(n + base, shape.format(n + base)) for n in numbers]


def spelled(minutes: int) -> str:
    """Return an hour and more as it is spoken: "1 hour and 20 minutes"."""
    hours, rest = divmod(minutes, 60)
    start = f"{hours} hour{'s' if hours > 1 else ''}"
    return f"{start} and {rest} minutes" if rest else start


def case(op: str, operands: Case, metric: str, expected: object, **tags: object) -> Case:
    """Return a case without its number; the length tag is counted here."""
    size = sum(len(str(value).split()) for value in operands.values())
    length = "short" if size < 60 else "medium"
    return {
        "op": op,
        "operands": operands,
        "metric": metric,
        "expected": expected,
        "tags": {"length": length, "language": "en", **tags},
    }


def judged(question: str, text: str, yes: bool, **tags: object) -> Case:
    """Return a judge case."""
    return case("judge", {"question": question, "text": text}, "exact", yes, **tags)


def entities(kind: str, rng: random.Random, count: int) -> list[str]:
    """Return different names of the kind, as they stand in a sentence."""
    if kind in ("marrow", "parcel", "pole", "rope"):
        return [f"{name}'s {kind}" for name in rng.sample(words.PEOPLE, count)]
    before = "the " if kind in ("boat", "site", "thing") else ""
    return [before + name for name in rng.sample(POOLS[kind], count)]
