"""The embedded processor's worker: one thread that keeps one batch of rows running.

Theory of operation
-------------------
A *job* is a request that waits for its reply; a *row* is a job that has a slot. The thread repeats
one step: drop the rows nobody waits for, give free slots to waiting jobs in order of arrival, lay
out the next tokens of all rows (one for each row that is generating, then pieces of prompts up to
``STEP_TOKENS``), run the model once, give each row its token, and let finished rows go.

Rules
1. A row joins and leaves between steps; no row waits for another to finish.
2. A long prompt is read in pieces, so a step is never much longer than ``STEP_TOKENS`` tokens.
3. A slot remembers the tokens whose KV it holds, after its row has left too. A new row starts
   with the longest beginning of its prompt, from ``SHARED`` tokens on, that any slot holds; if a
   row that is still reading its prompt will hold a longer one, the new row waits for that.
4. Whatever fails, every job gets an answer: after a failed step all of them fail with
   ``ServerFault`` and the thread goes on; if the thread itself ends they fail with ``EngineDied``.
5. This thread alone touches the model; it talks to the event loop only by
   ``call_soon_threadsafe``, and a loop that has gone away is no error here.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpu.engines.forward import Model, Segment
from nlpu.engines.sampling import Sampler, Text, Vocabulary
from nlpu.errors import Cancelled, EngineDied, NlpuError, ServerFault
from nlpu.wire import Finish, Reply, Request

if TYPE_CHECKING:
    import torch

STEP_TOKENS = 128  # reading is no faster in larger pieces, and running rows wait less
SHARED = 32  # a shorter shared beginning is not worth a copy
_SPARE = 4  # slots beyond the rows that may run, so that remembered beginnings last longer


@dataclass(eq=False, slots=True)
class Job:
    """A request and where its answer goes; ``dropped`` is set by the loop, read by the worker."""

    request: Request
    prompt: tuple[int, ...]
    grammar: Any  # the compiled constraint, or None
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Reply]
    on_text: Callable[[str], None] | None
    dropped: bool = False

    def tell(self, what: Callable[..., object], *values: object) -> None:
        """Run ``what`` on the event loop, unless the answer is no longer awaited."""

        def run() -> None:
            if not self.answer.done():
                what(*values)

        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is there to be told
            self.loop.call_soon_threadsafe(run)

    def fail(self, error: NlpuError) -> None:
        self.tell(self.answer.set_exception, error)


@dataclass(eq=False, slots=True)
class _Slot:
    index: int
    held: list[int] = field(default_factory=list)  # the tokens whose KV is in the slot
    used: int = 0


@dataclass(eq=False, slots=True)
class _Row:
    job: Job
    slot: _Slot
    sampler: Sampler
    text: Text
    cached: int
    made: list[int] = field(default_factory=list)

    def next_tokens(self) -> tuple[int, ...]:
        """What the model has to read before this row can choose its next token."""
        done = len(self.slot.held)
        return self.job.prompt[done:] if not self.made else (self.made[-1],)


@dataclass(frozen=True, slots=True)
class Facts:
    """What loading found out."""

    window: int
    vocabulary: Vocabulary


class Worker:
    """Owns the thread. ``submit`` and ``stop`` may be called from any thread."""

    def __init__(
        self, directory: Path, window: int, max_in_flight: int, threads: int | None
    ) -> None:
        self.loaded: Future[Facts] = Future()
        self.loaded.set_running_or_notify_cancel()  # a waiter that gives up must not cancel it
        self._setup = (directory, max_in_flight + _SPARE, window, threads)
        self._max_rows = max_in_flight
        self._inbox: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._door = threading.Lock()  # between submit and the end of the thread
        self._last: NlpuError | None = None  # set when the thread takes no more jobs
        self._stopping = False
        self._waiting: deque[Job] = deque()
        self._rows: list[_Row] = []
        self._slots = [_Slot(index) for index in range(max_in_flight + _SPARE)]
        self._clock = 0
        self._thread = threading.Thread(target=self._run, name="nlpu-local", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        with self._door:
            if self._last is not None:
                raise self._last
            self._inbox.put(job)

    def stop(self) -> None:
        self._stopping = True
        self._inbox.put(None)

    def join(self) -> None:
        self._thread.join()

    # -- the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        last: NlpuError = Cancelled("the embedded processor was closed")
        try:
            if self._load():
                while self._receive():
                    self._safe_step()
        except BaseException as error:  # answered below; a thread has nobody to raise it to
            last = EngineDied(f"the embedded processor ended: {error!r}")
        finally:
            with self._door:
                self._last = last
            self._fail_all(last)

    def _load(self) -> bool:
        directory, slots, window, threads = self._setup
        try:
            self._model = Model(directory, slots, window, threads)
            self._vocabulary = Vocabulary(directory, self._model.vocabulary, self._model.ends)
        except Exception as error:
            known = (
                error
                if isinstance(error, NlpuError)
                else ServerFault(f"the model in {directory} cannot be loaded: {error!r}")
            )
            self.loaded.set_exception(known)
            return False
        self.loaded.set_result(Facts(self._model.window, self._vocabulary))
        return True

    def _receive(self) -> bool:
        """Take what has come; sleep if there is nothing to do. False: the end."""
        while not self._stopping:
            idle = not self._rows and not self._waiting
            try:
                job = self._inbox.get(block=idle)
            except queue.Empty:
                return True
            if job is not None:
                self._waiting.append(job)
        return False

    def _safe_step(self) -> None:
        try:
            self._step()
        except Exception as error:
            for slot in self._slots:
                slot.held.clear()  # what the failed step had written is not known
            self._fail_all(ServerFault(f"the embedded processor failed: {error!r}"))

    def _fail_all(self, error: NlpuError) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                job = self._inbox.get_nowait()
                if job is not None:
                    self._waiting.append(job)
        for job in (*(row.job for row in self._rows), *self._waiting):
            job.fail(error)
        self._rows.clear()
        self._waiting.clear()

    # -- one step -------------------------------------------------------------------------------

    def _step(self) -> None:
        self._rows = [row for row in self._rows if not row.job.dropped]
        self._admit()
        planned = self._plan()
        if not planned:
            return
        logits = self._model.forward([segment for _, segment in planned])
        lines = iter(logits)
        for row, segment in planned:
            row.slot.held.extend(segment.ids)
            if segment.last:
                self._advance(row, next(lines))

    def _plan(self) -> list[tuple[_Row, Segment]]:
        plan, room = [], STEP_TOKENS
        # Generating rows first; forward() relies on single tokens coming first.
        for row in sorted(self._rows, key=lambda row: len(row.next_tokens()) > 1):
            tokens = row.next_tokens()
            part = tokens if len(tokens) == 1 else tokens[: max(room, 0)]
            if not part:
                break
            room -= len(part)
            last = len(part) == len(tokens)
            plan.append((row, Segment(row.slot.index, len(row.slot.held), part, last)))
        plan.sort(key=lambda pair: len(pair[1].ids) > 1)
        return plan

    def _advance(self, row: _Row, logits: torch.Tensor) -> None:
        request = row.job.request
        try:
            token = row.sampler.choose(logits)
        except NlpuError as error:
            self._leave(row)
            row.job.fail(error)
            return
        row.made.append(token)
        ended = token in self._vocabulary.ends
        piece = "" if ended else row.text.add(token)
        if ended or row.text.stopped or row.sampler.complete():
            self._finish(row, piece, "stop")
        elif len(row.made) >= request.max_tokens:
            self._finish(row, piece, "length")
        elif piece and row.job.on_text is not None:
            row.job.tell(row.job.on_text, piece)

    def _finish(self, row: _Row, piece: str, finish: Finish) -> None:
        piece += row.text.end()
        if piece and row.job.on_text is not None:
            row.job.tell(row.job.on_text, piece)
        reply = Reply(
            text=row.text.whole(),
            finish=finish,
            prompt_tokens=len(row.job.prompt),
            completion_tokens=len(row.made),
            cached_tokens=row.cached,
            probabilities=row.sampler.probabilities,
        )
        self._leave(row)
        row.job.tell(row.job.answer.set_result, reply)

    def _leave(self, row: _Row) -> None:
        self._rows.remove(row)

    # -- slots ----------------------------------------------------------------------------------

    def _admit(self) -> None:
        while self._waiting and len(self._rows) < self._max_rows:
            job = self._waiting[0]
            if not job.dropped:
                if self._sooner_shared(job.prompt):
                    return
                self._start(job)
            self._waiting.popleft()  # only now: a job is always where a failure finds it (rule 4)

    def _start(self, job: Job) -> None:
        sampler = Sampler(self._vocabulary, job.request, job.grammar, self._model.torch)
        slot, cached = self._seat(job.prompt)
        text = Text(self._vocabulary, job.request.stop)
        self._rows.append(_Row(job, slot, sampler, text, cached))

    def _seat(self, prompt: tuple[int, ...]) -> tuple[_Slot, int]:
        """The free slot unused for longest, filled with the beginning that some slot holds."""
        # One token at least is read anew: its logits choose the first token.
        source = max(self._slots, key=lambda slot: _common(slot.held, prompt))
        length = min(_common(source.held, prompt), len(prompt) - 1)
        taken = {row.slot.index for row in self._rows}
        slot = min((s for s in self._slots if s.index not in taken), key=lambda s: s.used)
        if length < SHARED:
            length = 0
        elif slot is not source:
            self._model.copy(source.index, slot.index, length)
        self._clock += 1
        source.used = slot.used = self._clock
        slot.held = list(prompt[:length])
        return slot, length

    def _sooner_shared(self, prompt: tuple[int, ...]) -> bool:
        """True if a row still reading its prompt will hold more of this prompt than any does."""
        reading = [row for row in self._rows if not row.made]
        coming = max((_common(row.job.prompt, prompt) for row in reading), default=0)
        coming = min(coming, len(prompt) - 1)
        if coming < SHARED:
            return False
        held = max(_common(slot.held, prompt) for slot in self._slots)
        return coming > held


def _common(first: list[int] | tuple[int, ...], second: tuple[int, ...]) -> int:
    """Length of the common beginning."""
    length = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        length += 1
    return length
