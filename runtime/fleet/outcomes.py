"""Items made of what there is: of a run that has ended, of what is kept, of a journal.

Theory of operation
-------------------
A batch hears of an outcome from the run itself, from the items of its former lives, or, of a run
that ended in the moment of a kill, from its journal alone. All three give the same line.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any, get_type_hints

from nlpu.errors import failure_of
from nlpu.label import UNTRUSTED
from nlpu.runtime.fleet.former import Unfinished
from nlpu.runtime.fleet.items import Item, Kept, side_of
from nlpu.runtime.fleet.plan import Begun
from nlpu.runtime.fleet.share import Share, summed
from nlpu.runtime.handle import Run, state_of
from nlpu.runtime.journal.header import result_text
from nlpu.types.result import adapter


def outcome_of(run: Run, begun: Begun) -> tuple[Item, Kept]:
    """Give the item of a run that has ended, and as it is to be kept."""
    error = run.error
    try:
        state = state_of(run)
    except BaseException as never:  # it could not begin
        error = never
        number, name, label, took, content = begun.run, "", UNTRUSTED, begun.past, None
    else:
        ledger = state.ledger
        assert isinstance(ledger, Share)  # it was given it
        number, name, label = state.number, run.name, run.label
        took, content = ledger.took, state.result
    took = summed((took, begun.before))
    status: Any = "done" if error is None else run.status
    text = result_text(content) if error is None else ""
    why = () if error is None else (type(error).__name__, str(error))
    side, body = ("", text) if error is None else (side_of(error), json.dumps(why))
    item = Item(begun.at, begun.id, status, error, name, took.answered, label, text, why, content)
    return item, Kept(number, status, side, body, label, took)


def known(begun: Begun, kept: Kept, name: str, program: Callable[..., Any]) -> Item:
    """Give an item as a former life had it; ``name`` is its run's."""
    if kept.status == "failed":
        kind, message = json.loads(kept.body)
        error, text, content = failure_of(kind, message, kept.side), "", None
        why: tuple[str, ...] = (kind, message)
    else:
        error, text, content, why = None, kept.body, _content(kept.body, program), ()
    return Item(
        begun.at,
        begun.id,
        kept.status,
        error,
        name,
        kept.took.answered,
        kept.label,
        text,
        why,
        content,
    )


def recorded(left: Unfinished) -> Kept | None:
    """What is to be kept of a run that had ended in the moment of a kill; None if it had not."""
    end = left.past.end
    if end is None or end.status not in ("done", "failed"):
        return None
    status: Any = end.status
    body, side = left.texts.get(end.text, ""), ""
    if end.error:
        kind, message = end.error
        body, side = json.dumps(end.error), side_of(failure_of(kind, message, ""))
    return Kept(left.number, status, side, body, UNTRUSTED, summed((left.before, left.took)))


def _content(text: str, program: Callable[..., Any]) -> Any:
    """A result from its JSON, of the type that the program says it gives."""
    with suppress(Exception):  # an annotation can be anything, and any type may refuse
        return adapter(get_type_hints(program)["return"]).validate_json(text)
    return json.loads(text)
