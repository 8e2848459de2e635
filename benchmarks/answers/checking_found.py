"""Draws the cases that compare, find, count, order and conclude: nearer to chain."""

import random

import checking_frames as frames
import checking_words as words
from checking_draws import POOLS, Case, amounts, article, capital, case, entities, fill, padded

TEXTUAL = (  # criterion, shapes that meet it and shapes that do not
    (("mentions an animal", "an animal occurs in it"), frames.HOLDERS, frames.HOLDERS),
    (("mentions something to eat", "food occurs in it"), frames.HOLDERS, frames.HOLDERS),
    (("names a colour", "says what colour something is"), frames.HOLDERS, frames.HOLDERS),
    (
        ("asks to be told something", "wants an answer from the reader"),
        frames.ASKING,
        frames.TELLING,
    ),
    (("is polite", "is written in a friendly tone"), frames.POLITE, frames.RUDE),
    (("declines", "is a refusal"), frames.NO_LETTER, frames.YES_LETTER),
)
NUMERIC = (  # index into frames.ORDERS; criteria for the less and for the more
    (0, "names the lower price", "names the higher price"),
    (2, "names the earlier departure", "names the later departure"),
    (3, "names the earlier date of the year", "names the later date of the year"),
    (1, "is about the heavier parcel", "is about the lighter parcel"),
)


def nouns(n: int, rng: random.Random) -> tuple[str, str]:
    """Return a noun that meets textual criterion n and one that does not."""
    thing, other = rng.sample(words.THINGS, 2)
    met = [
        rng.choice(words.ANIMALS),
        rng.choice(words.FOODS),
        f"{rng.choice(words.COLOURS)} {other}",
    ][min(n, 2)]
    return article(met), article(f"{rng.choice(words.SIZES)} {thing}" if n == 2 else thing)


def told_pair(n: int, turn: int, rng: random.Random) -> tuple[str, list[str]]:
    """Return textual criterion n in words, and a text that meets it and one that does not."""
    worded, meets, fails = TEXTUAL[n]
    drawn = zip((meets, fails), nouns(n, rng), strict=True)
    return worded[turn % 2], [fill(rng.choice(shapes), rng, x=noun) for shapes, noun in drawn]


def counted_pair(n: int, turn: int, rng: random.Random) -> tuple[str, list[str]]:
    """Return numeric criterion n in words, and a text that meets it and one that does not."""
    order, *criteria = NUMERIC[n]
    shape, kind, unit = frames.ORDERS[order][:3]
    criterion = criteria[turn % 2]
    drawn = sorted(amounts(unit, rng, 2), reverse=("er parcel" in criterion) ^ (turn % 2 == 1))
    pairs = zip(entities(kind, rng, 2), drawn, strict=True)
    return criterion, [capital(shape.format(e=e, v=v)) for e, (_, v) in pairs]


def nearer(rng: random.Random, i: int) -> Case:
    """Return a case of: which of two texts meets the criterion?"""
    first, n, turn = i % 2 == 0, i // 2 % 10, i // 20
    criterion, pair = told_pair(n, turn, rng) if n < 6 else counted_pair(n - 6, turn, rng)
    one, two = pair if first else pair[::-1]
    operands = {"criterion": criterion, "first": one, "second": two}
    return case("compare", operands, "exact", "first" if first else "second", negation=n == 5)


