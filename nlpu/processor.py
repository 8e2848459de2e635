"""A processor: an engine with its tokenizer, its limits and its price.

Theory of operation
-------------------
Opening a processor asks the engine once what it can do, and finds the tokenizer: the model's own
files where they can be read, else an upper bound of one token a byte. With files, prompts are token
ids and the window is exact; without, they are chat messages and ``weaker`` says what is lost.

A model that thinks before it answers is asked twice in one attempt: once for its thinking, bounded
by a maximum of its own and ended by the model's closing mark; then, with that thinking in place,
for the answer under the op's constraint. The second request finds the first in the server's cache.

Rules
1. A request that does not fit the window is refused before anything is sent.
2. Thinking is counted, kept apart, and never part of a result.
3. ``identity`` names everything about the processor that can change an answer; it is hashed into
   every key, so another model's results are never taken for this one's.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from nlpu.chat import turns_in
from nlpu.checks import AMOUNT, COUNT, DEADLINE, RATE, TIME, WHOLE, Fit, check_fields, maybe
from nlpu.errors import BadOp, ConstraintRejected, DoesNotFit, HostError
from nlpu.ops.op import Op
from nlpu.printing import counted, one_line
from nlpu.prompt.codec import Codec
from nlpu.prompt.complaint import Invalid
from nlpu.prompt.convention import DEFAULT, Convention
from nlpu.prompt.frames import Frame, load_frame
from nlpu.prompt.ids import Piece, Prompt, outline_in, pieces_of
from nlpu.prompt.markers import USUAL, markers_in
from nlpu.prompt.messages import messages_of
from nlpu.tokens import ByteBound, CharTokenizer, tokenizer_in
from nlpu.types.result import NUMBER_SCHEMAS
from nlpu.wire import Capabilities, Engine, Message, Reply, Request

_CHAT_OVERHEAD = 64  # tokens a chat server's own template may add around two messages
_TURN = (0,) * 16  # as many as it may add for each one more


@dataclass(frozen=True, slots=True)
class Price:
    """Money for a million tokens, in any one currency. Raises Usage where a number is none.

    Attributes:
        prompt: Of the prompt, not cached.
        cached: Of the prompt, read by the server before.
        completion: Generated, thinking included.
    """

    prompt: float = 0.0
    cached: float = 0.0
    completion: float = 0.0

    def __post_init__(self) -> None:
        check_fields(self, dict.fromkeys(("prompt", "cached", "completion"), AMOUNT))

    def of(self, prompt_tokens: int, cached_tokens: int, completion_tokens: int) -> float:
        """Give the price of one call."""
        if self is FREE:
            return 0.0
        fresh = prompt_tokens - cached_tokens
        parts = fresh * self.prompt + cached_tokens * self.cached
        return (parts + completion_tokens * self.completion) / 1e6


FREE = Price()


@dataclass(frozen=True, slots=True)
class Limits:
    """How a processor is used. Raises Usage where a number is none.

    Attributes:
        thinking_tokens: Most tokens of thinking in one call (None: 1,024 for models that think).
        timeout_s: Longest wait for one attempt, in seconds.
        patience_s: Longest time to wait for a server that is down, or has room for nobody.
        attempts: Most attempts of one call; what such a server refuses does not count.
        backoff_s: Scale of the random waits between attempts, in seconds.
        max_in_flight: Most calls under way at once (None: what the engine says).
        unloaded_s_per_token: Seconds a token takes alone, from a benchmark, where known.
        saturated_tokens_per_s: Tokens a second with all slots busy, from a benchmark; with both,
            the receipt has a lower bound of the run's seconds.
    """

    thinking_tokens: int | None = None
    timeout_s: float = 600.0
    patience_s: float = 60.0
    attempts: int = 6
    backoff_s: float = 0.25
    max_in_flight: int | None = None
    unloaded_s_per_token: float | None = None
    saturated_tokens_per_s: float | None = None

    def __post_init__(self) -> None:
        check_fields(self, _LIMITS)


_LIMITS: dict[str, Fit] = {
    "thinking_tokens": maybe(WHOLE),
    "timeout_s": DEADLINE,
    "patience_s": TIME,
    "attempts": COUNT,
    "backoff_s": AMOUNT,
    "max_in_flight": maybe(COUNT),
    "unloaded_s_per_token": maybe(AMOUNT),
    "saturated_tokens_per_s": maybe(RATE),
}

DEFAULT_LIMITS = Limits()


class Processor:
    """An opened engine. Made by ``open_processor``."""

    def __init__(
        self,
        name: str,
        engine: Engine,
        capabilities: Capabilities,
        codec: Codec,
        price: Price = FREE,
        limits: Limits = DEFAULT_LIMITS,
        convention: Convention = DEFAULT,
    ) -> None:
        self.name = name
        self.engine = engine
        self.capabilities = capabilities
        self.codec = codec
        self.price = price
        self.limits = limits
        self.convention = convention
        self._speaking: dict[bytes, Processor] = {convention.digest: self}
        self.window = capabilities.window
        self.max_in_flight = limits.max_in_flight or capabilities.max_in_flight
        thinks = codec.frame.thinks and capabilities.token_prompts
        wanted = 1024 if limits.thinking_tokens is None else limits.thinking_tokens
        self.thinking_tokens = wanted if thinks else 0
        self.markers = USUAL if capabilities.token_prompts else markers_in(capabilities.tokenizer)
        form = "" if capabilities.token_prompts else "|messages"  # prompts of two kinds
        weights = f"|{capabilities.weights[:16]}" if capabilities.weights else ""
        name = capabilities.model
        self.identity = f"{name}|{self.window}|{self.thinking_tokens}{form}{weights}"

    def __repr__(self) -> str:
        room = f"window {self.window:,}, {self.max_in_flight:,} in flight at most"
        return one_line(f"Processor({self.name}: {self.capabilities.model}, {room})")

    def speaking(self, convention: Convention) -> Processor:
        """Give the same processor with prompts in another convention."""
        found = self._speaking.get(convention.digest)
        if found is None:
            found = self._speaking[convention.digest] = copy(self)
            found.convention = convention
        return found

    def count(self, text: str) -> int:
        """Count a text's tokens (an upper bound where the tokenizer is not known)."""
        return self.codec.count(text)

    def room(self, op: Op[Any]) -> int:
        """Count the tokens left for the op's operands in this window."""
        reserved = op.sampling.max_tokens + self.thinking_tokens
        extra = 0 if self.capabilities.token_prompts else _CHAT_OVERHEAD
        return self.window - self.codec.overhead(op, self.convention) - reserved - extra

    def prompt(
        self, op: Op[Any], contents: Sequence[str], invalid: Sequence[Invalid] = ()
    ) -> Prompt:
        """Make the prompt's ids (rule 1). Raises DoesNotFit.

        Engines that take messages get ``wire_prompt`` of the same operands; the ids then only
        bound its length.
        """
        ids = self.codec.encode(op, contents, self.convention, invalid)
        extra = 0 if self.capabilities.token_prompts else _CHAT_OVERHEAD * (1 + len(invalid))
        needed = ids.size + extra + op.sampling.max_tokens + self.thinking_tokens
        if needed > self.window:
            raise DoesNotFit(self._too_long(op, contents, needed), needed, self.window)
        return ids

    def _too_long(self, op: Op[Any], contents: Sequence[str], needed: int) -> str:
        sizes = ", ".join(
            f"{place.name} (the chat) {sum(self.count(said) for _, said in turns_in(text))}"
            if number == op.chat
            else f"{place.name} {self.count(text)}"
            for number, (place, text) in enumerate(zip(op.operands, contents, strict=True))
        )
        parts = [f"operands: {sizes or 'none'}", *self._constant_sizes(op)]
        less = "show fewer examples, " if op.examples else ""
        cut = f"cut the text with split() and use {op.name}.map, fold results with .reduce, "
        return (
            f"{op.name} needs {needed} tokens ({'; '.join(parts)}; answer up to {op.max_tokens}), "
            f"the window of {self.name} has {self.window}: "
            f"{cut if op.chat < 0 else 'drop the oldest turns with chat.newest(), '}"
            f"{less}or lower max_tokens"
        )

    def _constant_sizes(self, op: Op[Any]) -> Iterator[str]:
        """How many tokens the parts of a prompt take that are the same in all calls."""
        bare = replace(op, examples=(), system="")
        least = self.codec.overhead(bare, self.convention)
        yield f"instruction {least}"
        if op.examples:
            shown = self.codec.overhead(replace(op, system=""), self.convention) - least
            yield f"{counted(len(op.examples), 'example')} {shown}"
        if op.system:
            spoken = self.codec.overhead(replace(op, examples=()), self.convention) - least
            yield f"system {spoken}"
        if self.thinking_tokens:
            yield f"thinking up to {self.thinking_tokens}"

    def wire_prompt(
        self,
        op: Op[Any],
        contents: Sequence[str],
        ids: Sequence[int],
        invalid: Sequence[Invalid] = (),
    ) -> Sequence[int] | tuple[Message, ...]:
        """Give what is sent: the ids, or messages where the engine takes no ids."""
        if self.capabilities.token_prompts:
            return ids
        frame = self.codec.frame
        return messages_of(
            op,
            contents,
            markers=self.markers,
            convention=self.convention,
            invalid=invalid,
            frame=frame,
        )

    def check(self, op: Op[Any]) -> None:
        """Check that the engine can do what the op asks for.

        Raises ConstraintRejected if it cannot decode the op's result type, BadOp if it does not
        take a field of sampling that was set.
        """
        if not op.sampling.wanted <= self.capabilities.sampling:
            self._check_sampling(op)
        constraint, able = op.result.constraint, self.capabilities.constraints
        if op.result.probabilities and not self.capabilities.probabilities:
            raise ConstraintRejected(
                f"{op.name}: {self.name} does not tell probabilities; "
                "use another processor or a result of type bool"
            )
        if constraint is None or ("json" in able and constraint.spec in NUMBER_SCHEMAS):
            return
        if constraint.kind not in able:
            raise ConstraintRejected(
                f"{op.name}: {self.name} cannot decode a {constraint.kind} constraint; "
                "use another processor or a result of type str"
            )

    def _check_sampling(self, op: Op[Any]) -> None:
        able, extra = self.capabilities.sampling, op.sampling.extra.keys()
        where = f"op {op.name}: {self.name} ({self.capabilities.model})"
        for wanted in sorted(op.sampling.wanted - able):
            name = wanted.removeprefix("extra.")
            if name != wanted and name in able:
                raise BadOp(f"{where} has {name} as a setting: give {name}=, not extra")
            if name not in extra or "extra" not in able:
                raise BadOp(
                    f"{where} does not take {name}; leave it out, or use another processor "
                    f"(this one takes {', '.join(sorted({'max_tokens', *able}))})"
                )

    def attempt(
        self, request: Request, on_text: Callable[[str], None] | None = None
    ) -> Coroutine[Any, Any, Reply]:
        """Make one attempt: one request, or two for a model that thinks."""
        if not self.capabilities.token_prompts:
            return _send_and_mend(self, request, on_text)
        if not self.thinking_tokens:
            return self.engine.send(request, on_text)
        return _think_then_answer(self, request, on_text)


