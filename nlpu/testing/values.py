"""A text that a result type reads: its own validators have the last word.

Theory of operation
-------------------
The answer is made from what engines are sent, as any. Where the type does not read it, others are
made from all that the type says (fuller.py), and what is wrong in the answer is taken from them,
until it is read. In two of three of these a text of which nothing is said is of some sort, an
address, a date, digits, the name of a file: all of one sort, or each of its own.

Rules
1. Same prompt and type, same answer, as long as the type's validators do not change their minds.
2. It has at most ``max_tokens``, if one of the first ``_SHORT`` has.
3. What validators check by functions is found by trying: what they refuse ``TRIES`` times is
   ConstraintRejected, which says what was said last.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from nlpu.errors import ConstraintRejected, described
from nlpu.printing import one_line, shown
from nlpu.testing.answers import answer, hash_of, pieces
from nlpu.testing.examples import example
from nlpu.testing.fuller import fuller
from nlpu.testing.patterns import Dice
from nlpu.testing.texts import SORTS
from nlpu.types.holding import from_json
from nlpu.types.result import ResultType, adapter
from nlpu.wire import Request

TRIES, _SHORT = 200, 20
_FAR = 40  # characters a token of the limit, beyond which shorter ones are not looked for
_WHOLE = ((),)  # the place of what is wrong as a whole
Places = Sequence[tuple[int | str, ...]]


def made_up(request: Request, prompt: Any) -> str:
    """Say something under the request's constraint that its type reads.

    prompt: what the answer is made from. Raises ConstraintRejected.
    """
    form, kind, most = None, request.result, request.sampling.max_tokens
    if request.constraint is not None:
        word, spec = request.constraint.kind, request.constraint.spec
        form = word, spec if word == "regex" else json.loads(spec)
    if kind is None or kind.kind not in ("json", "text") or kind.annotation is str:
        return answer(prompt, form)  # the type reads whatever is made for these
    value, said, why, long = None, "", "", ""
    wrong: Places = _WHOLE
    try:
        for n, other in enumerate(_values(kind, prompt, form)):
            value = _mended(value, other, wrong)
            said = value if form is None else _written(value)
            why, wrong = _objection(kind, said)
            if not why and (n >= _SHORT or len(pieces(said)) <= most):
                return said
            long = long or ("" if why else said)
            if long and len(said) > _FAR * most:  # no shorter one is to be had, and each takes time
                break
    except ConstraintRejected:
        if not long:
            raise
    if long:
        return long
    raise ConstraintRejected(
        f"none of {TRIES} made-up answers is a value of the type ({kind.name}): of {shown(said)} "
        f"it said: {one_line(why, 100)}; script the answer"
    )


def _values(kind: ResultType, prompt: Any, form: tuple[str, Any] | None) -> Iterator[Any]:
    """Make values. Raises ConstraintRejected where the first of what the type says cannot be."""
    with suppress(ConstraintRejected):  # the type may say more of it
        said = answer(prompt, form)
        yield said if form is None else json.loads(said)
    schema = fuller(kind)
    for n in range(TRIES):
        sorts = ((), SORTS[n // 3 % len(SORTS) :][:1], SORTS)[n % 3]
        try:
            yield example(schema, Dice(f"{hash_of(prompt)}/{kind.name}/{n}"), sorts)
        except ConstraintRejected:  # a set of a sort that has one text, say
            if n == 0:
                raise


def _mended(value: Any, other: Any, wrong: Places) -> Any:
    """The value with what is wrong in it as another has it; the other, where that has no such."""
    for place in wrong:
        try:
            part, source = value, other
            for step in place[:-1]:
                part, source = part[step], _beside(source, step)
            part[place[-1]] = _beside(source, place[-1])
        except (IndexError, KeyError, TypeError, StopIteration):  # a union's option is a step, too
            return other
    return value


def _beside(whole: Any, step: int | str) -> Any:
    """What stands there in a list or record, or else the first that does."""
    try:
        return whole[step]
    except (IndexError, KeyError):
        return next(iter(whole.values() if isinstance(whole, dict) else whole))


def _objection(kind: ResultType, said: str) -> tuple[str, Places]:
    """What the type has against a text, "" if it reads it, and where."""
    if not said.strip():
        return "an empty text is no answer", _WHOLE
    reader = adapter(kind.annotation)
    try:  # as it stands: what can only be meant by it is for models
        if kind.kind == "text":
            reader.validate_python(said.strip(), strict=True)
        else:
            from_json(reader, said)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        return faults[0]["msg"], [fault["loc"] for fault in faults]
    except Exception as error:  # the user's validators may raise anything
        return described(error), _WHOLE
    return "", _WHOLE


def _written(made: Any) -> str:
    return json.dumps(made, separators=(",", ":"), ensure_ascii=False)
