"""The items of ``benchmarks.answers``: families of cases, examples for them, in which order.

Theory of operation
-------------------
A family is a file of cases of one op, made by one rule. There are two halves that share no case:
``planning``, on which conventions are chosen, and ``checking``, on which they are judged. The work
is cut into chunks of a family and an arm; all of them come in turn, so that a measurement that is
cut short is a smaller one of the same kind.

Rules
1. Items are the first of a half, the same for all arms. Examples are from the last fifth of the
   planning half, which is never asked.
2. Examples are drawn by a fixed seed, as many of each answer as can be. Of an op with choices they
   are such whose answer is among the choices; there may be fewer than four.
3. A case that tells what an answer must hold, and not what it is, becomes an example with the words
   that must be there, written as its operands write them, if its own metric takes these.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from nlpu import Usage
from nlpu.eval.cases import Case, cases_of
from nlpu.eval.metrics import metric_of

SHOTS, CALIBRATING = 4, 60
ROUNDS = (
    0,
    8,
    12,
    16,
    20,
)  # where the first rounds of items begin; from there on each has so many:
CHUNK = 20
HALVES = ("planning", "checking")


class Family(NamedTuple):
    """One family: cases to ask, examples to show, and planning cases to calibrate on."""

    name: str
    op: str
    items: tuple[Case, ...]
    pool: tuple[Case, ...]
    known: tuple[Case, ...]


class Chunk(NamedTuple):
    """Some items of a family for one arm. ``half``: where they are from."""

    family: Family
    arm: str
    half: str
    cases: tuple[Case, ...]


def families(data: Path, half: str, chosen: Sequence[str] = ()) -> tuple[Family, ...]:
    """The families of a half. Raises Usage."""
    if half not in HALVES:
        raise Usage(f"--half is {' or '.join(HALVES)}, not {half!r}")
    names = sorted(path.stem for path in (data / half / "families").glob("*.jsonl"))
    odd = [name for name in chosen if name not in names]
    if odd or not names:
        raise Usage(
            f"{data} has {'no family ' + odd[0] if odd else 'no families'}; "
            f"it has {', '.join(names) or 'no ' + half + '/families/*.jsonl'}"
        )
    return tuple(_family(data, half, name) for name in names if not chosen or name in chosen)


def _family(data: Path, half: str, name: str) -> Family:
    planned = cases_of(data / "planning" / "families" / f"{name}.jsonl")
    kept = max(SHOTS, len(planned) // 5)
    asked = planned[:-kept]
    items = asked if half == "planning" else cases_of(data / half / "families" / f"{name}.jsonl")
    return Family(name, items[0].op, items, planned[-kept:], asked[:CALIBRATING])


def chunks(
    found: Sequence[Family], arms: Sequence[str], half: str, items: int, calibrate: Sequence[str]
) -> Iterator[Chunk]:
    """All work in the order in which it is done.

    calibrate: the arm that is also asked planning cases, of ops that judge and three for each item
    of the first twenty; none: ().
    """
    for part in rounds(items):
        for family in found:
            for arm in arms:
                if family.items[part]:
                    yield Chunk(family, arm, half, family.items[part])
            for arm in calibrate if family.op == "judge" and half != "planning" else ():
                known = family.known[3 * part.start : 3 * part.stop]
                if known:
                    yield Chunk(family, arm, "planning", known)


def rounds(items: int) -> Iterator[slice]:
    """Items by rounds: the first ones are short, so that a short measurement has all families."""
    starts = [start for start in (*ROUNDS[:-1], *range(ROUNDS[-1], items, CHUNK)) if start < items]
    for start, end in zip(starts, [*starts[1:], items], strict=True):
        yield slice(start, end)


# -- examples ----------------------------------------------------------------------------------


def examples(family: Family, choices: Sequence[str] = ()) -> tuple[tuple[Case, Any], ...]:
    """Four cases with their answers (rule 2)."""
    dice = Random(f"{family.name} {sorted(choices)}")
    groups: dict[str, list[tuple[Case, Any]]] = {}
    for case in family.pool:
        said = answer_of(case)
        if said is not None and (not choices or said in choices):
            label = str(said) if choices or isinstance(said, bool) or _is_choice(case) else ""
            groups.setdefault(label, []).append((case, said))
    for group in groups.values():
        dice.shuffle(group)
    order = sorted(groups)
    dice.shuffle(order)
    drawn = [
        groups[label][turn] for turn in range(SHOTS) for label in order if turn < len(groups[label])
    ][:SHOTS]
    dice.shuffle(drawn)
    return tuple(drawn)


def _is_choice(case: Case) -> bool:
    return case.op == "compare"


def answer_of(case: Case) -> Any:
    """The answer of a case as an example shows it; None where it has none (rule 3)."""
    if case.metric == "number":
        return str(case.expected)
    if case.metric not in ("predicate", "one_of"):
        return case.expected
    said = _as_written(case) if case.metric == "predicate" else str(case.expected[0])
    metric = metric_of(case.metric, None)
    return said if said and metric.score(metric.fit(case.expected, None), said) == 1 else None


def _as_written(case: Case) -> str:
    wanted = [each if isinstance(each, str) else each[0] for each in case.expected.get("all", ())]
    whole = "\n".join(map(str, case.operands.values()))
    found = [re.search(rf"\b{re.escape(each)}\b", whole, re.IGNORECASE) for each in wanted]
    return ", ".join(
        match[0] if match else each.capitalize() for match, each in zip(found, wanted, strict=True)
    )
