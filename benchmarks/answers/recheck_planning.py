"""Works out the generated families' answers again, from the printed cases alone.

    .venv/bin/python benchmarks/answers/recheck_planning.py

Nothing here knows how a case was made: the texts are read with regular expressions of this file's
own. What cannot be worked out this way (mood, supported, topic, intent, and the criteria of
`nearer` that have no amount) is for a reader to check.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Case = dict[str, Any]
HERE = Path(__file__).parent / "planning" / "families"
MONTHS = "January February March April May June July August September October November December"
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
NUMBERS = """zero one two three four five six seven eight nine ten eleven twelve thirteen
fourteen"""
AMOUNT = re.compile(
    r"(?P<h>\d+) hours?(?: (?P<m>\d+) minutes)?|(?P<clock>\d+:\d\d)|(?P<kg>[\d.]+) kg"
    rf"|(?P<day>\d+) (?P<month>{MONTHS.replace(' ', '|')})|age (?P<age>\d+)"
    r"|(?P<n>\d+) (?:g|grams|km|cm|crowns|pages|people|years|minutes)\b"
)


def amount(found: re.Match[str]) -> float:
    part = found.groupdict()
    if part["h"]:
        return int(part["h"]) * 60 + int(part["m"] or 0)
    if part["clock"]:
        hour, minute = part["clock"].split(":")
        return int(hour) * 60 + int(minute)
    if part["kg"]:
        return float(part["kg"]) * 1000
    if part["day"]:
        return MONTHS.split().index(part["month"]) * 31 + int(part["day"])
    return float(part["age"] or part["n"])


def amounts(text: str) -> list[float]:
    return [amount(found) for found in AMOUNT.finditer(text)]


def word(wanted: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", text, re.IGNORECASE) is not None


def held(text: str) -> str:
    """The part of a text with the list that is asked about."""
    for mark in ("\nIn the green", "On the shelf", "Kept here", "\nStaying at home"):
        text = text.split(mark, maxsplit=1)[0]
    for mark in ("need ", "In the blue bag: ", "contains ", "checked by", "Present: ", "we met "):
        text = text.split(mark)[-1]
    return text


def listed(case: Case) -> bool:
    """Whether the thing in the question is in the list: the last word of it that is in neither."""
    question, text = case["operands"]["question"], case["operands"]["text"]
    names = re.findall(r"\b[A-Z][a-z]+\b", question.split(" ", 1)[1])
    things = re.findall(r"\ban? ([a-z]+(?: level| iron| roller)?)|\bno ([a-z]+)", question)
    wanted = [one or two for one, two in things]
    if not wanted:
        wanted = [name for name in names if not re.search(rf"on {name}", question)]
    assert len(wanted) == 1, question
    return word(wanted[0], held(text))


def contains(case: Case) -> bool:
    return bool(case["expected"] == listed(case))


def missing(case: Case) -> bool:
    return bool(case["expected"] != listed(case))


def larger(case: Case) -> bool:
    """The asked-for two, as they stand in the question, with the amounts nearest to them."""
    question, text = case["operands"]["question"], case["operands"]["text"]
    found = list(AMOUNT.finditer(text))
    asked = sorted(names_of(question, text), key=question.index)
    values = []
    for name in asked:
        where = re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE)
        assert where, (name, text)
        if "From the station" in text:
            values.append(max((m for m in found if m.end() <= where.start()), key=re.Match.start))
        else:
            values.append(min((m for m in found if m.start() >= where.end()), key=re.Match.start))
    one, two = (amount(match) for match in values)
    return bool(case["expected"] == (one > two))


def names_of(question: str, text: str) -> list[str]:
    """The two things of a question with "than"."""
    left, right = question.rstrip("?").split(" than ")
    right = re.sub(r"^(to|the|in) |, by this count", "", right)
    left = re.sub(r" (heavier|older|taller|weigh more|cost more|need more time)$", "", left)
    left = re.sub(r" read more pages$", "", left)
    left = re.sub(r"^(Is it farther from the station to|Do more people live in) ", "", left)
    return [re.sub(r"^(Is|Does|Did|Has) (the )?", "", left), right]


def nearer(case: Case) -> bool:
    one, two = (amounts(case["operands"][side]) for side in ("first", "second"))
    if not one or not two:
        return True
    high = "heav" in case["operands"]["criterion"] or "weight" in case["operands"]["criterion"]
    return bool(case["expected"] == ("first" if (one[0] > two[0]) == high else "second"))


def present(case: Case) -> bool:
    """The wanted value stands in the text, and so do those that would be wrong."""
    text = case["operands"]["text"]
    return all(word(one, text) for one in case["expected"]["all"] + case["expected"]["none"])


def counting(case: Case) -> bool:
    question, text = case["operands"]["question"], case["operands"]["text"]
    if "cups" in question or "baskets" in question:
        few = re.findall(r"There were (\w+)|(\w+) of them|: \w+ (\w+), \w+ (\w+)\.", text)
        one, two = (NUMBERS.split().index(n) for found in few for n in found if n)
        return bool(case["expected"] == (one - two if "cups" in question else one + two))
    for mark, ends in (("paid", ": paid"), ("huts", " - open"), ("things are", ""), ("named", "")):
        if mark in question and ends:
            return bool(case["expected"] == text.count(ends))
    if " things " in question and ("are " in question or "named" in question):
        colour = re.findall(r"things are (\w+)|many (\w+) things", question)[0]
        return bool(case["expected"] == len(re.findall(rf"is {''.join(colour)}\b", text)))
    part = re.split(r"Excused|The right drawer|The following|In winter|Sold last", text)[0]
    part = re.split(r" in [A-Z][\w ]+: | I found |: one each of | calls at |day: ", part)[-1]
    return bool(case["expected"] == len(re.split(r", | and ", part.strip())))


def order(case: Case) -> bool:
    texts = case["operands"]["texts"].split("\n")
    values = {number: amounts(text)[0] for number, text in enumerate(texts, 1)}
    words = ("expensive", "latest", "longest", "oldest", "most")
    down = any(one in case["operands"]["criterion"] for one in words)
    return bool(case["expected"] == sorted(values, key=lambda n: values[n], reverse=down))


def chain(case: Case) -> bool:
    facts = case["operands"]["facts"]
    needed = [one if isinstance(one, list) else [one] for one in case["expected"]["all"]]
    if "day after" in facts:
        day = re.findall(r"the day after (\w+)", facts)[0]
        return needed == [[DAYS[(DAYS.index(day) + 1) % 7].casefold()]]
    return all(any(word(one, facts) for one in either) for either in needed)


CHECKS: dict[str, Callable[[Case], bool]] = {
    "contains": contains,
    "missing": missing,
    "larger": larger,
    "nearer": nearer,
    "lookup": present,
    "among": present,
    "counting": counting,
    "order": order,
    "chain": chain,
}


def main() -> int:
    wrong = 0
    for family, check in CHECKS.items():
        lines = (HERE / f"{family}.jsonl").read_text(encoding="utf-8").splitlines()
        failed = [case["id"] for case in map(json.loads, lines) if not check(case)]
        wrong += len(failed)
        print(f"{family:10} {len(lines)} checked, {len(failed)} wrong", *failed[:5])
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
