"""The embedded processor: a model on this machine, as an engine.

Theory of operation
-------------------
``EmbeddedEngine`` is the event loop's side. It checks a request, waits for a slot (``slots.py``
decides which), and runs it on a thread (``threads.py``) that does nothing but wait for llama.cpp
(``llama.py``); the loop stays free. ``grammar_of`` turns a constraint into a grammar,
``vocabulary.py`` a model's metadata into a tokenizer. Loading happens on a thread, too.

Rules
1. Nothing heavy is imported and no thread starts before ``capabilities`` or ``send``.
2. What cannot be served is refused here, before any work: a prompt that is not token ids, or one
   that leaves no room for ``max_tokens``.
3. ``completion_tokens`` counts every token that was chosen, the end token included.
   ``cached_tokens`` are prompt tokens that the slot had read before.
4. A cancelled request is answered at once, also while the model is loaded; its slot is free after
   its next token. ``close`` ends a download, and the program's end what nobody closed.
5. Temperature before what cuts the tail (``parameters``): the order and the meaning that vLLM gives
   them, so that settings mean the same on every engine.
6. Where the choices are weighed (``choice_odds``), a listener hears the answer when it is settled.
7. One event loop uses an engine; any may close it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from nlpu.checks import COUNT, FUNCTION, check, maybe
from nlpu.engines.embedded.choice_odds import (
    Beginnings,
    choices_in,
    choosing,
    is_settled,
    weighed_reply,
)
from nlpu.engines.embedded.llama import Llama
from nlpu.engines.embedded.partial_reply import Heard
from nlpu.engines.embedded.slots import Place, Slots
from nlpu.engines.embedded.threads import Threads, leaving
from nlpu.engines.embedded.vocabulary import vocabulary
from nlpu.engines.grammar import grammar_of
from nlpu.engines.models import Progress, fetch_model
from nlpu.engines.models.known import model_name
from nlpu.engines.parameters import LLAMA, LLAMA_EXTRA, LLAMA_ORDER
from nlpu.errors import (
    BadOperand,
    Cancelled,
    ConstraintRejected,
    DoesNotFit,
    NlpuError,
    RequestRefused,
    ServerFault,
    Usage,
)
from nlpu.judgement import Begun
from nlpu.sampling import Sampling
from nlpu.wire import Capabilities, Reply, Request

_WEAKER = (
    "at temperature 0 a text repeats itself when it is asked for again, alone; what runs at the "
    "same time, or which beginning of the prompt another request had read before, can change it",
)
_READING = ("prompt", "max_tokens", "cache_prompt", "stream", "id_slot")  # of a body
_TAKES = frozenset({*LLAMA, *LLAMA_EXTRA, "stop", "seed"})


@dataclass(eq=False, slots=True, kw_only=True)
class _Job(Place):
    """A request and where its answer goes; ``dropped`` is set by the loop, read by the thread."""

    id: str
    body: dict[str, Any]
    answer: asyncio.Future[Reply]
    on_text: Callable[[str], None] | None
    choices: list[str]  # that are weighed
    begun: Begun = ()
    dropped: bool = False

    def tell(self, piece: str) -> None:
        """Hand a piece to ``on_text``, on the loop, unless the answer is no longer awaited."""
        if self.on_text is not None and piece and not self.answer.done():
            self.on_text(piece)

    def drop(self, why: str) -> None:
        """Answer with Cancelled and let what runs of it end."""
        self.dropped = True
        if not self.answer.done():
            with contextlib.suppress(RuntimeError):  # its loop is closed: nobody waits
                self.answer.set_exception(Cancelled(why))


@dataclass(slots=True)
class _Loaded:
    llama: Llama
    slots: Slots[_Job]
    capabilities: Capabilities
    beginnings: Beginnings


_FITS = {
    "window": COUNT,
    "max_in_flight": COUNT,
    "threads": maybe(COUNT),
    "tell": maybe(FUNCTION),
}


class EmbeddedEngine:
    """A GGUF model run by llama.cpp on this machine."""

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        window: int = 4096,
        max_in_flight: int = 8,
        threads: int | None = None,
        tell: Callable[[Progress], None] | None = None,
    ) -> None:
        """Name a model (see ``nlpu.engines.models``); ``tell`` hears how far its download is."""
        check("EmbeddedEngine", locals(), _FITS)
        self._name, self._window, self._tell = model_name(model), window, tell
        self._max_in_flight, self._cores = max_in_flight, threads
        self._loading: asyncio.Task[_Loaded] | None = None
        self._jobs: set[_Job] = set()
        self._threads = Threads()
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{len(self._jobs)} under way"
        return f"EmbeddedEngine({(self._name or 'the default model')[-100:]}, {state})"

    async def capabilities(self) -> Capabilities:
        """Find or download the model, load it, and say what it can do."""
        loaded = await asyncio.shield(self._begun())
        self._begun()  # was it closed meanwhile?
        return loaded.capabilities

    async def send(self, request: Request, on_text: Callable[[str], None] | None = None) -> Reply:
        """Generate one reply; ``on_text`` is called on the event loop's thread."""
        loading, prompt = self._begun(), _prompt(request)
        job = _Job(
            prompt,
            _most(request),
            not request.sampling.temperature or request.sampling.seed is not None,
            id=request.id,
            body=_body(request, prompt),
            answer=asyncio.get_running_loop().create_future(),
            on_text=on_text,
            choices=choices_in(request),
        )
        self._jobs.add(job)
        try:
            if not loading.done():
                await asyncio.wait((loading, job.answer), return_when=asyncio.FIRST_COMPLETED)
            if not job.answer.done():
                _check(job, loading.result().llama)
                if job.choices:
                    job.begun = loading.result().beginnings.of(job.choices)
                    job.body = choosing(job.body, job.begun)
                loading.result().slots.wait(job)
                self._start(loading.result())
            return await job.answer
        finally:
            job.dropped = True
            self._jobs.discard(job)
            if job.answer.done() and not job.answer.cancelled():
                job.answer.exception()  # heard, even where this task was cancelled as well
            if loading.done() and not loading.cancelled() and not loading.exception():
                loading.result().slots.leave(job)

    def cancel(self, request_id: str) -> None:
        """Stop a request; its ``send`` raises Cancelled."""
        for job in [job for job in self._jobs if job.id == request_id]:
            job.drop(f"request {request_id} was cancelled")

    async def close(self) -> None:
        """Cancel what runs or waits, and unload the model."""
        self._closed = True
        for job in list(self._jobs):
            job.drop("the embedded processor was closed")
        loading = self._loading
        if loading is None:
            return
        if loading.get_loop() is asyncio.get_running_loop():  # another's is over, or never will be
            await asyncio.wait((loading,))
        await asyncio.to_thread(self._threads.join)
        if loading.done() and not loading.cancelled() and not loading.exception():
            await asyncio.to_thread(loading.result().llama.close)

    def _begun(self) -> asyncio.Task[_Loaded]:
        """The task that loads the model, begun at the first request. Raises Cancelled, Usage."""
        if self._closed:
            raise Cancelled("the embedded processor was closed")
        if self._loading is None:
            self._loading = asyncio.create_task(self._load())
        if self._loading.get_loop() is not asyncio.get_running_loop():
            raise Usage(
                "this EmbeddedEngine belongs to another event loop: close it, and make one for each"
            )
        return self._loading

    async def _load(self) -> _Loaded:
        on_thread = self._threads.run
        model = await on_thread(partial(fetch_model, self._name, self._told))
        if not model.is_gguf:
            raise Usage(
                f"{model.name} is a folder of safetensors and the embedded processor runs GGUF "
                f"files: name a GGUF of it, or use --engine transformers"
            )
        count = self._max_in_flight
        llama = await on_thread(partial(Llama, model.path, self._window, count, self._cores))
        where, encoder = await on_thread(partial(vocabulary, model, llama.encode))
        facts = Capabilities(
            model=model.name,
            window=llama.window,
            max_in_flight=count,
            sampling=_TAKES,
            tokenizer=str(where),
            encoder=encoder,
            weaker=_WEAKER,
            probabilities=True,
            source=f"{model.source}{model.revision and ', revision ' + model.revision}",
            weights=model.sha256,
        )
        return _Loaded(llama, Slots(count), facts, Beginnings(encoder.encode))

    def _told(self, now: Progress) -> None:
        """Pass on how far a download is, or end it."""
        if self._closed or leaving():
            raise Cancelled("the embedded processor was closed while its model was fetched")
        if self._tell is not None:
            self._tell(now)

    # -- slots and threads ----------------------------------------------------------------------

    def _start(self, loaded: _Loaded) -> None:
        loop = asyncio.get_running_loop()
        for job, slot in loaded.slots.grant():
            work = self._threads.run(partial(_generate, loaded.llama, job, slot, loop))
            work.add_done_callback(partial(self._ended, loaded, job, slot))

    def _ended(self, loaded: _Loaded, job: _Job, slot: int, work: asyncio.Future[Reply]) -> None:
        error = work.exception()
        if error is None:
            used = work.result().usage
            loaded.slots.free(slot, used.cached_tokens, used.completion_tokens)
        else:
            loaded.slots.forget(slot)
        if not job.answer.done():
            if error is None:
                job.answer.set_result(work.result())
            else:
                job.answer.set_exception(_known(error))
        if not self._closed:
            self._start(loaded)