async def _send_and_mend(
    processor: Processor, request: Request, on_text: Callable[[str], None] | None
) -> Reply:
    """Take out of the reply what was put into the operands' markers."""
    markers = processor.markers
    said = [turn.content for turn in request.prompt if isinstance(turn, Message)]
    if not markers.in_any(said):
        return await processor.engine.send(request, on_text)
    shown = None if on_text is None else markers.mending(on_text)
    reply = await processor.engine.send(request, shown)
    is_json = request.constraint is not None and request.constraint.kind == "json"
    return reply._replace(text=markers.mended(reply.text, is_json))


def _longer(request: Request, ids: tuple[int, ...]) -> Prompt:
    """The request's prompt and more; constants and operands stand in turn in its pieces."""
    *pieces, last = pieces_of(request.prompt)
    outlined = partial(outline_in, request.prompt)
    return Prompt([*pieces, Piece((*last.ids, *ids))], outlined)


async def _think_then_answer(
    processor: Processor, request: Request, on_text: Callable[[str], None] | None
) -> Reply:
    frame, encode = processor.codec.frame, processor.codec.tokenizer.encode
    start = _longer(request, frame.think_open)
    room = processor.thinking_tokens - len(frame.think_open) - len(frame.think_close)
    think = request.using(max_tokens=max(1, room), stop=("</think>",))._replace(
        prompt=start, constraint=None, probabilities=False
    )
    thought = await processor.engine.send(think)
    # The thought is read back as plain text: it cannot smuggle a special token in.
    middle = encode(thought.text)[: max(1, room)]
    answer = request._replace(prompt=_longer(think, (*middle, *frame.think_close)))
    try:
        reply = await processor.engine.send(answer, on_text)
    except HostError as error:
        error.free = False  # the thought was generated
        raise
    usage = replace(thought.usage, thinking_tokens=thought.usage.completion_tokens)
    usage.add(reply.usage)
    return reply._replace(usage=usage, thinking=thought.text)


