"""An engine that loads its model itself: what those have in common, whatever runs the model.

Theory of operation
-------------------
The first request begins to load the model, on a thread. Each one is a ``Job``: it is checked, waits
until the model is there, and is handed on by ``_start``; who runs it settles its ``answer``, on the
event loop.

Rules
1. Nothing is loaded, and no thread starts, before ``capabilities`` or ``send``.
2. What cannot be served is refused before any work: a prompt that is not token ids, or one that
   leaves no room for ``max_tokens``.
3. A cancelled request is answered at once, also while the model is loaded.
4. One event loop uses an engine; any may close it. ``close`` ends a download, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Generic, TypeVar

from nlpu.engines.first_token import Beginnings, Begun, choices_of
from nlpu.engines.models import ModelFiles, Progress, fetch_model
from nlpu.engines.prompt_checks import check_ids, check_known, check_room
from nlpu.engines.threads import Threads, leaving
from nlpu.errors import Cancelled, MissingPart, NlpuError, UnknownProcessor, Usage
from nlpu.wire import Capabilities, Reply, Request

_running = asyncio.get_running_loop


@dataclass(eq=False, kw_only=True)
class Job:
    """A request and where its answer goes; ``dropped`` is set by the loop, others may read it."""

    request: Request
    on_text: Callable[[str], None] | None
    answer: asyncio.Future[Reply] = field(default_factory=lambda: _running().create_future())
    choices: list[str] = field(init=False)  # that are weighed
    begun: Begun = ()
    dropped: bool = False

    def __post_init__(self) -> None:
        self.choices = choices_of(self.request)

    def tell(self, piece: str) -> None:
        """Hand a piece to ``on_text``, on the loop, unless the answer is no longer awaited."""
        if self.on_text is not None and piece and not self.answer.done():
            self.on_text(piece)

    def settle(self, outcome: Reply | BaseException) -> None:
        """Give the answer, or why there is none, unless there is one already."""
        if self.answer.done():
            return
        with contextlib.suppress(RuntimeError):  # its loop is closed: nobody waits
            if isinstance(outcome, BaseException):
                self.answer.set_exception(outcome)
            else:
                self.answer.set_result(outcome)

    def drop(self, why: str) -> None:
        """Answer with Cancelled and let what runs of it end."""
        self.dropped = True
        self.settle(Cancelled(why))


@dataclass(slots=True)
class Model:
    """A model that is loaded, with as many tokens as it knows."""

    capabilities: Capabilities
    tokens: int
    beginnings: Beginnings


AnyJob = TypeVar("AnyJob", bound=Job)
AnyModel = TypeVar("AnyModel", bound=Model)


class LoadingEngine(ABC, Generic[AnyModel, AnyJob]):
    """An engine whose model is loaded once, by its name."""

    _called = ""  # in sentences
    _takes_gguf: bool
    _kind: Any  # of its jobs
    _needs: tuple[str, ...] = ()  # libraries that it looks for before a model is fetched
    _remedy = "run `make install`"  # where one is missing

    def __init__(
        self,
        name: str | None,
        window: int,
        max_in_flight: int,
        tell: Callable[[Progress], None] | None = None,
    ) -> None:
        self._name, self._window, self._max_in_flight = name, window, max_in_flight
        self._called, self._tell = self._called or f"the engine of {name}", tell
        self._loading: asyncio.Task[AnyModel] | None = None
        self._model: AnyModel | None = None
        self._jobs: set[AnyJob] = set()
        self._threads = Threads()
        self._closed, self._ending = False, threading.Lock()

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{len(self._jobs)} under way"
        return f"{type(self).__name__}({(self._name or 'the default model')[-100:]}, {state})"

    @abstractmethod
    def _opened(self, files: ModelFiles) -> AnyModel:
        """Load the model (blocking)."""

    @abstractmethod
    async def _start(self, model: AnyModel, job: AnyJob) -> None:
        """Have the model work on a job."""

    @abstractmethod
    def _leave(self, model: AnyModel, job: AnyJob) -> None:
        """Forget a job that is answered, or that nobody waits for."""

    @abstractmethod
    def _unload(self, model: AnyModel) -> None:
        """End what runs, and release the model (blocking). Idempotent."""

    def _job(self, request: Request, on_text: Callable[[str], None] | None) -> AnyJob:
        """Make the job of a request. May raise for what no model could serve."""
        job: AnyJob = self._kind(request=request, on_text=on_text)
        return job

    async def capabilities(self) -> Capabilities:
        """Find or download the model, load it, and say what it can do."""
        model = await asyncio.shield(self._begun())
        self._begun()  # was it closed meanwhile?
        return model.capabilities

    async def send(self, request: Request, on_text: Callable[[str], None] | None = None) -> Reply:
        """Generate one reply; ``on_text`` is called on the event loop's thread."""
        loading = self._begun()
        check_ids(request)
        job = self._job(request, on_text)
        self._jobs.add(job)
        try:
            if not loading.done():
                await asyncio.wait((loading, job.answer), return_when=asyncio.FIRST_COMPLETED)
            if not job.answer.done():
                model = loading.result()
                check_known(request, model.tokens)
                check_room(request, model.capabilities.window)
                job.begun = model.beginnings.of(job.choices) if job.choices else ()
                await self._start(model, job)
            return await job.answer
        finally:
            job.dropped = True
            self._jobs.discard(job)
            if job.answer.done() and not job.answer.cancelled():
                job.answer.exception()  # heard, even where this task was cancelled as well
            if self._model is not None:
                self._leave(self._model, job)

    def cancel(self, request_id: str) -> None:
        """Stop a request; its ``send`` raises Cancelled."""
        for job in [job for job in self._jobs if job.request.id == request_id]:
            job.drop(f"request {request_id} was cancelled")

    async def close(self) -> None:
        """Cancel what runs or waits, and unload the model."""
        self._closed = True
        for job in list(self._jobs):
            job.drop(f"{self._called} was closed")
        loading = self._loading
        if loading is None:
            return
        if loading.get_loop() is _running():  # another's is over, or never will be
            await asyncio.wait((loading,))
        await asyncio.to_thread(self._threads.join)
        if self._model is not None:
            await asyncio.to_thread(self._end, self._model)

    def _begun(self) -> asyncio.Task[AnyModel]:
        """The task that loads the model, begun at the first request. Raises Cancelled, Usage."""
        if self._closed:
            raise Cancelled(f"{self._called} was closed")
        if self._loading is None:
            self._loading = asyncio.create_task(self._load())
        if self._loading.get_loop() is not _running():
            raise Usage(
                f"this {type(self).__name__} belongs to another event loop: close it, and make one "
                "for each"
            )
        return self._loading

    async def _load(self) -> AnyModel:
        if lacking := [each for each in self._needs if find_spec(each) is None]:
            raise MissingPart(f"{self._called} needs {lacking[0]}: {self._remedy}")
        files = await self._threads.run(partial(fetch_model, self._name, self._told))
        self._model = await self._threads.run(partial(self._open, files))
        return self._model

    def _open(self, files: ModelFiles) -> AnyModel:
        if files.is_gguf is not self._takes_gguf:
            kind, other = ("GGUF", "local") if files.is_gguf else ("safetensors", "transformers")
            raise Usage(
                f"{self._called} does not run {files.name}, which is {kind}: name another model, "
                f"or use --engine {other}"
            )
        try:
            return self._opened(files)
        except NlpuError:
            raise
        except ImportError as error:
            raise MissingPart(f"{self._called} needs {error.name}: {self._remedy}") from error
        except Exception as error:
            raise UnknownProcessor(
                f"the model in {files.path} cannot be run: {error}. Name another model or folder"
            ) from error

    def _end(self, model: AnyModel) -> None:
        with self._ending:  # another may close it, too
            self._unload(model)

    def _told(self, now: Progress) -> None:
        """Pass on how far a download is, or end it."""
        if self._closed or leaving():
            raise Cancelled(f"{self._called} was closed while its model was fetched")
        if self._tell is not None:
            self._tell(now)

    def _facts(self, files: ModelFiles, window: int, directory: Path, **more: Any) -> Capabilities:
        """What the engine can do with a model, whose tokenizer is in a directory."""
        return Capabilities(
            files.name,
            window,
            self._max_in_flight,
            tokenizer=str(directory),
            probabilities=True,
            source=files.origin,
            weights=files.sha256,
            **more,
        )