# -- on a thread ----------------------------------------------------------------------------------


def _generate(llama: Llama, job: _Job, slot: int, loop: asyncio.AbstractEventLoop) -> Reply:
    """Run one request to its end (blocking). Raises NlpuError."""
    heard = Heard()

    def listen(event: dict[str, Any]) -> bool:
        piece = heard.take(event)
        if not job.choices:
            _tell(job, piece, loop)
        return job.dropped or leaving()

    anew = job.again and job.repeats
    body = {**job.body, "id_slot": slot, "cache_prompt": not anew or job.start > 0}
    if anew and job.start:
        _cut(llama, job, slot)
    llama.generate(body, listen)
    if heard.error is not None:
        raise _fault(heard.error)
    if heard.finish is None:
        raise Cancelled("the request was cancelled")
    return _chosen(llama, job, body, heard, loop) if job.choices else heard.reply()


def _tell(job: _Job, piece: str, loop: asyncio.AbstractEventLoop) -> None:
    if piece and job.on_text is not None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens
            loop.call_soon_threadsafe(job.tell, piece)


def _chosen(
    llama: Llama, job: _Job, body: dict[str, Any], heard: Heard, loop: asyncio.AbstractEventLoop
) -> Reply:
    """The reply with the choices' probabilities, from as many tokens as it takes."""
    first = heard.first
    if not is_settled(job.begun, first):
        heard_all = Heard()
        llama.generate({**body, "n_probs": llama.tokens}, heard_all.hear)
        first = heard_all.first
    drawn = heard.said if job.body["temperature"] > 0 else None
    reply = weighed_reply(heard.reply(), job.choices, job.begun, first, drawn)
    _tell(job, reply.text, loop)
    return reply


