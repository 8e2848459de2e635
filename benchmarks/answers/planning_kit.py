"""Gives the planning cases their words: slots to fill, amounts to compare, text to pad.

The lists and frames stand in planning_words.toml.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

COUNT = 200
FRAMES: dict[str, Any] = tomllib.loads(
    (Path(__file__).parent / "planning_words.toml").read_text(encoding="utf-8")
)
FILLERS: list[str] = FRAMES["words"].pop("fillers")
WORDS: dict[str, list[str]] = {kind: text.split(", ") for kind, text in FRAMES["words"].items()}
WORDS["numbers"] = [str(number) for number in range(21, 99)]
SMALL = WORDS["small"]
SLOTS = {
    "names": "abf",
    "places": "pqo",
    "days": "de",
    "colours": "cg",
    "things": "tu",
    "numbers": "nm",
    "rooms": "rs",
    "jobs": "jk",
    "foods": "y",
    "months": "w",
    "herds": "li",
}
LONG_SLOTS = {
    "names": "name",
    "places": "place",
    "days": "day",
    "colours": "colour",
    "things": "thing",
    "foods": "food",
    "animals": "animal",
    "months": "month",
}
MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
RANGES = {  # lowest, highest, step, and how it is written
    "kg": (2, 60, 1, "{} kg"),
    "years": (5, 92, 1, "{} years"),
    "km": (2, 80, 1, "{} km"),
    "gram": (40, 950, 10, "{} grams"),
    "cm": (104, 192, 1, "{} cm"),
    "crowns": (3, 95, 1, "{} crowns"),
    "pages": (12, 390, 1, "{} pages"),
    "people": (12, 950, 1, "{} people"),
    "mass": (300, 4800, 100, ""),
    "duration": (65, 175, 5, ""),
    "clock": (7 * 60, 21 * 60 + 55, 5, ""),
    "date": (0, 364, 1, ""),
}
Case = dict[str, Any]


def spread(rng: Random, *axes: Sequence[Any]) -> list[tuple[Any, ...]]:
    """As many rows as there are cases, each combination as often as the next, shuffled.

    Give the axis that must be balanced exactly last.
    """
    combinations = list(product(*axes))
    rows = [combinations[index % len(combinations)] for index in range(COUNT)]
    rng.shuffle(rows)
    return rows


def one_in_ten(rng: Random, rows: Sequence[tuple[Any, ...]]) -> list[bool]:
    """Which cases are long: a tenth of those of each value of the last axis."""
    labels = [str(row[-1]) for row in rows]
    flags = [False] * len(rows)
    for label in sorted(set(labels)):
        members = [index for index, other in enumerate(labels) if other == label]
        for index in rng.sample(members, round(len(members) / 10)):
            flags[index] = True
    return flags


def cast(rng: Random) -> dict[str, str]:
    """A value for every slot, all different within a kind."""
    slots: dict[str, str] = {}
    for kind, letters in SLOTS.items():
        slots.update(zip(letters, rng.sample(WORDS[kind], len(letters)), strict=True))
    for kind, slot in LONG_SLOTS.items():
        slots[slot] = rng.choice([word for word in WORDS[kind] if word not in slots.values()])
    slots["k"] = SMALL[rng.randint(3, 12)]
    for slot in ("animal", "thing", "food"):
        slots[f"{'an' if slot == 'animal' else 'a'}_{slot}"] = f"a {slots[slot]}"
    return slots


def casts(rng: Random, count: int) -> list[dict[str, str]]:
    """Several casts that have no value in common."""
    while True:
        found = [cast(rng) for _ in range(count)]
        slots = [*"apdctnrjy", "name", "thing", "place"]
        if all(len({row[slot] for row in found}) == count for slot in slots):
            return found


def polish(text: str) -> str:
    """The text with "an" before a vowel, and a capital at its start."""
    text = re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)
    return text[:1].upper() + text[1:]


def listed(items: Sequence[str], article: bool = True) -> str:
    """Items as a phrase: a kettle, a saw and an axe."""
    named = [f"a {item}" if article else item for item in items]
    return named[0] if len(named) == 1 else ", ".join(named[:-1]) + " and " + named[-1]


def numbered(texts: Sequence[str]) -> str:
    return "\n".join(f"{number}. {text}" for number, text in enumerate(texts, 1))


def pad(rng: Random, text: str, count: int = 5) -> str:
    """The text between sentences that have nothing to do with it."""
    sentences = rng.sample(FILLERS, count)
    before = rng.randint(1, count - 1)
    parts = [" ".join(sentences[:before]), text, " ".join(sentences[before:])]
    return ("\n" if "\n" in text else " ").join(parts)


def padded(rng: Random, texts: Sequence[str], each: int) -> list[str]:
    """Texts with sentences around them that have nothing to do with them, no sentence twice."""
    sentences = rng.sample(FILLERS, each * len(texts))
    found = []
    for index, text in enumerate(texts):
        parts = sentences[index * each : (index + 1) * each]
        parts.insert(rng.randint(0, each), text)
        found.append(" ".join(parts))
    return found


def written(rng: Random, unit: str, value: int) -> str:
    """An amount as text; a weight or a time in one of two ways."""
    if unit == "clock":
        return f"{value // 60}:{value % 60:02}"
    if unit == "mass":
        return f"{value / 1000:g} kg" if value >= 1000 and rng.random() < 0.6 else f"{value} g"
    if unit == "duration" and rng.random() < 0.5:
        hours, minutes = divmod(value, 60)
        text = f"{hours} hour" + ("s" if hours > 1 else "")
        return f"{text} {minutes} minutes" if minutes else text
    if unit == "duration":
        return f"{value} minutes"
    if unit == "date":
        month = 0
        while value >= MONTH_DAYS[month]:
            value -= MONTH_DAYS[month]
            month += 1
        return f"{value + 1} {WORDS['months'][month]}"
    return RANGES[unit][3].format(value)


def amounts(rng: Random, unit: str, count: int) -> list[str]:
    """Different amounts as texts, the smallest first."""
    low, high, step, _ = RANGES[unit]
    values = sorted(rng.sample(range(low, high + 1, step), count))
    return [written(rng, unit, value) for value in values]


def length(operands: dict[str, str]) -> str:
    words = sum(len(text.split()) for text in operands.values())
    return "short" if words < 60 else "medium" if words <= 250 else "long"
