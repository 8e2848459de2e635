"""A run's state: what it has issued, what its journal already holds, what it has spent.

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
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal

from nlpu import errors
from nlpu.errors import Diverged, HostError, ModelError, NlpuError, ProgramError, Refused
from nlpu.label import UNTRUSTED
from nlpu.ops.op import Op
from nlpu.processor import Processor
from nlpu.prompt import convention
from nlpu.prompt.complaint import Invalid
from nlpu.runtime.eval.answers import known_to
from nlpu.runtime.graph.label_gaps import Given
from nlpu.runtime.graph.node import Node, Scope, Sight
from nlpu.runtime.graph.usage import amount_of, cost_of
from nlpu.runtime.journal.edits import Ancestor, Persona
from nlpu.runtime.journal.records import Outcome, Past, PastCall
from nlpu.runtime.journal.store import NoJournal, RunLog
from nlpu.runtime.journal.writer import History
from nlpu.runtime.scheduler.breakpoints import Gate
from nlpu.runtime.scheduler.budget import TOKENS_PER_NLOP, Amount, Budget, Purse

if TYPE_CHECKING:  # the kernel drives runs; a run only hands itself to it
    from nlpu.runtime.kernel import Kernel

Status = Literal["running", "done", "failed", "stopped", "needs_person"]
_FAULTS: dict[str, type[NlpuError]] = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, NlpuError)
}
_SIDES: dict[str, type[NlpuError]] = {
    "host": HostError, "model": ModelError, "program": ProgramError
}  # fmt: skip


def failure_of(fault: str, message: str, side: str) -> NlpuError:
    """The error that a failed outcome stands for, and of its side in any case."""
    kind, branch = _FAULTS.get(fault, NlpuError), _SIDES.get(side, NlpuError)
    return (kind if issubclass(kind, branch) else branch)(message)


@dataclass(slots=True)
class Counts:
    """Totals kept as the run goes; the receipt's other figures are computed from the nodes."""

    calls: int = 0
    reused: int = 0
    shared: int = 0
    attempts: int = 0
    waiting: int = 0
    in_flight: int = 0
    completion_tokens: int = 0
    prompt_tokens: int = 0
    issued: int = 0  # calls


