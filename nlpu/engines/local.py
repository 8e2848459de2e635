"""The embedded processor: a small model in this process, as an engine.

Theory of operation
-------------------
``LocalEngine`` is the event loop's side. It checks a request, hands it to the worker thread
(``batch.py``), and awaits the answer; the model runs there and the loop stays free. The pieces:
``weights.py`` finds the files, ``forward.py`` runs the model, ``sampling.py`` makes text of it.

Rules
1. Nothing heavy is imported and no thread starts before ``capabilities`` or ``send``.
2. What cannot be served is refused here, before any work: a prompt that is not token ids, or one
   that leaves no room for ``max_tokens``.
3. ``completion_tokens`` counts every token that was chosen: the end token where it was, and the
   tokens of a stop string, but not an end that a constraint made certain. ``cached_tokens`` are
   prompt tokens whose KV another row had left.
4. Requests beyond ``max_in_flight`` wait in order of arrival.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from nlpu.engines.batch import Facts, Job, Worker
from nlpu.engines.weights import find_model
from nlpu.errors import BadOperand, Cancelled, DoesNotFit
from nlpu.wire import Capabilities, Reply, Request

_WEAKER = (
    "a reply can depend on what else is in the batch where two tokens are equally likely to "
    "within float32 rounding",
)


class LocalEngine:
    """A model directory run by transformers on this machine's processor cores."""

    def __init__(
        self,
        model: str | None = None,
        window: int = 2048,
        max_in_flight: int = 8,
        threads: int | None = None,
    ) -> None:
        self._name, self._window = model, window
        self._max_in_flight, self._threads = max_in_flight, threads
        self._worker: Worker | None = None
        self._jobs: dict[str, Job] = {}
        self._closed = False

    async def capabilities(self) -> Capabilities:
        """Load the model and say what it can do."""
        directory = find_model(self._name)
        _, facts = await self._ready()
        return Capabilities(
            model=directory.name,
            window=facts.window,
            max_in_flight=self._max_in_flight,
            seed=True,
            tokenizer=str(directory),
            weaker=_WEAKER,
            probabilities=True,
        )

    async def send(self, request: Request, on_text: Callable[[str], None] | None = None) -> Reply:
        """Generate one reply; ``on_text`` is called on the event loop's thread."""
        worker, facts = await self._ready()
        prompt = _checked(request, facts)
        loop = asyncio.get_running_loop()
        job = Job(request, prompt, None, loop, loop.create_future(), on_text)
        self._jobs[request.id] = job
        try:
            if request.constraint is not None:
                # In a thread of its own, so that neither the loop nor running rows wait for it.
                job.grammar = await asyncio.to_thread(facts.vocabulary.compile, request.constraint)
            worker.submit(job)
            return await job.answer
        finally:
            job.dropped = True  # the worker looks before each step; after the reply it is too late
            if self._jobs.get(request.id) is job:
                del self._jobs[request.id]

    def cancel(self, request_id: str) -> None:
        """Stop a request; its ``send`` raises Cancelled."""
        job = self._jobs.get(request_id)
        if job is not None and not job.answer.done():
            job.dropped = True
            job.answer.set_exception(Cancelled(f"request {request_id} was cancelled"))

    async def close(self) -> None:
        """Stop the thread, which fails what is still running with Cancelled."""
        self._closed = True
        if self._worker is not None:
            self._worker.stop()
            await asyncio.get_running_loop().run_in_executor(None, self._worker.join)

    async def _ready(self) -> tuple[Worker, Facts]:
        if self._closed:
            raise Cancelled("the embedded processor was closed")
        if self._worker is None:
            directory = find_model(self._name)
            self._worker = Worker(directory, self._window, self._max_in_flight, self._threads)
        return self._worker, await asyncio.wrap_future(self._worker.loaded)


def _checked(request: Request, facts: Facts) -> tuple[int, ...]:
    if not request.prompt or not all(isinstance(token, int) for token in request.prompt):
        raise BadOperand("the embedded processor takes a prompt of token ids that is not empty")
    prompt = cast(tuple[int, ...], request.prompt)
    if min(prompt) < 0 or max(prompt) >= len(facts.vocabulary.bytes):
        raise BadOperand(f"token ids of this model are 0 to {len(facts.vocabulary.bytes) - 1}")
    if request.max_tokens < 1:
        raise BadOperand("max_tokens must be at least 1")
    needed = len(prompt) + request.max_tokens
    if needed > facts.window:
        raise DoesNotFit(
            f"the request needs {needed} tokens ({len(prompt)} of prompt, {request.max_tokens} to "
            f"generate) and the window has {facts.window}: split the text, or ask for less",
            needed=needed,
            available=facts.window,
        )
    return prompt
