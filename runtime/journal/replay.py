"""Replaying: how a run meets the steps of its former lives, and what it says where they differ.

Theory of operation
-------------------
A run writes every step to the journal and, when it is resumed, meets the steps of its former lives
there. Two identities make that safe. A node's *key* (op, operand contents, processor, sampling,
sample) finds its result. Its *position* (scope path and number) finds what the program issued at
that place before; if that was something else, the program, an op or the model has changed, or the
program is not deterministic, and the run says so instead of mixing two histories.

Rules
1. A result in the journal is used and never asked for again.
2. The first position whose key differs from the journal's is the divergence. It stops the run,
   unless the run was told to reuse what it can; then all later positions are checked by key alone.
3. A failure of the host is tried again on resume, and from then on the program may do other
   things; an edited op or another model is a divergence even then. A failure of the model is a
   result like any other.
4. A replay makes no call and changes nothing: what is missing is a divergence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nlpu.errors import Diverged, Refused
from nlpu.label import Label
from nlpu.prompt.complaint import Invalid
from nlpu.runtime.journal.edits import Ancestor, Persona, label_of_text, rewritten
from nlpu.runtime.journal.records import Outcome, Past, PastCall
from nlpu.runtime.journal.store import RunLog
from nlpu.runtime.journal.writer import AskedCall, History


class Replay:
    """The former lives of one run, and the run that it was edited from.

    only:    the run is replayed: it makes no call (rule 4).
    changed: it was told to reuse what it can where it differs (rule 2).
    """

    def __init__(
        self,
        journal: RunLog,
        history: History,
        *,
        ancestor: Ancestor | None = None,
        resumed: bool = False,
        only: bool = False,
        changed: bool = False,
        source_changed: bool = False,
        dry: bool = False,
        system: str = "",
    ) -> None:
        self.past: Past = history.past
        # of a former life, or else of the run that it was edited from
        self.header = self.past.header or (ancestor.past.header if ancestor is not None else {})
        self.ancestor = ancestor
        if ancestor is not None:
            for digest in self.past.inherited:
                ancestor.past.intents.pop(digest, None)
        self.reworded = dict(ancestor.edits.ops) if ancestor is not None else {}  # by op's name
        self.persona = Persona(system) if system else None
        self.resumed = resumed or ancestor is not None
        self.lenient = self.past.other_ways
        self.only, self.changed, self.source_changed = only, changed, source_changed
        self.divergence: str | None = None
        self.refused: set[str] = set()  # names of what a dry run would have changed
        self._dry = dry
        self._journal, self._history = journal, history

    # -- calls -------------------------------------------------------------------------------

    def worded(self, work: Any) -> tuple[Any, Label | None]:
        """Give the work as this run words it, and the label of a text that was edited, if any."""
        label = None
        if self.reworded:
            work = rewritten(work, self.reworded)
            label = label_of_text(self.ancestor, work)
        return (work if self.persona is None else self.persona.over(work)), label

    def check_position(self, asked: AskedCall) -> None:
        """Raises Diverged if the journal holds another call at this position (rule 2)."""
        position, name = asked.position, asked.op.name
        call = self.past.calls.get(position)
        if call is None:
            self.check_kind("call", position, f"calls {name}")
        if call is None or self.divergence or call.key == asked.key.hex():
            return
        if not self.lenient or self._edited(call, asked):
            self.diverge(f"{position} ({name})", self._difference(call, asked))

    def check_kind(self, kind: str, position: str, now: str) -> None:
        """Raises Diverged if the journal holds something of another kind at this position."""
        if not self.resumed or self.lenient or self.divergence:
            return
        past = self.past
        tables: dict[str, Mapping[str, Any]] = {
            "call": past.calls,
            "driver": past.driven,
            "note from outside": past.clocks,
            "lifted function": past.lifts,
            "race": past.picks,
        }
        for other, table in tables.items():
            if other != kind and position in table:
                self.diverge(position, f"the program had a {other} there, and now it {now}")

    def _edited(self, call: PastCall, asked: AskedCall) -> bool:
        """Whether the same op was issued there with another text or on another model."""
        before, op = self.past.ops[call.op], asked.op
        differs = before.digest != op.digest.hex() or call.identity != asked.identity
        return differs and before.name == op.name

    def _difference(self, call: PastCall, asked: AskedCall) -> str:
        before, op = self.past.ops[call.op], asked.op
        if before.name != op.name:
            return f"the program called {before.name} there before, and calls {op.name} now"
        if before.digest != op.digest.hex():
            return f"the op {op.name} has changed"
        if call.identity != asked.identity:
            return f"the model was {call.identity.split('|')[0]} before"
        before_texts = [self._journal.texts.get(number) for number in call.texts]
        changed = [
            place.name
            for place, old, new in zip(op.operands, before_texts, asked.texts, strict=False)
            if old != new
        ]
        return f"its operand {changed[0]!r} differs" if changed else "its sampling has changed"

    def diverge(self, where: str, what: str) -> None:
        """Stop the run, or note the divergence where that was asked for. Raises Diverged."""
        if self.only or not self.changed:
            raise self._diverged(where, what)
        self.divergence = self.divergence or self._found(where, what)
        self.lenient = True

    def missing(self, position: str, name: str) -> Diverged:
        """Make the error of a call that a replay has no result for: it fails what needs the call.

        What lost a race has no result either, and nothing needs it.
        """
        end = "" if self.past.finished else " (the run did not finish: resume it)"
        return self._diverged(
            f"{position} ({name})", f"the journal has no result for this call{end}"
        )

    def _diverged(self, where: str, what: str) -> Diverged:
        return Diverged(
            f"{self._found(where, what)}. {len(self.past.outcomes)} results are in the journal; to "
            "go on and reuse those whose op, operands and model are the same, resume with --changed"
        )

    def _found(self, where: str, what: str) -> str:
        hint = "; the program's source has changed since" if self.source_changed else ""
        return (
            f"at {where} the run differs from its journal: {what}{hint}. If nothing was changed, "
            "the program is not deterministic: take time and random numbers from "
            "nlpu.runtime.now() and nlpu.runtime.random()"
        )

    def remembered(self, asked: AskedCall, label: Callable[[], Label]) -> Outcome | None:
        """Find a call's outcome in this run's former lives, or in the run it was edited from.

        label: of all that was read for the call; asked for only where answers have one.
        """
        outcome = self.past.outcomes.get(asked.key.hex())
        if outcome is None and self.ancestor is not None:
            outcome = self.ancestor.outcome(asked.key, label)
            if outcome is not None:
                self._history.taken(asked, outcome)
        return outcome

    def invalid(self, key: bytes) -> tuple[Invalid, ...]:
        """List what a former life had been answered under a key, none of it a result."""
        known, texts = self.past.invalid.get(key.hex(), ()), self._journal.texts
        return tuple(Invalid(texts[text], why) for text, why in known)

    # -- what is not of the graph --------------------------------------------------------------

    def picked(self, position: str) -> tuple[int, ...]:
        """What came first there, in a former life or in the run it was edited from, and what had
        failed before it; empty if nothing was picked."""
        picked = self.past.picks.get(position, ())
        if not picked and self.ancestor is not None:
            picked = self.ancestor.past.picks.get(position, ())
        return picked

    def forget_pick(self, position: str) -> bool:
        """Give up an ancestor's pick whose winner has failed here; False if it is the run's own."""
        if self.ancestor is None or position in self.past.picks:
            return False
        del self.ancestor.past.picks[position]
        return True

    def heard(
        self, position: str, what: str, inherits: Callable[[Any], bool] = lambda noted: True
    ) -> Any:
        """Give what the program was told from outside at that position; None if nothing.

        ``inherits``: whether what the ancestor was told counts.
        Raises Diverged if it was told something of another kind.
        """
        noted = self.past.clocks.get(position)
        if noted is None and self.ancestor is not None:
            noted = self.ancestor.past.clocks.get(position)
            noted = noted if noted is not None and inherits(noted[1]) else None
            if noted is not None:
                self._history.clock(position, *noted)
        if noted is None:
            self.check_kind("note from outside", position, f"asks for {what}")
            return None
        if noted[0] != what:
            if self.ancestor is None and not self.lenient:
                self.diverge(position, f"it asked for {noted[0]} there before, and for {what} now")
            return None
        return noted[1]

    def check_change(self, position: str, what: str, changed: str) -> None:
        """Raises Refused in a dry run and Diverged in a replay: these change nothing."""
        if self._dry:
            self.refused.add(changed)
            raise Refused(f"{what} at {position}: a dry run changes nothing")
        if self.only:
            self.diverge(position, f"its journal does not hold that it asked for {what}")
