"""Draws the cases that judge or sort a text: contains to intent.

Case i of a family has its label from i and its sentence shape from i // 2, so that labels are
balanced exactly and no shape goes with a label.
"""

import random

import checking_frames as frames
import checking_words as words
from checking_draws import (
    POOLS,
    Case,
    amounts,
    article,
    capital,
    case,
    entities,
    fill,
    judged,
    listed,
    padded,
)


def inventory(rng: random.Random, present: bool, paired: bool) -> tuple[str, list[str], list[str]]:
    """Return a thing with article, a list that has it or not, and one that has the opposite.

    A paired thing ("brass hook") stands beside things that share one of its words.
    """
    if not paired:
        drawn = [article(noun) for noun in rng.sample(words.THINGS, rng.randint(8, 11))]
        wanted, near, rest = drawn[0], [], drawn[1:]
    else:
        stuff, *stuffs = rng.sample(words.STUFFS, 5)
        shape, *shapes = rng.sample(words.SHAPES, 5)
        wanted, near = (
            article(f"{stuff} {shape}"),
            [article(f"{stuff} {shapes[0]}"), article(f"{stuffs[0]} {shape}")],
        )
        rest = [article(f"{a} {b}") for a, b in zip(stuffs[1:], shapes[1:], strict=True)]
        rest += [article(noun) for noun in rng.sample(words.THINGS, 3)]
    half = len(rest) // 2 + (not present)  # so that the lists' lengths tell nothing
    here, gone = near + rest[:half], rest[half:]
    (here if present else gone).append(wanted)
    for side in (here, gone):
        rng.shuffle(side)
    return wanted, here, gone


