"""What is right: a metric for the result of each program whose answer is more than a text.

    nlpu eval kin --data benchmarks/known_answers/kin.jsonl \\
        --metric benchmarks/known_answers/checks.py:kin

A case expects ``words`` (as the metric ``predicate`` has them), a ``number``, a ``verdict``, or
that nothing is ``found``; all that it expects must hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from nlpu.eval.matching import plain, text_of
from nlpu.eval.metrics import METRICS
from nlpu.eval.numerals import number_in

_NUMERAL = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?")


def answer(expected: Mapping[str, Any], content: Any) -> bool:
    """Whether the words are there, with a citation; or nothing was found where nothing is."""
    said = plain(content)
    if "found" in expected:
        return bool(said["found"] == expected["found"])
    return said["found"] and bool(said["citations"]) and holds(expected["words"], said["text"])


def react(expected: Mapping[str, Any], content: Any) -> bool:
    """Whether the answer has the words, or the number and else only those of the question."""
    said = plain(content)["answer"]
    if "words" in expected:
        return holds(expected["words"], said)
    given = {float(each) for each in expected["given"]}
    return numbers(said) - given == {float(expected["number"])}


def kin(expected: str, content: Any) -> bool:
    """Whether the author is first, and no other is as alike."""
    first, *others = plain(content)["kin"]
    equal = any(each["likeness"] == first["likeness"] for each in others)
    return first["author"] == expected and not equal


def compile(expected: Mapping[str, Any], content: Any) -> bool:
    """Whether the program ran and gave the words, and the verdict without a contrary one."""
    result = plain(content)["result"]
    if result is None:
        return False
    said = list(leaves(result))
    verdicts = {each for each in said if isinstance(each, bool)}
    texts = "\n".join(text_of(each) for each in said if not isinstance(each, bool))
    if "verdict" in expected and verdicts != {expected["verdict"]}:
        return False
    return "words" not in expected or holds(expected["words"], texts)


def holds(words: Mapping[str, Any], text: str) -> bool:
    """Whether a text is as the metric ``predicate`` wants it."""
    return METRICS["predicate"].score(words, text) == 1


def numbers(text: str) -> set[float]:
    """All numbers written in a text as numerals; if there are none, the first in words."""
    found = {float(each.replace(",", "")) for each in _NUMERAL.findall(text)}
    spelt = number_in(text)
    return found or ({float(spelt)} if spelt is not None else set())


def leaves(content: Any) -> Iterator[Any]:
    """All texts, numbers and verdicts in a result; of a judgement its answer alone."""
    if isinstance(content, Mapping):
        inner = [content["answer"]] if "probability" in content else content.values()
        for each in inner:
            yield from leaves(each)
    elif isinstance(content, list):
        for each in content:
            yield from leaves(each)
    else:
        yield content
