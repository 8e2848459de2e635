"""Writes the checking set's generated families, one file of cases each, the same at every run.

The cases judge what was tuned on another set, so the words and sentence shapes here are shared with
nothing else. Case i of a family has its label from i and its sentence shape from i // 2, so that
labels are balanced exactly and no shape goes with a label. Run without arguments to write
`checking/families/`, with `--check` to compare with what is there.
"""

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path

import checking_frames as frames
import checking_words as words
from checking_draws import (
    POOLS,
    Case,
    amounts,
    article,
    capital,
    case,
    fill,
    judged,
    listed,
    padded,
)

PLACE = Path(__file__).parent / "checking" / "families"
COUNT = 200


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
        wanted, near = article(f"{stuff} {shape}"), [article(f"{stuff} {shapes[0]}"),
                                                    article(f"{stuffs[0]} {shape}")]
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


def entities(kind: str, rng: random.Random, count: int) -> list[str]:
    """Return different names of the kind, as they stand in a sentence."""
    if kind in ("marrow", "parcel", "pole", "rope"):
        return [f"{name}'s {kind}" for name in rng.sample(words.PEOPLE, count)]
    before = "the " if kind in ("boat", "site", "thing") else ""
    return [before + name for name in rng.sample(POOLS[kind], count)]


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
    parts = [*aside, *body[len(aside) // 2:], verdict]
    if k // 4 % 3 == 0:
        parts = [verdict, *parts[:-1]]
    question = frames.MOOD_ASKED[k // 4 % 6][0 if asks_good else 1]
    return judged(question, capital(" ".join([opener, *parts])), label, negation=not asks_good,
                  distractors=mixed)


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
    drawn = case("classify", {"by": frames.WANT_BY[i % 6], "text": text}, "exact", right,
                 distractors=k * 4 >= 90)
    return {**drawn, "choices": choices(right, names, i, rng)}


TEXTUAL = (  # criterion, shapes that meet it and shapes that do not
    (("mentions an animal", "an animal occurs in it"), frames.HOLDERS, frames.HOLDERS),
    (("mentions something to eat", "food occurs in it"), frames.HOLDERS, frames.HOLDERS),
    (("names a colour", "says what colour something is"), frames.HOLDERS, frames.HOLDERS),
    (("asks to be told something", "wants an answer from the reader"),
     frames.ASKING, frames.TELLING),
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
    met = [rng.choice(words.ANIMALS), rng.choice(words.FOODS),
           f"{rng.choice(words.COLOURS)} {other}"][min(n, 2)]
    return article(met), article(f"{rng.choice(words.SIZES)} {thing}" if n == 2 else thing)


def nearer(rng: random.Random, i: int) -> Case:
    """Return a case of: which of two texts meets the criterion?"""
    first, k = i % 2 == 0, i // 2
    n, turn = k % 10, k // 10
    if n < 6:
        worded, meets, fails = TEXTUAL[n]
        criterion, drawn_nouns = worded[turn % 2], nouns(n, rng)
        pair = [fill(rng.choice(shapes), rng, x=noun)
                for shapes, noun in zip((meets, fails), drawn_nouns, strict=True)]
    else:
        order, *criteria = NUMERIC[n - 6]
        shape, kind, unit = frames.ORDERS[order][:3]
        criterion = criteria[turn % 2]
        drawn = sorted(amounts(unit, rng, 2), reverse=("er parcel" in criterion) ^ (turn % 2 == 1))
        names = entities(kind, rng, 2)
        pair = [capital(shape.format(e=e, v=v[1])) for e, v in zip(names, drawn, strict=True)]
    one, two = pair if first else pair[::-1]
    return case("compare", {"criterion": criterion, "first": one, "second": two}, "exact",
                "first" if first else "second", negation=n == 5)


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
    return case("answer", {"question": questions[turn].format(k=keys[at]), "text": text},
                "predicate", {"all": [right], "none": other, "max_words": 14},
                position=("begin", "middle", "middle", "end")[at], distractors=True)


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
    return case("answer", {"question": question.format(v=asked), "text": text}, "number", number,
                distractors=True)


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
    return case("extract", {"wanted": asked, "text": padded(text, turn, rng)}, "predicate",
                {"all": [value.removesuffix(" euros")], "none": others, "max_words": 5},
                distractors=True)


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
    rows = [f"{n}. " + fill(rng.choice(frames.SPEAKING) + line, rng, s=site)
            for n, (line, _) in enumerate(texts, 1)]
    numbers = [n for n, (_, helps) in enumerate(texts, 1) if helps]
    return case("select", {"question": asked.format(s=site), "texts": "\n".join(rows)}, "set",
                numbers, distractors=True)


def order(rng: random.Random, i: int) -> Case:
    """Return a case of: three texts in the order of an amount; all six orders equally often."""
    wanted = ([1, 2, 3], [1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1])[i % 6]
    shape, kind, unit, least, most = frames.ORDERS[i // 6 % 9]
    down = i // 54 % 2 == 1
    values = sorted(amounts(unit, rng, 3), reverse=down)
    names = entities(kind, rng, 3)
    rows = {number: capital(shape.format(e=e, v=value[1]))
            for number, e, value in zip(wanted, names, values, strict=True)}
    texts = "\n".join(f"{number}. {rows[number]}" for number in (1, 2, 3))
    return case("rank", {"criterion": most if down else least, "texts": texts}, "exact", wanted)


def chained(rng: random.Random) -> dict[str, str]:
    """Return what the shapes of chain are filled with."""
    names = rng.sample([name for name in words.PEOPLE if name not in words.WOMEN], 3)
    thing, t, u = rng.sample(words.THINGS, 3)
    day, n, m = rng.randrange(7), rng.randint(4, 11), rng.randint(2, 8)
    drawn = dict(zip("pqr", names, strict=True))
    drawn |= dict(zip("fg", rng.sample(words.WOMEN, 2), strict=True))
    drawn |= dict(zip("cd", rng.sample(words.COLOURS, 2), strict=True))
    drawn |= dict(zip(("place", "other"), rng.sample(words.PLACES, 2), strict=True))
    drawn |= dict(zip(("boat", "ship"), rng.sample(words.BOATS, 2), strict=True))
    return {**drawn, "thing": thing, "t": t, "u": u, "stuff": rng.choice(words.STUFFS),
            "day": words.DAYS[day], "after": words.DAYS[(day + 1) % 7], "n": str(n), "m": str(m),
            "heavy": str(n + m), "light": str(n - rng.randint(1, 3)), "sum": str(n + m),
            "summed": words.SMALL[n + m - 6]}


def chain(rng: random.Random, i: int) -> Case:
    """Return a case of: what follows from two or three facts?"""
    facts, question, needed, barred = frames.CHAINS[i % len(frames.CHAINS)]
    names = chained(rng)
    told = [fact.format(**names) for fact in facts]
    if "Later" not in told[-1]:
        rng.shuffle(told)
    expected: Case = {"all": [[word.format(**names) for word in entry] if isinstance(entry, list)
                              else entry.format(**names) for entry in needed]}
    if barred:
        expected["none"] = [word.format(**names) for word in barred]
    text = padded(" ".join(told), i // 2, rng)
    return case("infer", {"question": question.format(**names), "facts": text}, "predicate",
                {**expected, "max_words": 15}, negation=" not " in text or "No " in text)


FAMILIES: tuple[Callable[[random.Random, int], Case], ...] = (
    contains, missing, larger, mood, supported, topic, intent, nearer, lookup, counting, among,
    pick, order, chain,
)


def family(make: Callable[[random.Random, int], Case]) -> list[Case]:
    """Return the cases of a family, shuffled and numbered; one that is already there is redrawn."""
    name = make.__name__
    rng = random.Random(f"checking {name}")
    seen: set[str] = set()
    drawn = []
    for i in range(COUNT):
        made = make(rng, i)
        while json.dumps(made["operands"]) in seen:
            made = make(rng, i)
        seen.add(json.dumps(made["operands"]))
        drawn.append(made)
    rng.shuffle(drawn)
    return [{"id": f"{name}-{n:03}", "family": name, **made} for n, made in enumerate(drawn, 1)]


def main() -> None:
    """Write the files or, with --check, compare them with what would be written."""
    PLACE.mkdir(parents=True, exist_ok=True)
    for make in FAMILIES:
        lines = [json.dumps(made, ensure_ascii=False) + "\n" for made in family(make)]
        path = PLACE / f"{make.__name__}.jsonl"
        if "--check" not in sys.argv:
            path.write_text("".join(lines), encoding="utf-8")
        elif path.read_text(encoding="utf-8") != "".join(lines):
            raise SystemExit(f"{path.name} is not what this script writes")


if __name__ == "__main__":
    main()