def held(rng: random.Random, i: int, negated: bool) -> Case:
    """Return a case of contains or, negated, of missing."""
    label, k = i % 2 == 0, i // 2
    shape = k % 12
    wanted, here, gone = inventory(rng, label != negated, k // 12 % 2 == 0)
    names = dict(zip("pq", rng.sample(words.PEOPLE, 2), strict=True))
    if shape < 8:
        lines = "\n".join(f"- {item}" for item in here)
        text = fill(frames.LISTS[shape], rng, items=listed(here), lines=lines, **names)
        asked = (frames.LACKS_ASKED if negated else frames.HAS_ASKED)[k // 8 % 6]
    else:
        body, has, lacks = frames.TWO_LISTS[shape - 8]
        text = fill(body, rng, here=listed(here), gone=listed(gone), **names)
        asked = lacks if negated else has
    question = asked.format(x=wanted, **names)
    return judged(question, padded(text, k, rng), label, negation=negated, distractors=True)


def contains(rng: random.Random, i: int) -> Case:
    """Return a case of: is a thing in the list?"""
    return held(rng, i, False)


def missing(rng: random.Random, i: int) -> Case:
    """Return a case of: is a thing missing from the list?"""
    return held(rng, i, True)


def larger(rng: random.Random, i: int) -> Case:
    """Return a case of: is one amount more than another? A third one stands beside them."""
    label, k = i % 2 == 0, i // 2
    kind, shapes, unit, more, less = frames.LARGER[k % 10]
    names, values = entities(kind, rng, 3), amounts(unit, rng, 3)
    wants_more = k // 10 % 2 == 0
    low, high = sorted((0, 1), key=lambda n: values[n][0])
    asked, other = (high, low) if label == wants_more else (low, high)
    rows = [capital(rng.choice(shapes).format(e=names[n], v=values[n][1])) for n in range(3)]
    # the one asked about stands first as often as not, whatever the answer is
    order = [asked, other] if k // 20 % 2 == 0 else [other, asked]
    order.insert(rng.randrange(3), 2)
    text = fill(frames.LARGER_INTROS[rng.randrange(6)], rng) + " ".join(rows[n] for n in order)
    question = f"Is {names[asked]} {more if wants_more else less} than {names[other]}?"
    return judged(question, padded(text, k, rng), label, distractors=True)


def mood(rng: random.Random, i: int) -> Case:
    """Return a case of: does the writer like it? Half of the reviews are mixed in words."""
    label, k = i % 2 == 0, i // 2
    asks_good = k % 2 == 0
    good = label == asks_good
    body = rng.sample(words.GOOD if good else words.BAD, 2 + 3 * (k >= 90))
    verdict = rng.choice(words.LOVE if good else words.HATE)
    opener = fill(frames.OPENERS[k // 2 % 8], rng, s=rng.choice(words.OUTINGS))
    mixed = k // 2 % 2 == 0
    aside = rng.sample(words.SNAGS if good else words.PERKS, 2) if mixed else []
    parts = [*aside, *body[len(aside) // 2 :], verdict]
    if k // 4 % 3 == 0:
        parts = [verdict, *parts[:-1]]
    question = frames.MOOD_ASKED[k // 4 % 6][0 if asks_good else 1]
    return judged(
        question,
        capital(" ".join([opener, *parts])),
        label,
        negation=not asks_good,
        distractors=mixed,
    )


def changed(slot: str, facts: dict[str, str], rng: random.Random) -> str:
    """Return another value for the slot; of the two people, the other one."""
    if slot in "pq":
        return facts["q" if slot == "p" else "p"]
    pool = [str(n) for n in range(3, 30)] if slot == "n" else POOLS[slot]
    return rng.choice([value for value in pool if value != facts[slot]])


def supported(rng: random.Random, i: int) -> Case:
    """Return a case of: does the text say so? What it does not say differs in one fact."""
    label, k = i % 2 == 0, i // 2
    body, statements = frames.SAID[k % 8]
    p, q = rng.sample(words.PEOPLE, 2)
    facts = {name: rng.choice(pool) for name, pool in POOLS.items()}
    facts |= {"p": p, "q": q, "n": str(rng.randint(3, 29))}
    statement = statements[k // 8 % len(statements)]
    slots = [name for name in facts if "{" + name + "}" in statement]
    told = dict(facts)
    if not label:
        slot = rng.choice(slots)
        told[slot] = changed(slot, facts, rng)
    asked = frames.SAID_ASKED[k % 6].format(s=statement.format(**told))
    text = body.format(**facts)
    negation = " not " in f"{asked} {text}"
    return judged(asked, padded(text, k, rng), label, distractors=True, negation=negation)


def choices(right: str, pool: list[str], i: int, rng: random.Random) -> list[str]:
    """Return three or four names of the pool, the right one at every place equally often."""
    size, place = [(3, 0), (3, 1), (3, 2), (4, 0), (4, 1), (4, 2), (4, 3)][i % 7]
    others = rng.sample([name for name in pool if name != right], size - 1)
    return [*others[:place], right, *others[place:]]


def topic(rng: random.Random, i: int) -> Case:
    """Return a case of: what are these lines about?"""
    names = list(words.TOPICS)
    right, k = names[i % 10], i // 10
    lines = rng.sample(words.TOPICS[right].split("|"), 7 if k >= 18 else rng.randint(2, 3))
    text = fill(frames.TOPIC_INTROS[i % 7], rng) + " ".join(lines)
    drawn = case("classify", {"by": frames.TOPIC_BY[i % 6], "text": text}, "exact", right)
    return {**drawn, "choices": choices(right, names, i, rng)}


def intent(rng: random.Random, i: int) -> Case:
    """Return a case of: what does the writer want?"""
    names = list(words.WANTS)
    right, k = names[i % 8], i // 8
    thing, lead, end = rng.choice(words.THINGS), rng.choice(words.LEADS), rng.choice(words.ENDS)
    want = words.WANTS[right].split("|")[k % 6]
    text = " ".join([fill(lead, rng, thing=thing), want, fill(end, rng)])
    text = padded(text, k * 4, rng)
    drawn = case(
        "classify",
        {"by": frames.WANT_BY[i % 6], "text": text},
        "exact",
        right,
        distractors=k * 4 >= 90,
    )
    return {**drawn, "choices": choices(right, names, i, rng)}
