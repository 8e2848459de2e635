"""What rows must look like before anything is made of them: a journal may come from anybody.

Theory of operation
-------------------
Checksums that hold say that a journal is as it was written, not that a run wrote it. Who reads the
rows of a run (``archive``, ``resume``) gets them through here: each is of a form that ``writer``
writes, and each text that a row names is there. What only several rows together can tell (a result
without a call) shows when they are folded.

Rules
1. Whatever is odd is JournalDamaged, and names the row.
2. Kinds that are not known here are not looked at: a later version may write them.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from math import isfinite
from pathlib import Path
from typing import Any, Final

from nlpu.checks import takes
from nlpu.errors import BadOperand, JournalDamaged, Usage
from nlpu.prompt.convention import read, says_more
from nlpu.reliability import Reliability
from nlpu.runtime.graph.usage import MOST_FIGURES
from nlpu.runtime.journal.file import damaged
from nlpu.runtime.journal.records import OddRow, Past, fold, past_of
from nlpu.runtime.journal.store import Row, RunLog
from nlpu.runtime.journal.where import Where

Texts = Container[int]
_Test = Callable[[Any, Texts], bool]
_MONEY: Final = 8  # which that is
_DEEPEST: Final = 100  # of lists and objects in each other: what reads it has a stack
_MOST: Final = 1e300
_MOST_SECONDS: Final = 1e11  # a date that a calendar has
_TOTALS: Final = ("calls", "attempts", "nlops", "prompt_tokens", "completion_tokens")


def _is(*kinds: type) -> _Test:
    return lambda content, _: isinstance(content, kinds)


def _place(content: Any, _: Texts) -> bool:
    return isinstance(content, str) and content.startswith("main/")


def _said(content: Any, _: Texts) -> bool:
    """Tell whether it is a text that can be sent."""
    return isinstance(content, str) and takes(content.encode, UnicodeEncodeError)


def _convention(content: Any, texts: Texts) -> bool:
    """Tell whether it is a convention, or one of a later version, which says more."""
    return _said(content, texts) and (takes(lambda: read(content), Usage) or says_more(content))


def _hex(content: Any, _: Texts) -> bool:
    return isinstance(content, str) and not set(content) - set("0123456789abcdef")


def _number(content: Any, _: Texts) -> bool:
    return isinstance(content, int | float) and isfinite(content) and abs(content) < _MOST


def _count(content: Any, _: Texts) -> bool:
    return isinstance(content, int) and 0 <= content < _MOST


def _named(content: Any, texts: Texts) -> bool:
    return isinstance(content, int) and content in texts


def _usage(content: Any, texts: Texts) -> bool:
    if not isinstance(content, list) or len(content) > MOST_FIGURES:
        return False
    counted = all(isinstance(each, int) for at, each in enumerate(content) if at != _MONEY)
    return counted and all(_number(each, texts) for each in content)


def _asked(content: Any, _: Texts) -> bool:
    return takes(lambda: Reliability(**content), TypeError, BadOperand)


def _shallow(content: Any, _: Texts) -> bool:
    layer = [content]
    for _depth in range(_DEEPEST):
        inner = [each for each in layer if isinstance(each, list | dict)]
        if not inner:
            return True
        layer = [part for each in inner for part in _parts(each)]
    return False


def _parts(whole: Any) -> Iterable[Any]:
    return whole.values() if isinstance(whole, dict) else whole


def _of(tests: dict[str, _Test], must: Iterable[str] = (), *, only: bool = False) -> _Test:
    """Make the test of an object: what it has passes, and it has what it must.

    only: and it has nothing else.
    """

    def test(content: Any, texts: Texts) -> bool:
        return (
            isinstance(content, dict)
            and set(must) <= content.keys()
            and (not only or content.keys() <= tests.keys())
            and all(tests[name](each, texts) for name, each in content.items() if name in tests)
        )

    return test


def _each(test: _Test) -> _Test:
    """Make the test of a list of such."""
    return lambda content, texts: (
        isinstance(content, list) and all(test(each, texts) for each in content)
    )


def _values(test: _Test) -> _Test:
    """Make the test of an object of such."""
    return lambda content, texts: (
        isinstance(content, dict) and all(test(each, texts) for each in content.values())
    )


def _optional(test: _Test) -> _Test:
    return lambda content, texts: content is None or test(content, texts)


def _both(one: _Test, other: _Test) -> _Test:
    return lambda content, texts: one(content, texts) and other(content, texts)


def _either(one: _Test, other: _Test) -> _Test:
    return lambda content, texts: one(content, texts) or other(content, texts)


_text, _bool = _is(str), _is(bool)
_limit = _is(int, float)  # that Python's user gave; there may be none
_all_named = _each(_named)
_named_or_none = _either(lambda content, _: bool(content == 0), _named)
_date = _both(_number, lambda content, _: 0 <= content < _MOST_SECONDS)
_EDITED: Final = _of(
    {
        "run": _text,
        "number": _count,
        "results": _values(_named),
        "ops": _values(_named),
        "distrusted": _each(_text),
        "names": _each(_text),
    },
    ("number",),
)
_LIMITS: Final = ("calls", "nlops", "tokens", "money", "seconds")
_BUDGET: Final = _of(dict.fromkeys(_LIMITS, _optional(_limit)), only=True)
_PRICE: Final = _of(dict.fromkeys(("prompt", "cached", "completion"), _number), only=True)
_CAN: Final = _of(
    {
        "model": _text,
        "window": _number,
        "max_in_flight": _number,
        "token_prompts": _bool,
        "constraints": _each(_text),
        "tokenizer": _optional(_text),
        "weaker": _each(_text),
        "probabilities": _bool,
        "source": _text,
        "weights": _text,
        "sampling": _each(_text),
    },
    only=True,
)
_EVAL: Final = _either(
    _of(
        {
            "subjects": _each(_text),
            "metric": _text,
            "models": _each(_text),
            "cache": _text,
            "files": _values(_text),
            "cans": _values(_CAN),
        },
        ("subjects", "metric", "models", "files"),
        only=True,
    ),
    _of({"cache": _text}, only=True),  # from Python
)
_HEADER: Final = _of(
    {
        "program": _text,
        "source": _text,
        "started_s": _date,
        "args": _named_or_none,
        "args_name": _text,
        "budget": _BUDGET,
        "processors": _values(_text),
        "from": _EDITED,
        "estimates": _values(_limit),
        "engine": _optional(_text),
        "model": _optional(_text),
        "file": _text,
        "reads": _text,
        "price": _optional(_PRICE),
        "can": _optional(_CAN),
        "eval": _EVAL,
        "system": _said,
        "convention": _convention,
        "unnamed": _text,
        "cans": _values(_CAN),
        "reliability": _asked,
        "sheets": _each(_text),
        "sheet_files": _values(_text),
    },
    ("program", "source", "budget", "estimates", "processors"),
)
_WHY: Final = ("op", "asked", "why")
_SUMS: Final = dict.fromkeys(_TOTALS, _number)
_PART: Final = _of({"name": _text, "service_s": _number, **_SUMS}, ("name", "service_s", *_TOTALS))
_CHOSEN: Final = _of(dict.fromkeys(_WHY, _text), _WHY)
_RECEIPT: Final = _of(
    {"seconds": _number, "by_op": _each(_PART), "chosen": _each(_CHOSEN), **_SUMS},
    ("seconds", "by_op", *_TOTALS),
)
_ERROR: Final = _optional(lambda content, texts: _each(_text)(content, texts) and len(content) == 2)
_CALL: Final = (_place, _count, _count, _hex, _all_named)
_FORMS: Final[dict[str, tuple[_Test, ...]]] = {  # as in ``writer``, after kind and run
    "run": (_both(_shallow, _HEADER),),
    "op": (_count, _hex, _text, _named, _text),
    "on": (_count, _text),
    "issue": (_count, *_CALL, _number, _number, _number, _number),
    "attempt": (_count, _number),
    "lost": (_count, _number, _number, _number),
    "again": (_count, _named, _text, _usage, _number, _number, _number),
    "result": (_count, _named, _usage, _number),
    "failure": (_count, _text, _text, _text, _usage, _number),
    "cancel": (_count, _bool),
    "absent": (_place, _text, _text),
    "taken": (_count, *_CALL, _named_or_none, _usage),
    "shared": _CALL,
    "lift": (_place, _text, _text),
    "pick": (_place, _count),
    "clock": (_place, _text, _shallow),
    "mark": (_place, _text, _text),
    "intent": (_place, _text, _named, _bool),
    "effect": (_place, _named),
    "undone": (_place, _text),
    "moved": (_place, _text, _text),
    "pulse": (_number, _number, _number, _number),
    "resume": (_date,),
    "end": (_text, _named_or_none, _ERROR, _both(_shallow, _RECEIPT)),
}


def checked(log: RunLog, after: int = 0) -> list[Row]:
    """Give the rows of a run after one, which have been looked at. Raises JournalDamaged."""
    for at, row in enumerate(log.rows[after:], after + 1):
        check(log.path, at, row, log.texts, log.run, first=at == 1)
    return log.rows[after:]


def check(path: Where | None, at: int, row: Any, texts: Texts, run: int, *, first: bool) -> None:
    """Hold a row of a run against its form: the first is its header. Raises JournalDamaged."""
    whole = isinstance(row, list) and len(row) > 1 and isinstance(row[0], str)
    if not whole or type(row[1]) is not int or row[1] != run or (row[0] == "run") != first:
        raise odd(path, at, row)
    form = _FORMS.get(row[0], ())
    if len(row) - 2 < len(form):
        raise odd(path, at, row)
    for test, content in zip(form, row[2:], strict=False):
        if not test(content, texts):
            raise odd(path, at, row)
    if first and row[2].get("from", {"number": 0})["number"] >= run:  # that is no older run
        raise odd(path, at, row)


def past_in(log: RunLog, *, keep_host_failures: bool = False) -> Past:
    """Fold the rows of a run as ``past_of`` does. Raises JournalDamaged."""
    try:
        return past_of(log.rows, keep_host_failures=keep_host_failures)
    except OddRow as error:
        raise _odd_in(log, error) from error


def fold_in(log: RunLog, past: Past, rows: Iterable[Row]) -> None:
    """Extend a past as ``fold`` does. Raises JournalDamaged."""
    try:
        fold(past, rows)
    except OddRow as error:
        raise _odd_in(log, error) from error


def _odd_in(log: RunLog, error: OddRow) -> JournalDamaged:
    at = next((at for at, row in enumerate(log.rows, 1) if row is error.row), 0)
    return odd(log.path, at, error.row)


def odd(path: Where | None, at: int, row: Any) -> JournalDamaged:
    """Make the error that names a row."""
    kind = row[0] if isinstance(row, list) and row else row
    what = f" ({kind!r:.20})" if isinstance(kind, str) else ""
    return damaged(path or Path(), f"row {at}{what} is none that a run writes")
