"""What goes to an engine and what comes back: the records and the protocol of all engines.

Theory of operation
-------------------
An *engine* carries requests to a model and replies back. It decides nothing: it does not retry,
does not queue by importance, does not parse results. The scheduler does the first two, the codec
the third. That is why one contract test serves every engine.

Rules
1. Records are frozen and compare by value; a ``Request`` says everything the engine needs.
   (Named tuples where one is made for every call: they are cheaper than frozen dataclasses.)
   ``Usage`` alone grows: what a call took is the sum of what its attempts did.
2. ``send`` returns a ``Reply`` or raises an ``NlpuError``; never a library's own exception.
3. ``send`` makes one attempt. Retrying has one owner, and it is the scheduler.
4. Cancelling the task that awaits ``send``, and ``cancel(request.id)``, both stop the generation
   at the server too. ``cancel`` of an unknown or finished id does nothing.
5. A prompt of token ids is sent as exactly those tokens. Where an engine cannot do that,
   ``Capabilities.token_prompts`` is False and it gets ``Message`` prompts instead.
6. What an engine cannot promise it names in ``Capabilities.weaker``; which fields of ``Sampling``
   it takes, in ``Capabilities.sampling``. It is asked for no others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from operator import attrgetter
from typing import Any, Literal, NamedTuple, Protocol

from nlpu.printing import one_line
from nlpu.sampling import Sampling
from nlpu.tokens import Tokenizer

Finish = Literal["stop", "length", "repetition"]
ConstraintKind = Literal["choice", "regex", "json"]


@dataclass(frozen=True, slots=True)
class Message:
    """One chat turn, for engines that do not take token ids."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Constraint:
    """A language the generated text must belong to, decoded token by token.

    choice: ``spec`` is a JSON array of strings, the text is exactly one of them;
    regex:  ``spec`` is a regular expression the whole text matches;
    json:   ``spec`` is a JSON schema; the text is one JSON value without optional whitespace.
    """

    kind: ConstraintKind
    spec: str


class Request(NamedTuple):
    """One attempt at one generation.

    prompt:      token ids, or chat messages where the engine takes no ids. A ``Prompt`` of ids
                 compares as a tuple; where a library takes no other sequence, make one of it.
    sampling:    how the answer's tokens are chosen, and how many there may be.
    constraint:  what they must make up.
    priority:    smaller is sooner; engines without priorities ignore it.
    probabilities: the reply also says how likely each choice of the constraint was; no two of
                 them begin with the same letter.
    result:      the ``ResultType`` that the answer is read as, for engines that make one up: what a
                 model is sent follows from the rest. It is in no key.
    origin:      gives where in which run it comes from (``nlpu.engines.origin``); a server may be
                 told, and an answer does not follow from it.
    """

    id: str
    prompt: Sequence[int] | tuple[Message, ...]
    sampling: Sampling
    constraint: Constraint | None = None
    priority: int = 0
    probabilities: bool = False
    result: Any = None
    origin: Callable[[], Any] | None = None

    def using(self, **changes: Any) -> Request:
        """Change fields of its ``Sampling``; all else stays."""
        return self._replace(sampling=replace(self.sampling, **changes))


@dataclass(slots=True)
class Usage:
    """What an engine says that an attempt took; a call's is the sum of its attempts'.

    A field more here goes into rows and sums by itself; a new one stands last. ``cached_tokens``
    are the part of ``prompt_tokens`` that was served from the KV cache, ``thinking_tokens`` the
    part of ``completion_tokens`` that was thinking, ``waited_ms`` what it waited at its server
    before it ran. Counts are the engine's own.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    thinking_tokens: int = 0
    waited_ms: int = 0

    def add(self, other: Usage) -> None:
        """Count what another attempt took, too."""
        for name, more in zip(COUNTS, _counts(other), strict=True):
            if more:
                setattr(self, name, getattr(self, name) + more)


COUNTS = tuple(each.name for each in fields(Usage))
_counts = attrgetter(*COUNTS)


class Reply(NamedTuple):
    """What one attempt gave.

    ``finish`` is "repetition" where its server ended it because it repeated itself.
    ``probabilities`` are in the order of the constraint's choices and sum to 1, and none where they
    were not asked for; ``mass`` is what all the choices have of the whole, None where it is not
    known; ``declined`` says who declined to answer and how, where there is no answer.
    """

    text: str
    finish: Finish
    usage: Usage
    thinking: str = ""
    probabilities: tuple[float, ...] = ()
    declined: str = ""
    mass: float | None = None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do, asked once when a computer opens it.

    model:         the name results are journaled under; another model is another name.
    window:        tokens of prompt and completion together.
    max_in_flight: requests that are useful at once.
    constraints:   kinds it decodes under; with json also the regexes of ``types.NUMBER_SCHEMAS``.
    tokenizer:     directory with ``tokenizer.json`` and the chat template, if it is known.
    encoder:       what cuts texts into ids, where the engine has it and files do not.
    source:        where the model came from, with its revision, as far as that is known.
    weights:       sha256 of the file it was read from, where there is one.
    weaker:        one short sentence for each guarantee that this engine cannot give.
    probabilities: it can tell how likely each choice was.
    sampling:      the fields of ``Sampling`` that it takes; "extra" is any field of a server's own,
                   and else those are named here that ``extra`` may hold.
    """

    model: str
    window: int
    max_in_flight: int
    token_prompts: bool = True
    constraints: frozenset[ConstraintKind] = frozenset({"choice", "regex", "json"})
    priority: bool = False
    tokenizer: str | None = None
    weaker: tuple[str, ...] = ()
    probabilities: bool = False
    source: str = ""
    weights: str = ""
    sampling: frozenset[str] = frozenset({"temperature", "top_p", "repetition_penalty"})
    encoder: Tokenizer | None = field(default=None, compare=False, repr=False)

    def __repr__(self) -> str:
        room = f"window {self.window:,}, {self.max_in_flight:,} in flight at most"
        return one_line(f"Capabilities({self.model}, {room})")


class Engine(Protocol):
    """Carries requests and replies. Used from one event loop only."""

    async def capabilities(self) -> Capabilities:
        """Reach the model and say what it can do. Called first, once.

        Raises Unreachable, NotAModelServer, Unauthorized, UnknownProcessor or MissingPart.
        """

    async def send(self, request: Request, on_text: Callable[[str], None] | None = None) -> Reply:
        """Make one attempt; hand text to ``on_text`` as it is generated if that is given.

        Raises a HostError, or DoesNotFit, ConstraintRejected or Declined where the engine says so.
        """

    def cancel(self, request_id: str) -> None:
        """Stop a request; its ``send`` raises Cancelled."""

    async def close(self) -> None:
        """Release everything. Idempotent."""
