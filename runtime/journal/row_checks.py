"""What each row of a journal looks like: tests of its fields, as ``writer`` writes them.

Rules
1. A field of a kind that is not known here is not looked at: a later version may write it.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from math import isfinite
from typing import Any, Final

from nlpu.checks import takes
from nlpu.errors import BadOperand, Usage
from nlpu.prompt.convention import read, says_more
from nlpu.reliability import Reliability
from nlpu.runtime.graph.usage import MOST_FIGURES

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
HEADER: Final = _of(
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
FORMS: Final[dict[str, tuple[_Test, ...]]] = {  # as in ``writer``, after kind and run
    "run": (_both(_shallow, HEADER),),
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
