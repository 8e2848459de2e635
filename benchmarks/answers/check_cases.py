"""Checks a directory of truth-table cases against their format, and prints what is in it.

    .venv/bin/python benchmarks/answers/check_cases.py benchmarks/answers/planning

Every `.jsonl` file below the directory is read; a fault is printed with the case's id, and the
exit code is 1 if there is any. A file's labels count as balanced when the most frequent one of
`true`/`false` or `first`/`second` is at most one ahead of the other.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Case = dict[str, Any]
OPS = {
    "summarize": ["text"],
    "answer": ["question", "text"],
    "extract": ["wanted", "text"],
    "classify": ["by", "text"],
    "judge": ["question", "text"],
    "compare": ["criterion", "first", "second"],
    "rank": ["criterion", "texts"],
    "select": ["question", "texts"],
    "infer": ["question", "facts"],
    "decompose": ["task"],
    "revise": ["task", "draft", "flaw"],
    "continue": ["text"],
}
METRICS = ["exact", "one_of", "set", "number", "predicate"]
LISTS = ["all", "any", "none", "order"]
LIMITS = ["max_words", "min_words", "max_sentences", "min_items", "max_items"]
TAGS: dict[str, list[Any]] = {
    "length": ["short", "medium", "long"],
    "position": ["begin", "middle", "end"],
    "language": ["en", "de", "fr", "es", "it"],
    "distractors": [True, False],
    "negation": [True, False],
}
KEYS = {"id", "op", "family", "operands", "metric", "expected", "choices", "tags"}


def texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) and one.strip() for one in value)


def whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def count(case: Case) -> int:
    """How many numbered texts a case has."""
    return len(re.findall(r"^\d+\. ", case["operands"].get("texts", ""), re.MULTILINE))


def exact(case: Case) -> bool:
    """Whether what is expected is of the op's type."""
    expected, op = case["expected"], case["op"]
    if op == "judge":
        return isinstance(expected, bool)
    if op == "rank":
        return bool(isinstance(expected, list) and sorted(expected) == [*range(1, count(case) + 1)])
    if op == "compare":
        return expected in ("first", "second")
    if op == "classify":
        return expected in case.get("choices", [])
    return isinstance(expected, str) and bool(expected.strip())


def chosen(case: Case) -> bool:
    """Whether a set is one of elements, each once, and of numbers there are."""
    expected = case["expected"]
    if not isinstance(expected, list) or len({str(one) for one in expected}) != len(expected):
        return False
    if case["op"] == "select":
        return all(whole(one) and 1 <= one <= count(case) for one in expected)
    return bool(expected)


def within(word: str, text: str) -> bool:
    """Whether a word or phrase is in a text, on word borders."""
    found = re.search(rf"(?<!\w){re.escape(word.casefold())}(?!\w)", text.casefold())
    return found is not None


def contradiction(expected: Case) -> bool:
    """Whether what must be there has, in every wording, something that must not be."""
    needed = [*expected.get("all", []), *expected.get("order", [])]
    wordings = [one if isinstance(one, list) else [one] for one in needed]
    none = expected.get("none", [])
    return any(all(any(within(bad, one) for bad in none) for one in either) for either in wordings)


def predicate(case: Case) -> bool:
    """Whether a predicate has entries that are known and can hold."""
    expected = case["expected"]
    if not isinstance(expected, dict) or not expected or set(expected) - {*LISTS, *LIMITS}:
        return False
    for key in LISTS:
        entry = expected.get(key, [])
        flat = [word for one in entry for word in (one if isinstance(one, list) else [one])]
        if not isinstance(entry, list) or not texts(flat):
            return False
        if key in ("any", "none") and not texts(entry):
            return False
    if not all(whole(expected[key]) and expected[key] > 0 for key in LIMITS if key in expected):
        return False
    if contradiction(expected):
        return False
    return bool(expected.get("min_words", 0) <= expected.get("max_words", 10**6))


def fits(case: Case) -> bool:
    """Whether what is expected has the shape of its metric."""
    metric, expected = case["metric"], case["expected"]
    if metric == "number":
        return isinstance(expected, (int, float)) and not isinstance(expected, bool)
    if metric == "one_of":
        return texts(expected) and len(expected) > 0
    return {"exact": exact, "set": chosen, "predicate": predicate}[metric](case)


