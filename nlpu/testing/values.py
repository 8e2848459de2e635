"""A text that a result type reads: its own validators have the last word.

Theory of operation
-------------------
The answer is made from what engines are sent, as any. Where the type does not read it, others are
made from all that the type says (fuller.py), until it reads one. In two of three of these a text of
which nothing is said is of some sort, an address, a date, digits, what can be imported: all of one
sort, or each of its own.

Rules
1. Same prompt and type, same answer, as long as the type's validators do not change their minds.
2. It has at most ``max_tokens``, if one of the first ``_SHORT`` has.
3. What validators check by functions is found by trying: what they refuse ``TRIES`` times is
   ConstraintRejected, which says what was said last.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from nlpu.errors import ConstraintRejected, Malformed, described
from nlpu.printing import one_line, shown
from nlpu.testing.answers import answer, hash_of, pieces
from nlpu.testing.examples import example
from nlpu.testing.fuller import fuller
from nlpu.testing.patterns import Dice
from nlpu.testing.texts import SORTS
from nlpu.types.result import ResultType
from nlpu.wire import Request

TRIES, _SHORT = 200, 20


def made_up(request: Request, prompt: Any) -> str:
    """Say something under the request's constraint that its type reads.

    prompt: what the answer is made from. Raises ConstraintRejected.
    """
    constraint, kind = None, request.result
    if request.constraint is not None:
        form, spec = request.constraint.kind, request.constraint.spec
        constraint = form, spec if form == "regex" else json.loads(spec)
    if kind is None or kind.kind not in ("json", "text") or kind.annotation is str:
        return answer(prompt, constraint)  # the type reads whatever is made for these
    said = why = long = ""
    try:
        for n, said in enumerate(_candidates(kind, prompt, constraint)):
            if why := _objection(kind, said):
                continue
            if n >= _SHORT or len(pieces(said)) <= request.sampling.max_tokens:
                return said
            long = long or said
    except ConstraintRejected:
        if not long:
            raise
    if long:
        return long
    raise ConstraintRejected(
        f"none of {TRIES} made-up answers is a value of the type ({kind.name}): of {shown(said)} "
        f"it said: {one_line(why, 100)}; script the answer"
    )


def _candidates(kind: ResultType, prompt: Any, constraint: tuple[str, Any] | None) -> Iterator[str]:
    """Make answers. Raises ConstraintRejected where the first of what the type says cannot be."""
    with suppress(ConstraintRejected):  # the type may say more of it
        yield answer(prompt, constraint)
    schema = fuller(kind)
    for n in range(TRIES):
        sorts = ((), SORTS[n // 3 % len(SORTS) :][:1], SORTS)[n % 3]
        try:
            made = example(schema, Dice(f"{hash_of(prompt)}/{kind.name}/{n}"), sorts)
        except ConstraintRejected:  # a set of a sort that has one text, say
            if n == 0:
                raise
            continue
        yield made if kind.kind == "text" else _written(made)


def _objection(kind: ResultType, said: str) -> str:
    """What the type has against a text; "" if it reads it."""
    if not said.strip():
        return "an empty text is no answer"
    try:
        kind.read(said)
    except Malformed as error:
        cause = error.__cause__
        if isinstance(cause, ValidationError):
            return str(cause.errors(include_url=False)[0]["msg"])
        return described(cause or error)
    return ""


def _written(made: Any) -> str:
    return json.dumps(made, separators=(",", ":"), ensure_ascii=False)