class RunState:
    """One execution. Owned by the kernel's loop; ``handle.Run`` is its public face."""

    fault: HostError | None = None  # of the newest attempt that ended, if it failed

    def __init__(
        self,
        kernel: Kernel,
        number: int,
        journal: RunLog,
        *,
        budget: Budget,
        estimates: Mapping[str, int],
        past: Past | None = None,
        replay: bool = False,
        reuse_changed: bool = False,
        source_changed: bool = False,
        ancestor: Ancestor | None = None,
        reads: str = "",
        header: Mapping[str, Any] | None = None,
    ) -> None:
        """``reads``: from where the program was given texts that nobody vouches for, if it was."""
        self.header = {} if header is None else header
        self.convention = convention.read(self.header.get("convention", ""))
        system = self.header.get("system", "")
        self.persona = Persona(system) if system else None
        self.kernel = kernel
        self.number = number
        self.journal = journal
        self.past = past or Past()
        self.ancestor = ancestor
        if ancestor is not None:
            for digest in self.past.inherited:
                ancestor.past.intents.pop(digest, None)
        self.reworded = dict(ancestor.edits.ops) if ancestor is not None else {}  # by op's name
        self.gate: Gate | None = None
        self.resumed = past is not None or ancestor is not None
        self.lenient = self.past.other_ways
        self.replay = replay
        self.reuse_changed = reuse_changed
        self.source_changed = source_changed
        self.purse = Purse(budget)
        self.estimates = dict(estimates)
        self.divergence: str | None = None
        self.poor_judges: set[str] = set()  # models that were warned of
        self.refused: set[str] = set()  # names of what a dry run would have changed
        self.begun = False  # its header is committed
        self.status: Status = "running"
        self.error: BaseException | None = None
        self.doom: NlpuError | None = None  # it will end with this, whatever its program does
        self.result: Any = None
        self.counts = Counts()
        self.start_s = kernel.now_s()
        self.history = History(
            RunLog(NoJournal(), number) if replay else journal, self.past, self.start_s
        )
        self.end_s: float | None = None
        self.root = Scope(self, "main", None, "main")
        self.lowered = bool(reads)  # whether anything in it has seen something below the user
        self.given: dict[int, Given] = {}  # what nodes were given that can be changed
        if reads:
            self.root.label = UNTRUSTED
            self.root.sights.append(Sight(0, None, UNTRUSTED, reads))
        self.leaders: dict[bytes, Node] = {}
        self.followers: dict[bytes, list[Node]] = {}
        self.invalid: dict[bytes, tuple[Invalid, ...]] = {}  # of calls that are asked again, by key
        self.blocked: list[tuple[int, int, Node]] = []  # a heap of calls the budget refused
        self.forced: dict[str, list[float]] = {}  # file:line -> [count, seconds]
        self.on_text: Callable[[Node, str], None] | None = None
        self.on_end: list[Callable[[], None]] = []
        self.timers: list[Any] = []
        self._most: dict[tuple[bytes, str, int], Amount] = {}
        self.date_s: Callable[[], float] = lambda: 0.0
        self._charge_past()

    def _charge_past(self) -> None:
        """Count what former lives spent: on outcomes, and on attempts that a kill left open."""
        for outcome in self.past.paid:
            self.purse.charge(amount_of(cost_of(outcome.usage)))
        for most in [*self.past.lost, *self.past.open]:
            self.purse.charge(most, lost=True)

    def processor(self, name: str | None) -> Processor:
        """The processor of that name, or the default one, speaking as the run does.

        Raises UnknownProcessor.
        """
        return self.kernel.processor(name).speaking(self.convention)

    # -- identity ----------------------------------------------------------------------------

    def key(self, node: Node, op: Op[Any], processor: Processor, texts: tuple[str, ...]) -> bytes:
        """The node's key: everything that decides its answer."""
        sample = node.work.sample
        if sample is not None:
            draw = f"={sample}"
        else:
            draw = f"{node.scope.path}#{node.draw}" if op.temperature > 0 else ""
        names = b"".join(map(self.journal.name, texts))
        whole = b"%b|%b|%b|%b" % (op.digest, processor.identity.encode(), draw.encode(), names)
        if self.convention is not convention.FIRST:
            whole += self.convention.digest
        key = blake2b(whole, digest_size=12).digest()
        return key if self.ancestor is None else self.ancestor.key(node.position, op, key)

    # -- the journal of former lives ------------------------------------------------------------

    def check_position(self, node: Node, op: Op[Any], key: bytes, texts: tuple[str, ...]) -> None:
        """Raises Diverged if the journal holds another call at this position (rule 2)."""
        call = self.past.calls.get(node.position)
        if call is None:
            self.check_kind("call", node.position, f"calls {op.name}")
        if call is None or self.divergence or call.key == key.hex():
            return
        if self.lenient and not self._edited(call, op):
            return
        self.diverge(f"{node.position} ({op.name})", self._difference(call, op, texts))

    def check_kind(self, kind: str, position: str, now: str) -> None:
        """Raises Diverged if the journal holds something of another kind at this position."""
        if not self.resumed or self.lenient or self.divergence:
            return
        past = self.past
        tables: dict[str, Mapping[str, Any]] = {
            "call": past.calls, "driver": past.driven, "note from outside": past.clocks,
            "lifted function": past.lifts, "race": past.picks,
        }  # fmt: skip
        for other, table in tables.items():
            if other != kind and position in table:
                self.diverge(position, f"the program had a {other} there, and now it {now}")

    def _edited(self, call: PastCall, op: Op[Any]) -> bool:
        """Whether the same op was issued there with another text or on another model."""
        before = self.past.ops[call.op]
        if before.name != op.name:
            return False
        other_model = call.identity != self.processor(op.processor).identity
        return before.digest != op.digest.hex() or other_model

    def _difference(self, call: PastCall, op: Op[Any], texts: tuple[str, ...]) -> str:
        before = self.past.ops[call.op]
        if before.name != op.name:
            return f"the program called {before.name} there before, and calls {op.name} now"
        if before.digest != op.digest.hex():
            return f"the op {op.name} has changed"
        if call.identity != self.processor(op.processor).identity:
            return f"the model was {call.identity.split('|')[0]} before"
        before_texts = [self.journal.texts.get(number) for number in call.texts]
        changed = [
            place.name
            for place, old, new in zip(op.operands, before_texts, texts, strict=False)
            if old != new
        ]
        return f"its operand {changed[0]!r} differs" if changed else "its sampling has changed"

    def diverge(self, where: str, what: str) -> None:
        """Stop the run, or note the divergence where that was asked for. Raises Diverged."""
        hint = "; the program's source has changed since" if self.source_changed else ""
        found = (
            f"at {where} the run differs from its journal: {what}{hint}. If nothing was changed, "
            "the program is not deterministic: take time and random numbers from "
            "runtime.now() and runtime.random()"
        )
        if self.reuse_changed and not self.replay:
            self.divergence = self.divergence or found
            self.lenient = True
            return
        raise Diverged(
            f"{found}. {len(self.past.outcomes)} results are in the journal; to go on and reuse "
            "those whose op, operands and model are the same, resume with --changed"
        )

    def remembered(self, node: Node, key: bytes) -> Outcome | None:
        """The outcome of a key: of this run's former lives, or of the run it was edited from."""
        name = key.hex()
        outcome = self.past.outcomes.get(name)
        if outcome is None and self.ancestor is not None:
            outcome = known_to(self.ancestor.past, node, key)
            if outcome is not None:
                op, identity = node.work.op, self.processor(node.work.op.processor).identity
                self.history.taken(node.position, op, identity, key, node.texts or (), outcome)
        return outcome

    def recall_invalid(self, key: bytes) -> None:
        """Go on with a call where its former life was: with what it had been answered."""
        known = self.past.invalid.get(key.hex(), ())
        if known:
            texts = self.journal.texts
            self.invalid.setdefault(key, tuple(Invalid(texts[text], why) for text, why in known))

    def picked(self, position: str) -> tuple[int, ...]:
        """What came first there, in a former life or in the run it was edited from, and what had
        failed before it; empty if nothing was picked."""
        picked = self.past.picks.get(position, ())
        if not picked and self.ancestor is not None:
            picked = self.ancestor.past.picks.get(position, ())
        return picked

    def forget_pick(self, node: Node, index: int) -> bool:
        """Give up an ancestor's pick whose winner has failed here; False if it still holds."""
        winner = node.operands[index]
        own = self.ancestor is None or node.position in self.past.picks
        if own or not isinstance(winner, Node) or winner._error is None:
            return False
        assert self.ancestor is not None
        del self.ancestor.past.picks[node.position]
        return True

    def heard(
        self, position: str, what: str, inherits: Callable[[Any], bool] = lambda noted: True
    ) -> Any:
        """What the program was told from outside at that position; None if nothing.

        ``inherits``: whether what the ancestor was told counts.
        Raises Diverged if it was told something of another kind.
        """
        noted = self.past.clocks.get(position)
        if noted is None and self.ancestor is not None:
            noted = self.ancestor.past.clocks.get(position)
            noted = noted if noted is not None and inherits(noted[1]) else None
            if noted is not None:
                self.history.clock(position, *noted)
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
        if self.kernel.dry:
            self.refused.add(changed)
            raise Refused(f"{what} at {position}: a dry run changes nothing")
        if self.replay:
            self.diverge(position, f"its journal does not hold that it asked for {what}")

    def note(self, position: str, what: str, content: Any) -> None:
        """Journal what the program was told from outside (JSON, not null)."""
        self.history.clock(position, what, content)
        self.kernel.soon()

    # -- money ---------------------------------------------------------------------------------

    def most(self, op: Op[Any], processor: Processor, prompt_tokens: int) -> Amount:
        """The most a call can take. Remembered: most calls of an op are of the same few sizes."""
        which = (op.digest, processor.name, prompt_tokens)
        found = self._most.get(which)
        if found is None:
            found = self._most[which] = self._most_of(op, processor, prompt_tokens)
        return found

    def _most_of(self, op: Op[Any], processor: Processor, prompt_tokens: int) -> Amount:
        completion = op.max_tokens + processor.thinking_tokens
        prompt = prompt_tokens * (2 if processor.thinking_tokens else 1) + processor.thinking_tokens
        return Amount(
            1,
            completion / TOKENS_PER_NLOP,
            prompt + completion,
            processor.price.of(prompt, 0, completion),
        )

    def estimate(self, op: Op[Any]) -> int:
        """Expected completion tokens of an op, frozen when the run started."""
        return self.estimates.get(op.name, op.max_tokens)
