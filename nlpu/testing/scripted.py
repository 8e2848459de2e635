"""The scripted engine: a model whose answers, latencies and faults are a script.

Theory of operation
-------------------
A prompt's tokens are characters, so what fits a window is exact and tests can reason about it. An
answer's are counted as real tokenizers cut (rule 4). An answer is looked up by what was asked: the
instruction, or a function of what was seen. Latencies pass on the loop's clock, which in tests is a
fake one: a day of work takes milliseconds.

    Scripted("yes")                                   always that text
    Scripted({"Summarise": "short", "Does": "no"})    by a part of the instruction
    Scripted(lambda seen: seen.operands["text"][:9])  by a function
    Scripted([Say("a"), ServerFault("b")])            in order of arrival, then repeating the last

Rules
1. The answer depends on the request, or on the order of arrival where a list was given; on nothing
   else. A plan of ``faults`` comes before the script, and may know a prompt that comes again.
2. Without a script the answer is a text made from the prompt's hash that satisfies the constraint
   and that the request's type reads.
3. It breaks its constraint only when its script says so: that is how invalid replies are tested.
4. Tokens of a reply, its limit and its speed are counted in pieces: up to eight ASCII letters or
   three signs in a row, with the blank before them; each digit; each other letter, and each of
   three and more equal ones; each run of other blanks (``answers.pieces``).
   ``Say(tokens=...)`` counts what it says.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import Any

from nlpu.chat import Turn
from nlpu.checks import (
    AMOUNT,
    ANY_TEXT,
    COUNT,
    FLAG,
    FUNCTION,
    TEXT,
    TIME,
    WHOLE,
    Fit,
    check,
    check_fields,
    is_number,
    maybe,
)
from nlpu.engines.first_token import choices_of
from nlpu.engines.prompt_checks import check_room
from nlpu.engines.stops import before_stop
from nlpu.errors import Cancelled, NlpuError
from nlpu.errors import Usage as Wrong
from nlpu.printing import counted, shown
from nlpu.processor import SYSTEM_MARK
from nlpu.prompt.ids import Edge, outline_in, pieces_of
from nlpu.sampling import DEFAULTS
from nlpu.testing.answers import pieces
from nlpu.testing.faults import Plan
from nlpu.testing.values import made_up
from nlpu.wire import Capabilities, Reply, Request, Usage


@dataclass(frozen=True, slots=True)
class Say:
    """What a scripted model says, and what that takes. Raises Usage where a number is none.

    Attributes:
        text: What is said.
        tokens: How many those are (None: counted as real tokenizers cut).
        seconds: What it takes (None: as the engine's speed has it).
        cached_tokens: Tokens of the prompt that count as read before.
        finish_length: The answer was cut at its limit.
        probabilities: Of the choices of a judgement, yes first; without them it is certain.
        mass: What all choices together have of the whole, 0 to 1.
    """

    text: str
    tokens: int | None = None
    seconds: float | None = None
    cached_tokens: int = 0
    finish_length: bool = False
    probabilities: tuple[float, ...] = ()  # of the choices; what was said is certain without them
    mass: float | None = None  # what all of them have of the whole

    def __repr__(self) -> str:
        return f"Say({shown(self.text)})"

    def __post_init__(self) -> None:
        check_fields(self, _SAY)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the engine was asked: the instruction, the operands by name, and the request.

    instruction: all that is the same in every call, but for examples: system text, what is asked,
    in what form. examples: those shown, as they are written. chat: the turns of a chat among the
    operands.
    """

    instruction: str
    operands: dict[str, str]
    request: Request = field(repr=False)
    again: str = ""  # what follows on the question: an answer that was no result, and why
    chat: tuple[Turn, ...] = ()
    examples: str = ""


def _are_shares(given: Any) -> bool:
    plain = isinstance(given, tuple | list) and all(map(_SHARE[0], given))
    return plain and (not given or (len(given) > 1 and sum(given) > 0))


_SHARE: Fit = (lambda p: is_number(p) and 0 <= p <= 1, "a number from 0 to 1")
_SAY: dict[str, Fit] = {
    "text": ANY_TEXT,
    "tokens": maybe(WHOLE),
    "seconds": maybe(TIME),
    "cached_tokens": WHOLE,
    "finish_length": FLAG,
    "mass": maybe(_SHARE),
    "probabilities": (_are_shares, "numbers from 0 to 1, one for each of two or more choices"),
}
_ENGINE: dict[str, Fit] = {
    "script": (lambda script: script is None or _is_script(script), "a script (see the module)"),
    "window": COUNT,
    "slots": COUNT,
    "latency_s": TIME,
    "tokens_per_s": AMOUNT,
    "max_in_flight": COUNT,
    "model": TEXT,
    "faults": maybe(FUNCTION),
}
Answer = str | Say | NlpuError
Script = Answer | Mapping[str, Answer] | Callable[[Seen], Answer] | Sequence[Answer] | None


def _is_script(script: Any) -> bool:
    some = isinstance(script, Sequence) and (len(script) > 0 or isinstance(script, str))
    return some or isinstance(script, Say | NlpuError | Mapping) or callable(script)


class Scripted:
    """An engine whose answers, latencies and faults are a script: the model of tests.

    ``seen`` holds every request in order of arrival. Raises Usage where a setting is none.

    Args:
        script: A text, a ``Say``, an error to raise, a dict of these by a part of the instruction,
            a function of what was seen, or a list in order of arrival (None: made-up results).
        window: Most tokens of prompt and answer; those of a prompt are characters.
        slots: Requests served at once; the others wait in order of priority, then arrival.
        latency_s: Seconds before the first token.
        tokens_per_s: Speed after it (0: at once).
        max_in_flight: What it tells the scheduler.
        faults: Which requests fail (``nlpu.testing.mix``).
        model: The name that results are journaled under.
    """

    def __init__(
        self,
        script: Script = None,
        *,
        window: int = 100_000,
        slots: int = 1_000_000,
        latency_s: float = 0.0,
        tokens_per_s: float = 0.0,
        max_in_flight: int = 1_000_000,
        model: str = "scripted",
        faults: Plan | None = None,
    ) -> None:
        check("Scripted", locals(), _ENGINE)
        self.seen: list[Seen] = []
        self.cancelled: list[str] = []
        self.closed = False
        self._script = script
        self._window = window
        self._free = slots
        self._queue: list[tuple[int, int, asyncio.Future[None]]] = []
        self._latency_s, self._tokens_per_s = latency_s, tokens_per_s
        self._max_in_flight, self._model = max_in_flight, model
        self._faults, self._asked = faults, Counter[tuple[object, ...]]()
        self._tasks: dict[str, asyncio.Task[object]] = {}

    def __repr__(self) -> str:
        closed = ", closed" if self.closed else ""
        return f"Scripted({counted(len(self.seen), 'request')} seen{closed})"

    async def capabilities(self) -> Capabilities:
        """Say what it can, for the scheduler."""
        return Capabilities(
            self._model,
            self._window,
            self._max_in_flight,
            priority=True,
            tokenizer="chars",
            probabilities=True,
            sampling=frozenset(DEFAULTS),
        )

    async def send(self, request: Request, on_text: Callable[[str], None] | None = None) -> Reply:
        """Answer one request. Raises what the script says, DoesNotFit, Cancelled."""
        check_room(request, self._window)
        seen = see(request)
        self.seen.append(seen)
        task = asyncio.current_task()
        assert task is not None
        self._tasks[request.id] = task
        try:
            return await self._serve(seen, on_text)
        except asyncio.CancelledError:
            if request.id in self.cancelled:
                raise Cancelled(f"{request.id} was cancelled") from None
            self.cancelled.append(request.id)
            raise
        finally:
            del self._tasks[request.id]

    def cancel(self, request_id: str) -> None:
        """Stop the request of that id, if it is under way."""
        task = self._tasks.get(request_id)
        if task is not None:
            self.cancelled.append(request_id)
            task.cancel()

    async def close(self) -> None:
        """Note that it was closed."""
        self.closed = True

    async def _serve(self, seen: Seen, on_text: Callable[[str], None] | None) -> Reply:
        said = self._fault(seen.request) or self._answer(seen)
        timed = self._latency_s or self._tokens_per_s or self._free <= 0
        timed = timed or (isinstance(said, Say) and said.seconds is not None)
        if timed:
            await self._slot(seen.request.priority)
        try:
            if timed:
                await asyncio.sleep(self._seconds(said))
            if isinstance(said, NlpuError):
                raise said
            reply = _reply(seen.request, said if isinstance(said, Say) else Say(said))
        finally:
            if timed:
                self._release()
        if on_text is not None:
            for piece in re.findall(r"\s*\S+\s*$|\s*\S+", reply.text) or [reply.text]:
                on_text(piece)
        return reply

    def _seconds(self, answer: Answer) -> float:
        if isinstance(answer, Say) and answer.seconds is not None:
            return answer.seconds
        tokens = 0
        if not isinstance(answer, NlpuError):
            say = answer if isinstance(answer, Say) else Say(answer)
            tokens = len(pieces(say.text)) if say.tokens is None else say.tokens
        return self._latency_s + (tokens / self._tokens_per_s if self._tokens_per_s else 0.0)

    async def _slot(self, priority: int) -> None:
        if self._free > 0:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (priority, len(self.seen), turn)
        heappush(self._queue, entry)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release()
            else:
                self._queue.remove(entry)
                heapify(self._queue)
            raise

    def _release(self) -> None:
        if self._queue:
            heappop(self._queue)[2].set_result(None)
        else:
            self._free += 1

    def _fault(self, request: Request) -> NlpuError | None:
        if self._faults is None:
            return None
        prompt = tuple(request.prompt)
        self._asked[prompt] += 1
        return self._faults(request, self._asked[prompt] - 1)

    def _answer(self, seen: Seen) -> Answer:
        script = self._script
        if script is None:
            return default_answer(seen)
        if isinstance(script, str | Say | NlpuError):
            return script
        if callable(script):
            return script(seen)
        if isinstance(script, Mapping):
            for part, answer in script.items():
                if part in seen.instruction:
                    return answer
            return default_answer(seen)
        return script[min(len(self.seen) - 1, len(script) - 1)]


def see(request: Request) -> Seen:
    """Take a prompt of characters apart again, as its outline says; all is read from its ids."""
    pieces = [piece.ids for piece in pieces_of(request.prompt)]
    again = _text(pieces.pop()).strip("\n") if pieces and len(pieces) % 2 == 0 else ""
    outline = outline_in(request.prompt)
    texts = list(zip(outline.places, map(_text, pieces[1::2]), strict=False))
    found = {place.name: text for place, text in texts if not place.role}
    chat = tuple(Turn(place.role, text) for place, text in texts if place.role)
    bones = [_text(ids) for ids in pieces[::2]]
    edges = outline.edges or (Edge(),) * len(bones)
    ours = "".join(map(_constants, bones, edges))
    before, shown, behind = ours.rpartition(outline.shown) if outline.shown else ("", "", ours)
    return Seen(
        (before + behind).strip(),
        operands=found,
        request=request,
        again=again,
        chat=chat,
        examples=shown,
    )


def _constants(text: str, edge: Edge) -> str:
    """A text of ours without what stands around operands; blank lines stay."""
    text = text.removesuffix(edge.before)
    return text.removeprefix(edge.behind).lstrip("\n") if edge.behind.strip() else text


def _text(ids: Sequence[int]) -> str:
    if max(ids, default=0) >= SYSTEM_MARK:
        ids = [ord("\n") if i >= SYSTEM_MARK else i for i in ids]
    return "".join(map(chr, ids))


def default_answer(seen: Seen) -> str:
    """Make a text from the prompt that satisfies the request's constraint, and that its type reads.

    Raises ConstraintRejected where there is none, or none was found.
    """
    texts = (*seen.operands.values(), *(turn.text for turn in seen.chat))
    prompt = seen.instruction + seen.examples + "".join(f"\0{text}" for text in texts)
    return made_up(seen.request, prompt)


def _reply(request: Request, say: Say) -> Reply:
    if say.cached_tokens > len(request.prompt):
        raise Wrong(
            f"{say!r} has {say.cached_tokens} cached_tokens of a prompt of {len(request.prompt)}: "
            "give no more than it has"
        )
    text, most = before_stop(say.text, request.sampling.stop), request.sampling.max_tokens
    finish = say.finish_length
    cut = pieces(text)
    tokens = len(cut) if say.tokens is None else say.tokens
    if tokens > most:
        text, tokens, finish = "".join(cut[:most]), most, True
    return Reply(
        text,
        "length" if finish else "stop",
        Usage(len(request.prompt), tokens, say.cached_tokens),
        probabilities=_probabilities(request, say),
        mass=say.mass,
    )


def _probabilities(request: Request, say: Say) -> tuple[float, ...]:
    if not (choices := choices_of(request)):
        return ()
    if say.probabilities and len(say.probabilities) != len(choices):
        raise Wrong(
            f"{say!r} has {len(say.probabilities)} probabilities for {len(choices)} choices: "
            "give one for each"
        )
    return tuple(say.probabilities) or tuple(float(choice == say.text) for choice in choices)