async def open_processor(
    name: str,
    engine: Engine,
    price: Price = FREE,
    limits: Limits = DEFAULT_LIMITS,
) -> Processor:
    """Ask the engine what it can do and find its tokenizer.

    Raises what ``Engine.capabilities`` raises.
    """
    capabilities = await engine.capabilities()
    return Processor(
        name,
        engine,
        capabilities=capabilities,
        codec=_codec_for(capabilities),
        price=price,
        limits=limits,
    )


def _codec_for(capabilities: Capabilities) -> Codec:
    where = capabilities.tokenizer
    if where == "chars":
        return Codec(CharTokenizer(), scripted_frame())
    if where is None:
        return Codec(ByteBound(), Frame((), (), (), said=_TURN, following=_TURN))
    tokenizer = capabilities.encoder or tokenizer_in(Path(where))
    return Codec(tokenizer, load_frame(Path(where), tokenizer))


# Ids above every character: the scripted engine's special tokens.
SYSTEM_MARK, USER_MARK, ANSWER_MARK = 0x110000, 0x110001, 0x110002


def scripted_frame(thinks: bool = False) -> Frame:
    """The frame of character tokenizers."""
    closing = tuple(map(ord, "\n</think>\n\n")) if thinks else ()
    opening = tuple(map(ord, "<think>\n")) if thinks else ()
    user, answer = (USER_MARK,), (ANSWER_MARK,)
    return Frame(
        (SYSTEM_MARK,),
        user,
        answer,
        think_open=opening,
        think_close=closing,
        thinks=thinks,
        opening=user,
        said=answer,
        following=user,
    )
