"""Writes the generated families of truth-table cases: two hundred cases of each, from a seed.

    .venv/bin/python benchmarks/answers/make_planning.py [--seed 7] [--out DIRECTORY]

A family is a function from a random generator to its cases. Answers are known from how a text is
made; labels, places of the right answer and wordings are spread evenly before the texts are drawn.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from itertools import permutations
from pathlib import Path
from random import Random
from typing import Any

from planning_kit import (
    FRAMES,
    SMALL,
    WORDS,
    Case,
    amounts,
    cast,
    casts,
    length,
    listed,
    numbered,
    one_in_ten,
    pad,
    padded,
    polish,
    spread,
)

Draw = Callable[..., Case]
POSITIONS = ["begin", "middle", "end"]


def case(op: str, operands: dict[str, str], metric: str, expected: Any, **tags: Any) -> Case:
    tags = {"length": length(operands), **tags, "language": "en"}
    return {"op": op, "operands": operands, "metric": metric, "expected": expected, "tags": tags}


def listing(rng: Random, frame: Case, words: str, which: int, label: bool, long: bool) -> Case:
    """Whether a list holds a thing; `words` and `which` say how it is asked."""
    two, names = "{other}" in frame["text"], frame["kind"] == "names"
    slots = cast(rng)
    pool = [word for word in WORDS[frame["kind"]] if word not in slots.values()]
    items = rng.sample(pool, rng.randint(6, 8) if two else rng.randint(4, 7))
    mine, other = (items[:-3], items[-3:]) if two else (items, [])
    strangers = other if two and rng.random() < 0.7 else [w for w in pool if w not in items]
    asked = rng.choice(mine if label == (words == "ask") else strangers)
    slots |= {
        "list": listed(mine, not names),
        "other": listed(other, not names) if other else "",
        "lines": "\n".join(f"- a {word}" for word in mine),
        "x": asked if names else f"a {asked}",
        "bare": asked,
    }
    text = polish(frame["text"].format(**slots))
    question = polish(frame[words][which].format(**slots))
    operands = {"question": question, "text": pad(rng, text) if long else text}
    return case("judge", operands, "exact", label, distractors=two, negation=words == "missing")


def larger(rng: Random, frame: Case, flip: bool, label: bool, long: bool) -> Case:
    """Whether one amount of three is larger than another; `flip`: the later one is asked first."""
    names = rng.sample(WORDS[frame["kind"]], 3)
    values = amounts(rng, frame["unit"], 3)
    one, two = sorted(rng.sample(range(3), 2), reverse=flip)
    small, big = sorted(rng.sample(range(3), 2))
    of = {3 - one - two: values[3 - small - big]}
    of |= {one: values[big if label else small], two: values[small if label else big]}
    slots = {"pqr"[i]: names[i] for i in range(3)} | {"v" + "pqr"[i]: of[i] for i in range(3)}
    text = polish(frame["text"].format(**slots))
    question = frame["ask"].format(a=names[one], b=names[two])
    operands = {"question": question, "text": pad(rng, text) if long else text}
    return case("judge", operands, "exact", label, distractors=True, negation=False)


def mood(rng: Random, frame: Case, mixed: bool, asked: str, label: bool, long: bool) -> Case:
    """Whether a review is good, or bad; a mixed one has a small thing to say for the other side."""
    felt = asked if label else {"good": "bad", "bad": "good"}[asked]
    slots = cast(rng) | {"s": rng.choice(frame["subjects"].split(", "))}
    body = rng.sample(frame[felt], 1 if mixed else 2)
    if mixed:
        small = frame["small_bad" if felt == "good" else "small_good"]
        body.insert(rng.randint(0, 1), rng.choice(small))
    verdict = rng.choice(frame["love" if felt == "good" else "hate"])
    text = polish(" ".join([rng.choice(frame["start"]).format(**slots), *body, verdict]))
    question = rng.choice(FRAMES["mood_ask"][asked]).format(**slots)
    operands = {"question": question, "text": pad(rng, text) if long else text}
    return case("judge", operands, "exact", label, distractors=mixed, negation=asked == "bad")


def supported(rng: Random, frame: Case, which: int, label: bool, long: bool) -> Case:
    """Whether a text says something: a paraphrase, or one with one fact changed."""
    slots = cast(rng)
    statement, changed, twin = frame["say"][which]
    said = dict(slots)
    if not label and twin and rng.random() < 0.7:
        said[changed] = slots[twin]
    while not label and said[changed] == slots[changed]:
        other = cast(rng)[changed]
        said[changed] = other if other not in slots.values() else slots[changed]
    text = polish(frame["text"].format(**slots))
    claim = polish(statement.format(**said))
    operands = {"question": f'Does the text say the following? "{claim}"', "text": text}
    operands["text"] = pad(rng, text, 4) if long else text
    return case("judge", operands, "exact", label, distractors=bool(twin), negation=False)


def chosen(rng: Random, right: str, names: list[str], place: int, size: int) -> list[str]:
    """Names to choose among, the right one at its place."""
    options = rng.sample([name for name in names if name != right], size - 1)
    return [*options[:place], right, *options[place:]]


def topic(rng: Random, right: str, long: bool, place: int, size: int) -> Case:
    parts = rng.sample(FRAMES["topic"][right], 6 if long else rng.randint(2, 3))
    text = polish(" ".join(part.format(**cast(rng)) for part in parts))
    by = rng.choice(["topic of the text", "what the text is about", "subject matter", "theme"])
    operands = {"by": by, "text": pad(rng, text, 2) if long else text}
    made = case("classify", operands, "exact", right, distractors=False)
    return made | {"choices": chosen(rng, right, list(FRAMES["topic"]), place, size)}


def intent(rng: Random, denied: bool, right: str, long: bool, place: int, size: int) -> Case:
    """What a letter wants; `denied`: it also says what, among the choices, it does not want."""
    wishes, parts = FRAMES["intent"], FRAMES["intent_parts"]
    choices = chosen(rng, right, list(wishes), place, size)
    slots = cast(rng) | {"other": rng.choice(["Z. Abel", "R. Timm", "K. Orme", "L. Vance"])}
    wish = [rng.choice(wishes[right]["want"])]
    if denied:
        wrong = rng.choice([name for name in choices if name != right])
        wish.insert(rng.randint(0, 1), wishes[wrong]["not"])
    body = " ".join([rng.choice(parts["context"]), *wish]).format(**slots)
    body = pad(rng, body) if long else body
    start, close = (rng.choice(parts[key]).format(**slots) for key in ("start", "close"))
    operands = {"by": rng.choice(parts["by"]), "text": f"{start}\n{polish(body)}\n{close}"}
    made = case("classify", operands, "exact", right, distractors=denied, negation=denied)
    return made | {"choices": choices}


def nearer(rng: Random, frame: Case, right: int, long: bool) -> Case:
    """Which text meets a criterion; `right` is its place."""
    values = amounts(rng, frame["value"], 2) if "value" in frame else ["", ""]
    values = values if frame.get("low", True) else values[::-1]
    texts = []
    for key, value, slots in zip(("yes", "no"), values, casts(rng, 2), strict=True):
        shape = rng.choice(frame.get(key) or frame["text"])
        texts.append(polish(shape.format(**slots, v=value)))
    if long and frame.get("pads", True):
        texts = padded(rng, texts, 3)
    first, second = texts if right == 0 else texts[::-1]
    operands = {"criterion": rng.choice(frame["criterion"]), "first": first, "second": second}
    return case("compare", operands, "exact", ["first", "second"][right], distractors=False)


def lookup(rng: Random, frame: Case, which: int, place: int, long: bool) -> Case:
    """A fact from one of three records; `place` is that of the record."""
    question, slot = frame["ask"][which]
    records = casts(rng, 3)
    lines = [polish(frame["row"].format(**record)) for record in records]
    text = frame.get("head", "") + frame.get("sep", " ").join(lines)
    right, *wrong = [records[place], *records[:place], *records[place + 1 :]]
    none = [record[slot].casefold() for record in wrong]
    expected = {"all": [right[slot].casefold()], "none": none, "max_words": 14}
    operands = {"question": question.format(**right), "text": pad(rng, text) if long else text}
    tags = {"position": POSITIONS[place], "distractors": True, "negation": False}
    return case("answer", operands, "predicate", expected, **tags)


def counted(rng: Random, frame: Case, value: int, slots: dict[str, str]) -> dict[str, str]:
    """The slots of a counting text in which `value` things are to be counted."""
    rest = rng.randint(2, 5)
    if frame["kind"] == "sum":
        rest = rng.randint(1, value - 1)
        return slots | {"first": SMALL[value - rest], "second": SMALL[rest]}
    if frame["kind"] == "rest":
        return slots | {"first": SMALL[value + rest], "second": SMALL[rest]}
    pool = [word for word in WORDS[frame["kind"]] if word not in slots.values()]
    items = rng.sample(pool, value + rest)
    article = frame["kind"] not in ("names", "places")
    rows = [frame.get("row_yes", "").format(x=item, **slots) for item in items[:value]]
    rows += [frame.get("row_no", "").format(x=item, **slots) for item in items[value:]]
    rng.shuffle(rows)
    slots |= {"list": listed(items[:value], article), "other": listed(items[value:], article)}
    return slots | {"lines": "\n".join(rows), "rows": "; ".join(rows)}


def counting(rng: Random, frame: Case, value: int, long: bool) -> Case:
    few = rng.choice([number for number in range(2, 10) if number != value])
    slots = counted(rng, frame, value, cast(rng) | {"k": SMALL[few]})
    text = polish(frame["text"].format(**slots))
    question = rng.choice(frame["ask"]).format(**slots) + " Answer in digits."
    operands = {"question": question, "text": pad(rng, text) if long else text}
    return case("answer", operands, "number", value, distractors=True, negation=False)


def three(rng: Random, kind: str, slots: dict[str, str]) -> list[str]:
    """Three values of a kind; dates and hours in their order."""
    if kind in ("date", "clock"):
        return amounts(rng, kind, 3)
    if kind == "price":
        return rng.sample(amounts(rng, "crowns", 3), 3)
    return rng.sample([word for word in WORDS[kind + "s"] if word not in slots.values()], 3)


def among(rng: Random, frame: Case, which: int, long: bool) -> Case:
    """One of three dates, prices, names ... of a text, by what it is."""
    slots = cast(rng)
    values = three(rng, frame["kind"], slots)
    text = frame["text"].format(**slots, **{f"v{i}": value for i, value in enumerate(values)})
    wanted = re.sub(r"\ba (?=[aeiou])", "an ", frame["want"][which].format(**slots))
    text = pad(rng, polish(text)) if long else polish(text)
    none = [value.casefold() for value in values if value != values[which]]
    words = len(values[which].split()) + 4
    expected = {"all": [values[which].casefold()], "none": none, "max_words": words}
    tags = {"position": POSITIONS[which], "distractors": True}
    return case("extract", {"wanted": wanted, "text": text}, "predicate", expected, **tags)


def pick(rng: Random, frame: Case, count: int, long: bool) -> Case:
    """Numbered notes of which `count` help: some are near the subject, some far from it."""
    slots = cast(rng)
    total = rng.randint(max(4, count + 2), 6)
    near = rng.sample(frame["near"], rng.randint(1, total - count - 1))
    far = rng.sample(FRAMES["pick_far"]["notes"], total - count - len(near))
    notes = [(text, True) for text in rng.sample(frame["good"], count)]
    notes += [(text, False) for text in near + far]
    rng.shuffle(notes)
    texts = [polish(text.format(**slots)) for text, _ in notes]
    texts = padded(rng, texts, 1) if long else texts
    right = [number for number, note in enumerate(notes, 1) if note[1]]
    operands = {"question": rng.choice(frame["ask"]).format(**slots), "texts": numbered(texts)}
    return case("select", operands, "set", right, distractors=True)


def order(rng: Random, frame: Case, right: tuple[int, ...], long: bool) -> Case:
    """Three notes with amounts; `right` is their order, best first."""
    values = amounts(rng, frame["value"], 3)
    values = values if frame["low"] else values[::-1]
    texts = [""] * 3
    for place, value, slots in zip(right, values, casts(rng, 3), strict=True):
        texts[place] = polish(rng.choice(frame["text"]).format(**slots, v=value))
    texts = padded(rng, texts, 2) if long else texts
    operands = {"criterion": frame["criterion"], "texts": numbered(texts)}
    return case("rank", operands, "exact", [place + 1 for place in right], distractors=False)


def chain(rng: Random, frame: Case, long: bool) -> Case:
    """Facts in any order, from which one follows that answers the question."""
    slots = cast(rng)
    days = WORDS["days"]
    slots["next"] = days[(days.index(slots["d"]) + 1) % 7]
    facts = [polish(fact.format(**slots)) for fact in rng.sample(frame["facts"], 3)]
    text = pad(rng, " ".join(facts)) if long else " ".join(facts)
    operands = {"question": rng.choice(frame["ask"]).format(**slots), "facts": text}
    needed = [word.format(**slots).casefold().split("|") for word in frame["all"]]
    expected: Case = {"all": [words[0] if len(words) == 1 else words for words in needed]}
    expected["none"] = [word.format(**slots).casefold() for word in frame["none"]]
    expected["max_words"] = 20
    return case("infer", operands, "predicate", expected, distractors=True)


BOTH = [True, False]
FAMILIES: dict[str, tuple[Draw, list[Sequence[Any]]]] = {  # the last axis is balanced exactly
    "contains": (listing, [FRAMES["contains"], ["ask"], range(2), BOTH]),
    "missing": (listing, [FRAMES["contains"], ["missing"], range(2), BOTH]),
    "larger": (larger, [FRAMES["larger"], BOTH, BOTH]),
    "mood": (mood, [FRAMES["mood"], BOTH, ["good", "bad"], BOTH]),
    "supported": (supported, [FRAMES["supported"], range(5), BOTH]),
    "topic": (topic, [list(FRAMES["topic"])]),
    "intent": (intent, [BOTH, list(FRAMES["intent"])]),
    "nearer": (nearer, [FRAMES["nearer"], range(2)]),
    "lookup": (lookup, [FRAMES["lookup"], range(2), range(3)]),
    "counting": (counting, [FRAMES["counting"], range(2, 10)]),
    "among": (among, [FRAMES["among"], range(3)]),
    "pick": (pick, [FRAMES["pick"], range(1, 4)]),
    "order": (order, [FRAMES["order"], list(permutations(range(3)))]),
    "chain": (chain, [FRAMES["chain"]]),
}


def places(rng: Random) -> list[tuple[int, int]]:
    """(place of the right choice, number of choices): 96 cases of three and 104 of four."""
    pairs = [(index % 3, 3) for index in range(96)] + [(index % 4, 4) for index in range(104)]
    return rng.sample(pairs, len(pairs))


def cases(name: str, seed: int) -> list[Case]:
    """The cases of a family, no two with the same operands."""
    rng = Random(f"{name}-{seed}")
    draw, axes = FAMILIES[name]
    rows = spread(rng, *axes)
    rows = [(*row, long) for row, long in zip(rows, one_in_ten(rng, rows), strict=True)]
    if draw in (topic, intent):
        rows = [row + place for row, place in zip(rows, places(rng), strict=True)]
    seen: set[str] = set()
    made: list[Case] = []
    while len(made) < len(rows):
        drawn = draw(rng, *rows[len(made)])
        key = json.dumps(drawn["operands"], sort_keys=True)
        if key not in seen:
            made.append({"id": f"{name}-{len(made) + 1:03}", "family": name, **drawn})
        seen.add(key)
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=7)
    default = Path(__file__).parent / "planning" / "families"
    parser.add_argument("--out", type=Path, default=default)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in FAMILIES:
        lines = [json.dumps(made, ensure_ascii=False) for made in cases(name, arguments.seed)]
        path = arguments.out / f"{name}.jsonl"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(f"{path.name:18} {len(lines)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
