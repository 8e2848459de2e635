"""The embedded processor: a model on this machine, as an engine.

Theory of operation
-------------------
``EmbeddedEngine`` is the event loop's side (``loading.py``). A request waits for a slot
(``slots.py`` decides which), and runs on a thread (``threads.py``) that does nothing but wait for
llama.cpp (``llama.py``); the loop stays free. ``grammar_of`` turns a constraint into a grammar,
``vocabulary.py`` a model's metadata into a tokenizer.

Rules
1. ``completion_tokens`` counts every token that was chosen, the end token included.
   ``cached_tokens`` are prompt tokens that the slot had read before.
2. The slot of a cancelled request is free after its next token. The program's end closes what
   nobody closed.
3. Temperature before what cuts the tail (``parameters``): the order and the meaning that vLLM gives
   them, so that settings mean the same on every engine.
4. Where the choices are weighed (``choice_odds``), a listener hears the answer when it is settled.
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
    check_choices,
    choosing,
    is_settled,
    weighed_reply,
)
from nlpu.engines.embedded.llama import Llama
from nlpu.engines.embedded.partial_reply import Heard
from nlpu.engines.embedded.slots import Place, Slots
from nlpu.engines.embedded.vocabulary import vocabulary
from nlpu.engines.first_token import Beginnings
from nlpu.engines.grammar import grammar_of
from nlpu.engines.loading import Job, LoadingEngine, Model
from nlpu.engines.models import ModelFiles, Progress
from nlpu.engines.models.known import model_name
from nlpu.engines.parameters import LLAMA, LLAMA_EXTRA, LLAMA_ORDER, changing
from nlpu.engines.threads import leaving
from nlpu.errors import (
    Cancelled,
    ConstraintRejected,
    NlpuError,
    RequestRefused,
    ServerFault,
)
from nlpu.sampling import Sampling
from nlpu.wire import Reply, Request

_WEAKER = (
    "at temperature 0 a text repeats itself when it is asked for again, alone; what runs at the "
    "same time, or which beginning of the prompt another request had read before, can change it",
)
_READING = ("prompt", "max_tokens", "cache_prompt", "stream", "id_slot")  # of a body
_TAKES = frozenset({*LLAMA, *LLAMA_EXTRA, "stop", "seed"})


@dataclass(eq=False, slots=True, kw_only=True)
class _Job(Place, Job):
    body: dict[str, Any]


@dataclass(slots=True)
class _Loaded(Model):
    llama: Llama
    slots: Slots[_Job]


_FITS = {
    "window": COUNT,
    "max_in_flight": COUNT,
    "threads": maybe(COUNT),
    "tell": maybe(FUNCTION),
}


class EmbeddedEngine(LoadingEngine[_Loaded, _Job]):
    """A GGUF model run by llama.cpp on this machine."""

    _called, _takes_gguf, _kind = "the embedded processor", True, _Job

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
        super().__init__(model_name(model), window, max_in_flight, tell)
        self._cores = threads

    def _job(self, request: Request, on_text: Callable[[str], None] | None) -> _Job:
        prompt = tuple(cast("Sequence[int]", request.prompt))  # llama.cpp takes no other
        body = _body(request, prompt)
        repeats = not request.sampling.temperature or request.sampling.seed is not None
        job = _Job(prompt, _most(request), repeats, request=request, on_text=on_text, body=body)
        check_choices(job.choices)
        return job

    async def _start(self, model: _Loaded, job: _Job) -> None:
        if job.choices:
            job.body = choosing(job.body, job.begun)
        model.slots.wait(job)
        self._grant(model)

    def _leave(self, model: _Loaded, job: _Job) -> None:
        model.slots.leave(job)

    def _opened(self, files: ModelFiles) -> _Loaded:
        llama = Llama(files.path, self._window, self._max_in_flight, self._cores)
        where, encoder = vocabulary(files, llama.encode)
        more: dict[str, Any] = {"encoder": encoder, "weaker": _WEAKER, "sampling": _TAKES}
        facts = self._facts(files, llama.window, where, **more)
        slots = Slots[_Job](self._max_in_flight)
        return _Loaded(facts, llama.tokens, Beginnings(encoder.encode), llama, slots)

    def _unload(self, model: _Loaded) -> None:
        model.llama.close()

    # -- slots and threads ----------------------------------------------------------------------

    def _grant(self, loaded: _Loaded) -> None:
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
        job.settle(work.result() if error is None else _known(error))
        if not self._closed:
            self._grant(loaded)


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
    """Those that change something, in rule 3's order; each of them looks at every token."""
    samplers = {name: sampler for name, (_, sampler) in LLAMA.items()} | LLAMA_EXTRA
    used = {"temperature", *(samplers[name] for name in changing(asked, samplers))}
    return [name for name in LLAMA_ORDER if name in used]