def lookup(rng: random.Random, i: int) -> Case:
    """Return a case of: one fact from a record of four rows."""
    heading, shape, kinds, *questions = frames.LOOKUPS[i % 8]
    key, kind_v, kind_w = (POOLS[name] for name in kinds.split())
    people = rng.sample(words.PEOPLE, 8)
    v = people[:4] if kind_v is words.PEOPLE else rng.sample(kind_v, 4)
    w = people[4:] if kind_w is words.PEOPLE else rng.sample(kind_w, 4)
    keys = rng.sample([name for name in key if name not in people], 4)
    rows = [capital(shape.format(k=a, v=b, w=c)) for a, b, c in zip(keys, v, w, strict=True)]
    turn, at = i // 8 % 2, i // 16 % 4
    form = ("{}\n- {}", "\n- ") if i // 8 % 4 < 2 else ("{}. {}.", ". ")
    text = padded(form[0].format(heading, form[1].join(rows)), i // 2, rng)
    right = (v, w)[turn][at]
    other = sorted({*(v, w)[turn]} - {right})
    return case(
        "answer",
        {"question": questions[turn].format(k=keys[at]), "text": text},
        "predicate",
        {"all": [right], "none": other, "max_words": 14},
        position=("begin", "middle", "middle", "end")[at],
        distractors=True,
    )


def counting(rng: random.Random, i: int) -> Case:
    """Return a case of: how many items have a value? From two to nine, others beside them."""
    number, k = i % 8 + 2, i // 8
    heading, shape, kind, values, question = frames.COUNTS[(k + i) % 8]
    asked, *others = rng.sample(values, 3)
    held = [asked] * number + [rng.choice(others) for _ in range(rng.randint(1, 12 - number))]
    rng.shuffle(held)
    names = rng.sample(POOLS[kind], len(held))
    items = [shape.format(e=e, v=v) for e, v in zip(names, held, strict=True)]
    text = f"{heading}: " + "; ".join(items) + "." if k % 2 else "\n".join([heading, *items])
    text = padded(text, i // 2, rng)
    return case(
        "answer",
        {"question": question.format(v=asked), "text": text},
        "number",
        number,
        distractors=True,
    )


def among(rng: random.Random, i: int) -> Case:
    """Return a case of: one value among three of its kind, to be copied."""
    shape, kind, wanted = frames.AMONG[i % 8]
    at, turn = i // 8 % 3, i // 2
    people = rng.sample(words.PEOPLE, 4)
    things = dict(zip("tu", rng.sample(words.THINGS, 2), strict=True))
    if kind in ("person", "place"):
        values = people[:3] if kind == "person" else rng.sample(words.PLACES, 3)
    else:
        drawn = amounts(kind, rng, 3)
        values = [text for _, text in (drawn if kind == "price" else sorted(drawn))]
    names = {**dict(zip("abc", values, strict=True)), **things, "p": people[3]}
    text = fill(shape, rng, **names)
    asked = wanted[at].format(**names)
    value = values[wanted_at(i % 8, at)]
    others = [other.removesuffix(" euros") for other in values if other != value]
    return case(
        "extract",
        {"wanted": asked, "text": padded(text, turn, rng)},
        "predicate",
        {"all": [value.removesuffix(" euros")], "none": others, "max_words": 5},
        distractors=True,
    )


def wanted_at(shape: int, at: int) -> int:
    """Return which value the wanted label asks for: the portrait's labels are not in text order."""
    return (1, 2, 0)[at] if shape == 5 else at


def pick(rng: random.Random, i: int) -> Case:
    """Return a case of: which texts help? Others share the site or the matter, not both."""
    site, other = rng.sample(words.SITES, 2)
    asked = list(frames.ASPECTS)[i % 5]
    number, size = i // 5 % 3 + 1, rng.randint(max(4, i // 5 % 3 + 3), 6)
    right = rng.sample(frames.ASPECTS[asked], number)
    beside = [line for name, lines in frames.ASPECTS.items() if name != asked for line in lines]
    elsewhere = rng.sample(frames.ASPECTS[asked], rng.randint(1, size - number - 1))
    others = [line.replace("{s}", other) for line in elsewhere]
    others += rng.sample(beside, size - number - len(others))
    texts = [(line, True) for line in right] + [(line, False) for line in others]
    rng.shuffle(texts)
    rows = [
        f"{n}. " + fill(rng.choice(frames.SPEAKING) + line, rng, s=site)
        for n, (line, _) in enumerate(texts, 1)
    ]
    numbers = [n for n, (_, helps) in enumerate(texts, 1) if helps]
    return case(
        "select",
        {"question": asked.format(s=site), "texts": "\n".join(rows)},
        "set",
        numbers,
        distractors=True,
    )


def order(rng: random.Random, i: int) -> Case:
    """Return a case of: three texts in the order of an amount; all six orders equally often."""
    wanted = ([1, 2, 3], [1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1])[i % 6]
    shape, kind, unit, least, most = frames.ORDERS[i // 6 % 9]
    down = i // 54 % 2 == 1
    values = sorted(amounts(unit, rng, 3), reverse=down)
    names = entities(kind, rng, 3)
    rows = {
        number: capital(shape.format(e=e, v=value[1]))
        for number, e, value in zip(wanted, names, values, strict=True)
    }
    texts = "\n".join(f"{number}. {rows[number]}" for number in (1, 2, 3))
    return case("rank", {"criterion": most if down else least, "texts": texts}, "exact", wanted)


def chained(rng: random.Random) -> dict[str, str]:
    """Return what the shapes of chain are filled with."""
    names = rng.sample([name for name in words.PEOPLE if name not in words.WOMEN], 3)
    thing, t, u = rng.sample(words.THINGS, 3)
    day, n, m = rng.randrange(7), rng.randint(4, 11), rng.randint(2, 8)
    drawn = {"thing": thing, "t": t, "u": u, "stuff": rng.choice(words.STUFFS)}
    drawn |= dict(zip("pqr", names, strict=True))
    drawn |= dict(zip("fg", rng.sample(words.WOMEN, 2), strict=True))
    drawn |= dict(zip("cd", rng.sample(words.COLOURS, 2), strict=True))
    drawn |= dict(zip(("place", "other"), rng.sample(words.PLACES, 2), strict=True))
    drawn |= dict(zip(("boat", "ship"), rng.sample(words.BOATS, 2), strict=True))
    return {
        **drawn,
        "day": words.DAYS[day],
        "after": words.DAYS[(day + 1) % 7],
        "n": str(n),
        "m": str(m),
        "heavy": str(n + m),
        "light": str(n - rng.randint(1, 3)),
        "sum": str(n + m),
        "summed": words.SMALL[n + m - 6],
    }


def fit(entry: str | list[str], names: dict[str, str]) -> str | list[str]:
    """Return what must be said, or each of its alternatives, with the names filled in."""
    if isinstance(entry, list):
        return [word.format(**names) for word in entry]
    return entry.format(**names)


def chain(rng: random.Random, i: int) -> Case:
    """Return a case of: what follows from two or three facts?"""
    facts, question, needed, barred = frames.CHAINS[i % len(frames.CHAINS)]
    names = chained(rng)
    told = [fact.format(**names) for fact in facts]
    if "Later" not in told[-1]:
        rng.shuffle(told)
    expected: Case = {"all": [fit(entry, names) for entry in needed]}
    if barred:
        expected["none"] = [word.format(**names) for word in barred]
    text = padded(" ".join(told), i // 2, rng)
    return case(
        "infer",
        {"question": question.format(**names), "facts": text},
        "predicate",
        {**expected, "max_words": 15},
        negation=" not " in text or "No " in text,
    )