def _cut(llama: Llama, job: _Job, slot: int) -> None:
    """Have the slot forget what it holds behind the job's start (rule 5 of ``slots``)."""
    other = (job.prompt[job.start] + 1) % llama.tokens  # read there, it pushes out what follows
    beginning = (*job.prompt[: job.start], other)
    body = {**job.body, "prompt": beginning, "max_tokens": 1, "id_slot": slot}
    llama.generate({key: of for key, of in body.items() if key in _READING}, Heard().hear)


def _fault(error: dict[str, Any]) -> NlpuError:
    message = str(error.get("message", error))
    if "grammar" in message:
        return ConstraintRejected(
            f"the embedded processor cannot decode under this constraint: {message}; "
            "simplify the result type"
        )
    if error.get("code") == 400:  # ``extra`` holds what it cannot read
        return RequestRefused(f"the embedded processor refuses the request: {message}")
    return ServerFault(f"the embedded processor failed: {message}")


def _known(error: BaseException) -> BaseException:
    """The error as one of ours (rule 2 of wire.py)."""
    if isinstance(error, NlpuError):
        return error
    return ServerFault(f"the embedded processor failed: {error!r}")


# -- requests -------------------------------------------------------------------------------------


def _prompt(request: Request) -> tuple[int, ...]:
    """The prompt's token ids. Raises BadOperand."""
    if not request.prompt or not all(type(token) is int for token in request.prompt):
        raise BadOperand("the embedded processor takes a prompt of token ids that is not empty")
    if request.sampling.max_tokens < 1:
        raise BadOperand("max_tokens must be at least 1")
    return tuple(cast("Sequence[int]", request.prompt))  # llama.cpp takes no other


def _check(job: _Job, llama: Llama) -> None:
    """Raise BadOperand or DoesNotFit for what this model cannot take."""
    prompt, most = job.prompt, job.body["max_tokens"]
    if min(prompt) < 0 or max(prompt) >= llama.tokens:
        raise BadOperand(f"token ids of this model are 0 to {llama.tokens - 1}")
    needed = len(prompt) + most
    if needed > llama.window:
        raise DoesNotFit(
            f"the request needs {needed} tokens ({len(prompt)} of prompt, {most} to "
            f"generate) and the window has {llama.window}: split the text, or ask for less",
            needed=needed,
            available=llama.window,
        )


def _most(request: Request) -> int:
    """A bound of the tokens that a request writes: no choice is longer than its bytes."""
    constraint = request.constraint
    if constraint is None or constraint.kind != "choice":
        return request.sampling.max_tokens
    return min(request.sampling.max_tokens, len(constraint.spec.encode()))


def _body(request: Request, prompt: tuple[int, ...]) -> dict[str, Any]:
    """The request as llama.cpp's server takes it. Raises ConstraintRejected."""
    asked = request.sampling
    body: dict[str, Any] = {
        "prompt": prompt,
        "max_tokens": asked.max_tokens,
        "cache_prompt": True,
        "stream": True,
        "return_progress": True,
        "stream_options": {"include_usage": True},
        "samplers": _samplers(asked),
        "repeat_last_n": len(prompt) + asked.max_tokens,
        "stop": asked.stop,
        **asked.extra,
        **{theirs: getattr(asked, ours) for ours, (theirs, _) in LLAMA.items()},
    }
    if asked.seed is not None:
        body["seed"] = asked.seed
    if request.constraint is not None:
        body["grammar"] = grammar_of(request.constraint)
    return body


def _samplers(asked: Sampling) -> list[str]:
    """Those that change something, in rule 5's order; each of them looks at every token."""
    used = {LLAMA[name][1] for name in asked.wanted & LLAMA.keys()}
    used |= {LLAMA_EXTRA[name] for name in asked.wanted & LLAMA_EXTRA.keys()}
    if not asked.temperature:  # the likeliest token is not in the tail
        used &= {"penalties", "dry"}
    return [name for name in LLAMA_ORDER if name in used | {"temperature"}]