def faults(case: Case) -> Iterator[str]:
    """What is wrong with one case, in the order of its keys."""
    if {"id", "op", "operands", "metric", "expected", "tags"} - set(case) or set(case) - KEYS:
        yield f"its keys are {sorted(case)}"
        return
    if case["op"] not in OPS or list(case["operands"]) != OPS[case["op"]]:
        yield f"op {case['op']} with operands {list(case['operands'])}"
        return
    if not texts(list(case["operands"].values())):
        yield "an operand is empty or no text"
    if case["metric"] not in METRICS or not fits(case):
        yield f"expected {case['expected']!r} does not fit {case['metric']}"
    options = case.get("choices", [])
    if (case["op"] == "classify") != (2 <= len(options) <= 6 and len({*options}) == len(options)):
        yield f"choices {options}"
    for key, value in case["tags"].items():
        if value not in TAGS.get(key, [value]):
            yield f"tag {key} is {value!r}"
    words = sum(len(text.split()) for text in case["operands"].values())
    if case["tags"].get("length") != (
        "short" if words < 60 else "medium" if words <= 250 else "long"
    ):
        yield f"{words} words are not {case['tags'].get('length')}"


def unbalanced(cases: list[Case]) -> Iterator[str]:
    """The two labels of an op whose counts differ by more than one."""
    pairs: dict[str, list[Any]] = {"judge": [True, False], "compare": ["first", "second"]}
    for op, pair in pairs.items():
        counts = [sum(c["op"] == op and c["expected"] == label for c in cases) for label in pair]
        if abs(counts[0] - counts[1]) > 1:
            yield f"{op}: {counts[0]} {pair[0]}, {counts[1]} {pair[1]}"


def labels(cases: list[Case]) -> str:
    """The right answers of closed ops, or the metrics of open ones, by frequency."""
    closed = [case for case in cases if case["op"] in ("judge", "compare")]
    if closed:
        return ", ".join(f"{k} {n}" for k, n in Counter(str(c["expected"]) for c in closed).items())
    if cases[0]["op"] == "classify":
        places = Counter(case["choices"].index(case["expected"]) + 1 for case in cases)
        return "at " + ", ".join(f"{place}: {places[place]}" for place in sorted(places))
    return ", ".join(f"{k} {n}" for k, n in Counter(c["metric"] for c in cases).most_common())


def row(path: Path, cases: list[Case]) -> str:
    """A file's line in the table."""
    lengths = Counter(case["tags"].get("length") for case in cases)
    spread = "/".join(str(lengths[key]) for key in TAGS["length"])
    foreign = sum(case["tags"].get("language", "en") != "en" for case in cases)
    return f"{path.stem:14}{len(cases):6}  {spread:12}{foreign:8}  {labels(cases)}"


def checked(path: Path, ids: set[str], seen: set[str]) -> tuple[list[Case], list[str]]:
    """A file's cases and faults; ids and operands are also compared with those of other files."""
    found: list[str] = []
    cases: list[Case] = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    for case in cases:
        name = str(case.get("id"))
        found += [f"{name}: {fault}" for fault in faults(case)]
        key = json.dumps([case.get("op"), case.get("operands"), case.get("choices")])
        found += [f"{name}: the id is there twice"] * (name in ids)
        found += [f"{name}: another case has the same operands"] * (key in seen)
        ids.add(name)
        seen.add(key)
    return cases, found + [f"{path.stem}: {fault}" for fault in unbalanced(cases)]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", type=Path)
    ids: set[str] = set()
    seen: set[str] = set()
    found: list[str] = []
    total = 0
    print(f"{'file':14}{'cases':>6}  {'short/med/long':12}{'foreign':>6}  labels or metrics")
    for path in sorted(parser.parse_args().directory.rglob("*.jsonl")):
        cases, new = checked(path, ids, seen)
        found += new
        total += len(cases)
        print(row(path, cases))
    print(f"{total} cases, {len(found)} faults")
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found or not total else 0


if __name__ == "__main__":
    sys.exit(main())
