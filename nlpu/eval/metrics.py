"""Metrics: whether an answer is right, from what was expected.

Theory of operation
-------------------
A metric is two functions: ``fit`` takes what a case expects to what an op's result can be, or says
why it never could be; ``score`` gives 0 to 1 for what was answered.

    exact       the same value (``likeness``); texts but for case, blanks, quotes around them and a
                full stop at the end; of a record the fields that are expected
    one_of      the same as any of a list
    set         the elements of a list in any order, each once
    number      the number, or the first one in a text (``numerals``)
    predicate   words that must be there (all, any), must not (none), their order, and how long
    judge       a model says whether it means the same as what was expected
    and a function of one's own: score(expected, content) -> bool, or 0 to 1

Rules
1. What can never be right, and a predicate that can never hold, is BadOperand before anything is
   asked.
2. No metric raises for what a model said: what has not the form asked for is wrong.
3. What has a type is compared as a value of it; words and phrases are found on token borders.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from math import isfinite
from typing import Any

from nlpu.errors import BadOperand, Malformed, ProgramError, described
from nlpu.eval.likeness import element_of, same, same_in_any_order
from nlpu.eval.matching import folded, found_at, in_order, plain, sentences, text_of
from nlpu.eval.numerals import number_in, number_of, same_number
from nlpu.eval.predicates import check_predicate
from nlpu.judgement import Judgement
from nlpu.ops.op import nlop
from nlpu.printing import shown
from nlpu.types.json_text import once
from nlpu.types.result import ResultType, adapter, choices_of

Score = Callable[[Any, Any], float]
Fit = Callable[[Any, ResultType | None], Any]

_YES = {"yes": True, "true": True, "no": False, "false": False}
_LISTS = ("all", "any", "none", "order")
_COUNTS = ("max_words", "min_words", "max_sentences", "min_items", "max_items")


@dataclass(frozen=True, slots=True)
class Metric:
    """How answers are held against what was expected. ``asks``: a model decides (``judge``)."""

    name: str
    fit: Fit
    score: Score
    asks: bool = False


@nlop(system="")  # who the model is for the program is nothing to the judge
def means_the_same(expected: str, answer: str) -> Judgement:
    """Does the answer mean the same as what was expected?"""


def metric_of(given: str | Callable[[Any, Any], Any] | None, result: ResultType | None) -> Metric:
    """The metric of a name or a function; without one that of the result's type.

    Raises BadOperand for a name that is none.
    """
    if callable(given):
        return _own(given)
    name = given or (
        "number" if result is not None and result.kind in ("int", "float") else "exact"
    )
    if name not in METRICS:
        raise BadOperand(
            f"there is no metric {name!r}; use {', '.join(METRICS)}, or a function of your own, "
            "score(expected, content), as in --metric mine.py:score"
        )
    scores = _TYPED.get(name)
    if scores is None or result is None:
        return METRICS[name]
    return replace(METRICS[name], score=lambda e, c: float(scores(e, c, result.annotation)))


def _own(function: Callable[[Any, Any], Any]) -> Metric:
    called = getattr(function, "__name__", "score")

    def score(expected: Any, content: Any) -> float:
        try:
            given = function(expected, content)
        except Exception as error:  # a mistake of the metric's is none of the model's
            raise ProgramError(
                f"the metric {called} raised {described(error)} for {shown(content)} where "
                f"{shown(expected)} was expected"
            ) from error
        if not isinstance(given, int | float) or not 0 <= given <= 1:
            raise ProgramError(
                f"the metric {called} gave {given!r:.60}; a score is True, False, or from 0 to 1"
            )
        return float(given)

    return Metric(called, lambda expected, result: expected, score)


# -- exact, one_of, set ------------------------------------------------------------------------


def _among(expected: Any, said: Any, annotation: Any = None) -> bool:
    return any(same(one, said, annotation) for one in expected)


def _same_set(expected: Any, said: Any, annotation: Any = None) -> bool:
    if not isinstance(said, list | tuple | set | frozenset):
        return False
    return same_in_any_order(expected, list(said), element_of(annotation))


_TYPED: dict[str, Callable[..., bool]] = {"exact": same, "one_of": _among, "set": _same_set}


def _fit_exact(expected: Any, result: ResultType | None) -> Any:
    if result is None:
        return plain(expected)
    return _FITS.get(result.kind, _fit_json)(expected, result)


def _fit_text(expected: Any, result: ResultType) -> Any:
    if not isinstance(expected, str) or not expected.strip():
        empty = ", which is empty" if isinstance(expected, str) else ""
        raise BadOperand(f"a text is expected of it, not {shown(expected)}{empty}")
    return expected


def _fit_yes(expected: Any, result: ResultType) -> Any:
    found = _YES.get(expected.strip().lower()) if isinstance(expected, str) else plain(expected)
    if not isinstance(found, bool):
        raise BadOperand(f"true or false is expected of it, not {shown(expected)}")
    return found


def _fit_choice(expected: Any, result: ResultType) -> Any:
    choices = choices_of(result.annotation)
    for text, choice in choices.items():
        equal = type(choice) is type(expected) and choice == expected
        if equal or text == str(plain(expected)):
            return choice
    raise BadOperand(f"{shown(expected)} is none of its choices: {', '.join(choices)}")


def _fit_json(expected: Any, result: ResultType) -> Any:
    if isinstance(expected, str):
        with suppress(BadOperand):
            return result.check(expected, "")
        with suppress(Malformed):
            return result.parse(expected)
    fields = getattr(result.annotation, "__pydantic_fields__", None)
    if isinstance(expected, Mapping) and fields is not None and expected:
        return {name: _field(fields, name, item) for name, item in expected.items()}
    return result.check(expected, "what is expected")


def _field(fields: Mapping[str, Any], name: str, item: Any) -> Any:
    if name not in fields:
        raise BadOperand(f"it has no field {name!r}, but {', '.join(fields)}")
    try:
        return adapter(fields[name].annotation).validate_python(item)
    except ValueError as error:
        raise BadOperand(f"{shown(item)} does not fit its field {name!r}") from error


def _listed(expected: Any, what: str) -> list[Any]:
    """A list that was expected; from its JSON, as a table has it."""
    if isinstance(expected, str):
        with suppress(ValueError):
            expected = json.loads(expected, object_pairs_hook=once)
    found = list(expected) if isinstance(expected, list | tuple | set | frozenset) else None
    if not found:
        raise BadOperand(f"{what}, not {shown(expected)}")
    return found


def _fit_one_of(expected: Any, result: ResultType | None) -> Any:
    found = _listed(expected, "a list of what would be right is expected by one_of")
    return [_fit_exact(item, result) for item in found]


def _fit_set(expected: Any, result: ResultType | None) -> Any:
    if isinstance(expected, list | tuple | set | frozenset) and not expected:
        found: list[Any] = []
    else:
        found = _listed(expected, "a list is expected by set")
    if result is None:
        return found
    if result.kind != "json":
        raise BadOperand(f"set is of a list, and it gives {result.name}")
    fitted = result.check(found, "what is expected")
    if not isinstance(fitted, list | tuple | set | frozenset):
        raise BadOperand(f"set is of a list, and it gives {result.name}")
    return list(fitted)


# -- number ------------------------------------------------------------------------------------


def _fit_number(expected: Any, result: ResultType | None) -> Any:
    number = _number(expected)
    if number is None:
        raise BadOperand(f"a number is expected of it, not {shown(expected)}")
    if result is not None and result.kind in ("bool", "judgement"):
        raise BadOperand(f"number is of a number or a text, and it gives {result.name}")
    if result is not None and result.kind == "int" and number != int(number):
        raise BadOperand(f"a whole number is expected of it, not {shown(expected)}")
    return number


def _number(given: Any) -> int | float | Decimal | None:
    """A number that was given, or written; whole ones as such."""
    if isinstance(given, str):
        return number_of(given)
    if isinstance(given, bool) or not isinstance(given, int | float | Decimal):
        return None
    if isinstance(given, int):
        return given  # however long it is
    if not (given.is_finite() if isinstance(given, Decimal) else isfinite(given)):
        return None
    return int(given) if given == int(given) and -(2**53) < given < 2**53 else given


def _score_number(expected: Any, content: Any) -> float:
    said = content if isinstance(content, Decimal) else plain(content)
    if isinstance(said, bool):
        return 0.0
    found = said if isinstance(said, int | float | Decimal) else number_in(text_of(said))
    return float(found is not None and same_number(found, expected))


_FITS: dict[str, Callable[[Any, ResultType], Any]] = {
    "text": _fit_text,
    "bool": _fit_yes,
    "judgement": _fit_yes,
    "choice": _fit_choice,
    "int": _fit_number,
    "float": _fit_number,
}


# -- predicate ---------------------------------------------------------------------------------


def _fit_predicate(expected: Any, result: ResultType | None) -> Any:
    if isinstance(expected, str):
        with suppress(ValueError):
            expected = json.loads(expected, object_pairs_hook=once)
    if not isinstance(expected, Mapping) or not expected:
        raise BadOperand(f"an object is expected by predicate, not {shown(expected)}")
    for name, wanted in expected.items():
        if name in _COUNTS:
            fits = isinstance(wanted, int) and not isinstance(wanted, bool) and wanted >= 0
        elif name in _LISTS:
            fits = _are_words(wanted, name in ("all", "order"))
        else:
            known = ", ".join([*_LISTS, *_COUNTS])
            raise BadOperand(f"predicate knows no {name!r}; it knows {known}")
        if not fits:
            what = "a whole number" if name in _COUNTS else "a list of words or phrases"
            raise BadOperand(f"{name!r} of predicate is {what}, not {shown(wanted)}")
    check_predicate(expected)
    return plain(dict(expected))


def _are_words(wanted: Any, alternatives: bool) -> bool:
    return isinstance(wanted, list | tuple) and all(
        (isinstance(each, str) and each.strip())
        or (alternatives and isinstance(each, list | tuple) and each and _are_words(each, False))
        for each in wanted
    )


def _score_predicate(expected: Any, content: Any) -> float:
    said = plain(content)
    items = said if isinstance(said, list) else None
    lines = [text_of(item) for item in items] if items is not None else [text_of(said)]
    text = folded("\n".join(lines))
    count = len(lines if items is not None else [line for line in lines[0].split("\n") if line])
    words, stops = len(text.split()), sentences(text)
    held = (
        all(found_at(each, text) is not None for each in expected.get("all", ())),
        "any" not in expected or any(found_at(each, text) is not None for each in expected["any"]),
        all(found_at(each, text) is None for each in expected.get("none", ())),
        in_order(expected.get("order", ()), text),
        words <= expected.get("max_words", words),
        words >= expected.get("min_words", words),
        stops <= expected.get("max_sentences", stops),
        count >= expected.get("min_items", count),
        count <= expected.get("max_items", count),
    )
    return float(all(held))


# -- judge -------------------------------------------------------------------------------------


def _fit_judge(expected: Any, result: ResultType | None) -> Any:
    if result is not None and result.kind != "text":
        raise BadOperand(f"judge is of a text, and it gives {result.name}: exact tells that")
    if not isinstance(expected, str) or not expected.strip():
        raise BadOperand(f"a text is expected by judge, not {shown(expected)}")
    return expected


METRICS: dict[str, Metric] = {
    "exact": Metric("exact", _fit_exact, lambda e, c: float(same(e, c))),
    "one_of": Metric("one_of", _fit_one_of, lambda e, c: float(_among(e, c))),
    "set": Metric("set", _fit_set, lambda e, c: float(_same_set(e, c))),
    "number": Metric("number", _fit_number, _score_number),
    "predicate": Metric("predicate", _fit_predicate, _score_predicate),
    "judge": Metric("judge", _fit_judge, lambda expected, said: float(bool(said)), asks=True),
}
