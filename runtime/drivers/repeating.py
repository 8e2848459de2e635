"""Effects that were made before, at another position: found again, so that none is made twice.

Theory of operation
-------------------
A position tells which call of a driver is which, as long as the program does the same again. It may
do other things on a resume that tries a failed call once more, when the program was changed, and in
a run that was edited from another. So an effect is known by what it is, too: driver and arguments.
What was made before and this life has not met is a stock, and an equal call takes one from it.

Rules
1. An effect of the past stands for one call. Taking it is journaled, so no later life takes it too.
2. What failed is no stock: the call is a new one. What has no outcome is: a person settles it.
3. What an edited run looks at is what the old one saw, where it looks at the same position.
"""

from __future__ import annotations

from collections.abc import Mapping

from nlpu.runtime.drivers.approval import ExactCall
from nlpu.runtime.journal.records import PastIntent
from nlpu.runtime.run import RunState


def made_before(run: RunState, call: ExactCall) -> PastIntent | None:
    """The equal call that this one takes over, from now on at its position, if there is one."""
    stocks = [("", run.replay.past.intents)]
    if run.replay.ancestor is not None:
        stocks.append(("^", run.replay.ancestor.past.intents))
    for whose, intents in stocks:
        digest = _equal(intents, call)
        if digest is not None:
            return _moved(run, call, whose, digest, intents.pop(digest))
    return None


def seen_before(run: RunState, call: ExactCall) -> PastIntent | None:
    """What the old run's very call gave, which changed nothing (rule 3)."""
    intents = run.replay.ancestor.past.intents if run.replay.ancestor is not None else {}
    seen = intents.get(call.digest)
    if seen is None or not seen.text:
        return None
    return _moved(run, call, "^", call.digest, intents.pop(call.digest))


def _equal(intents: Mapping[str, PastIntent], call: ExactCall) -> str | None:
    """The digest of a call that is equal but for its position."""
    for digest, intent in intents.items():
        if not intent.message and digest == call._replace(position=intent.position).digest:
            return digest
    return None


def _moved(run: RunState, call: ExactCall, whose: str, digest: str, made: PastIntent) -> PastIntent:
    run.history.moved(call.position, whose, digest)
    run.history.intent(call.position, call.digest, call.text, made.approved)
    if made.text:
        run.history.effect(call.position, run.journal.texts[made.text], made.label)
    return made._replace(position=call.position)
