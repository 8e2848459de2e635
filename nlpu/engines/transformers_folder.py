"""A model folder (safetensors and tokenizer.json) on this machine's GPU or CPU, as an engine.

Theory of operation
-------------------
transformers' continuous batching runs the model on a thread of its manager's and brings outputs to
the event loop. The manager's list of logits processors is for all rows alike; ``_choose`` in it
applies to each row's logits that row's own ones, and leaves nothing but the chosen token.

Rules
1. Nothing heavy is imported before ``capabilities`` or ``send``; loading happens on a thread.
2. A constraint that cannot be met fails its own request. If the manager's thread ends, all requests
   fail with EngineDied, and the next one starts it again.
3. Special tokens give no text, and under a constraint they cannot be chosen.
4. No CUDA graphs, no steps in advance: ``_choose`` comes between any two tokens of a row.
"""

from __future__ import annotations

import asyncio
import atexit
import itertools
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from nlpu import errors
from nlpu.checks import COUNT, PATH, check, maybe
from nlpu.engines.grammar import grammar_of
from nlpu.engines.models import fetch_model
from nlpu.engines.models.files import check_folder
from nlpu.extras import adding
from nlpu.judgement import Begun, beginnings, chosen, likeliest, shares
from nlpu.wire import Capabilities, Reply, Request, Usage

_WEAKER = (
    "what else is in the batch can change a reply where two tokens are almost equally likely",
    "how much of a prompt was cached is not told",
)
_TAKES = frozenset({"temperature", "top_p", "top_k", "min_p", "repetition_penalty", "stop", "seed"})
_PAGE, _STEP = 32, 512  # tokens: prompts share whole pages; a step reads no more than this


@dataclass(eq=False, slots=True)
class _Row:
    request: Request
    inbox: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)
    processors: Any = None  # of its logits; None: the likeliest token is taken
    choices: tuple[str, ...] = ()  # that are weighed, by one token
    begun: Begun = ()
    dice: Any = None  # of its draws, where it has a seed
    chances: tuple[float, ...] = ()
    mass: float | None = None
    error: errors.NlpuError | None = None


class TransformersEngine:
    """A model folder run by transformers, with the model's own window or 4096 tokens of it."""

    def __init__(
        self, directory: str | Path, max_in_flight: int = 8, window: int | None = None
    ) -> None:
        fits = {"directory": PATH, "max_in_flight": COUNT, "window": maybe(COUNT)}
        check("TransformersEngine", locals(), fits)
        self._place, self._many, self._window = Path(directory), max_in_flight, window or 4096
        self._loading: asyncio.Future[None] | None = None
        self._rows: dict[str, _Row] = {}
        self._numbers, self._closed = itertools.count(), False

    async def capabilities(self) -> Capabilities:
        """Load the model and say what it can do."""
        await self._ready()
        place = self._place.resolve()
        return Capabilities(
            place.name,
            self._window,
            self._many,
            tokenizer=str(place),
            weaker=_WEAKER,
            probabilities=True,
            sampling=_TAKES,
        )

    async def send(self, request: Request, on_text: Callable[[str], None] | None = None) -> Reply:
        """Generate one reply; ``on_text`` is called on the event loop's thread."""
        await self._ready()
        self._check(request)
        row, key = _Row(request), f"{request.id}#{next(self._numbers)}"  # ids may come again
        streaming = on_text is not None or bool(request.sampling.stop)
        self._rows[key] = row
        try:
            row.processors = await asyncio.to_thread(self._processors, row)
            self._manager.register_result_handler(key, row.inbox.put_nowait)
            most = 1 if row.choices else request.sampling.max_tokens
            self._manager.add_request([*request.prompt], key, most, streaming)
            if why := self._manager.background_thread_status.can_accept_new_requests():
                raise row.error or errors.EngineDied(f"{self._place} is not running: {why}")
            return await self._reply(row, on_text or (lambda piece: None))
        finally:
            del self._rows[key]
            self._manager.cancel_request(key)
            self._manager.output_router.result_handlers.pop(key, None)
            self._manager.get_result(timeout=0)  # one that came too late for its handler

    async def _reply(self, row: _Row, on_text: Callable[[str], None]) -> Reply:
        text, stops = "", row.request.sampling.stop
        while True:
            output = await row.inbox.get()
            if row.error is not None or output.error is not None:
                raise row.error or errors.EngineDied(f"{self._place} ended: {output.error}")
            made, last, given = output.generated_tokens, output.is_finished(), len(text)
            text, stopped = _text(b"".join(self._tokens[one] for one in made), stops, last)
            if row.choices:
                text, stopped = _choice(row, made[0]), True
            if text[given:]:
                on_text(text[given:])
            if last or stopped:
                ended: Any = "stop" if stopped or made[-1] in self._ends else "length"
                took = Usage(len(row.request.prompt), len(made))
                return Reply(text, ended, took, probabilities=row.chances, mass=row.mass)

    def cancel(self, request_id: str) -> None:
        """Stop a request; its ``send`` raises Cancelled."""
        for row in self._rows.values():
            if row.request.id == request_id:
                row.error = errors.Cancelled(f"request {request_id} was cancelled")
                row.inbox.put_nowait(None)

    async def close(self) -> None:
        """Cancel what runs and end the manager's thread."""
        self._closed, loading, self._loading = True, self._loading, None
        for row in self._rows.values():
            self.cancel(row.request.id)
        if loading is not None and not (await asyncio.wait([loading]))[0].pop().exception():
            await asyncio.to_thread(self._manager.stop, hard_stop=True)
            atexit.unregister(self._manager.stop)

    async def _ready(self) -> None:
        if self._loading is None and not self._closed:
            self._loading = asyncio.ensure_future(asyncio.to_thread(self._load))
        if self._loading is not None:
            await asyncio.shield(self._loading)
        if self._closed:
            raise errors.Cancelled(f"the engine of {self._place} was closed")
        if not self._manager.is_running():
            # A daemon's threads are daemons: a process that forgets to close the engine still ends.
            starter = threading.Thread(target=self._manager.start, daemon=True)
            starter.start()
            starter.join()

    def _check(self, request: Request) -> None:
        size, ids = len(self._tokens), request.prompt
        if not ids or any(not isinstance(one, int) or not 0 <= one < size for one in ids):
            raise errors.BadOperand(f"a prompt has to be token ids, here from 0 to {size - 1}")
        needed, room = len(ids) + request.sampling.max_tokens, self._window
        if needed > room or request.sampling.max_tokens < 1:
            said = f"the request needs {needed} tokens, the window has {room}; split the text"
            raise errors.DoesNotFit(said, needed, room)

    def _load(self) -> None:
        if not self._place.exists():  # a name of the hub, then
            self._place = fetch_model(str(self._place)).path
        check_folder(self._place)
        try:
            self._manager: Any = self._managed(self._model())
        except ImportError as error:
            said = f"model folders need {error.name}: {adding('transformers')}"
            raise errors.MissingPart(said) from error
        except Exception as error:
            said = f"the model in {self._place} cannot be run: {error}"
            raise errors.UnknownProcessor(said) from error

    def _model(self) -> Any:
        import torch
        import transformers as library
        import xgrammar

        library.utils.logging.disable_progress_bar()
        device, dtype = ("cuda", "auto") if torch.cuda.is_available() else ("cpu", "float32")
        self._device = device
        model = library.AutoModelForCausalLM.from_pretrained(
            self._place, dtype=dtype, attn_implementation="sdpa", local_files_only=True
        ).to(device)
        tokenizer = library.AutoTokenizer.from_pretrained(self._place, local_files_only=True)
        self._tokenizer: Any = tokenizer
        ends = model.generation_config.eos_token_id or tokenizer.eos_token_id
        self._ends: list[int] = ends if isinstance(ends, list) else [ends]
        size, special = model.config.get_text_config().vocab_size, tokenizer.added_tokens_decoder
        info = xgrammar.TokenizerInfo.from_huggingface(tokenizer, vocab_size=size)
        hidden = {at for at, token in special.items() if token.special}  # rule 3
        self._tokens = [b"" if at in hidden else raw for at, raw in enumerate(info.decoded_vocab)]
        info = xgrammar.TokenizerInfo(self._tokens, stop_token_ids=self._ends)
        self._compiler = xgrammar.GrammarCompiler(info, cache_limit_bytes=1 << 28)
        return model

    def _managed(self, model: Any) -> Any:
        from transformers import ContinuousBatchingConfig, GenerationConfig

        self._window = min(self._window, model.config.get_text_config().max_position_embeddings)
        # A fifth more than every row's window: below 15 % of free pages nobody is let in.
        pages = self._many * -(-self._window // _PAGE) * 6 // 5 + 1
        manager = model.init_continuous_batching(
            GenerationConfig(do_sample=False, eos_token_id=self._ends),
            ContinuousBatchingConfig(
                page_size=_PAGE,
                num_blocks=pages,
                max_batch_tokens=_STEP,
                use_cuda_graph=False,
                max_requests_per_batch=self._many,
                use_async_batching=False,
                auto_switch_to_flash=False,
            ),
        )
        manager.logit_processor.logits_processor.append(self._choose)
        manager.logit_processor.do_processing = True
        manager.warmup()  # takes the memory
        atexit.register(manager.stop, hard_stop=True)  # a daemon that computes must not see the end
        return manager

    def _processors(self, row: _Row) -> Any:
        import transformers as library
        from xgrammar.contrib.hf import LogitsProcessor

        ask, own = row.request, library.LogitsProcessorList()
        if ask.constraint is not None and ask.probabilities:
            row.choices = tuple(json.loads(ask.constraint.spec))
            row.begun = self._begun(row.choices)
            own.append(partial(_weigh, row))
        elif ask.constraint is not None:
            own.append(LogitsProcessor(self._compiler.compile_grammar(grammar_of(ask.constraint))))
        how = ask.sampling
        if how.repetition_penalty != 1 and not row.choices:
            own.append(library.RepetitionPenaltyLogitsProcessor(float(how.repetition_penalty)))
        if how.temperature > 0:
            own.append(library.TemperatureLogitsWarper(float(how.temperature)))
            own += [library.MinPLogitsWarper(float(how.min_p))] if how.min_p else []
            own += [library.TopKLogitsWarper(how.top_k)] if how.top_k else []
            own.append(library.TopPLogitsWarper(float(how.top_p)))
            row.dice = self._dice(how.seed)
        return own or None

    def _dice(self, seed: int | None) -> Any:
        """What draws a row's tokens; torch's own for all where no seed was given."""
        import torch

        return None if seed is None else torch.Generator(self._device).manual_seed(seed)

    def _begun(self, choices: tuple[str, ...]) -> Begun:
        begun = beginnings(choices, partial(self._tokenizer.encode, add_special_tokens=False))
        if not begun:
            raise errors.ConstraintRejected(
                f"of the choices {', '.join(choices)} two begin with the same token of this model: "
                "name them with other words"
            )
        return begun

    def _choose(self, _: Any, scores: Any) -> Any:
        batch = self._manager.batch_processor.inputs_and_outputs.requests_in_batch
        for at, state in enumerate(one.state for one in batch if one.has_new_token):
            row = self._rows.get(state.request_id)
            if row is None or row.processors is None:
                continue
            ids = scores.new_tensor([state.initial_tokens + state.generated_tokens]).long()
            try:
                line = row.processors(ids, scores[at : at + 1])
                drawn = row.request.sampling.temperature > 0
                chances = line.softmax(-1)
                token = chances.multinomial(1, generator=row.dice) if drawn else line.argmax()
            except Exception as error:  # xgrammar asserts; torch has nothing to draw from (rule 2)
                row.error = errors.ConstraintRejected(f"the constraint cannot be met: {error!r}")
                token = self._ends[0]
            scores[at] = float("-inf")
            scores[at, token] = 0.0
        return scores


def _weigh(row: _Row, _: Any, line: Any) -> Any:
    """Keep what the tokens that begin the choices have of the whole, and mask all others."""
    whole = line[0].softmax(-1)
    named = [one for each in row.begun for one in each]
    row.chances, row.mass = shares(row.begun, {one: float(whole[one]) for one in named})
    masked = line.new_full(line.shape, float("-inf"))
    masked[0, named] = line[0, named]
    return masked


def _choice(row: _Row, token: int) -> str:
    if row.request.sampling.temperature == 0 and row.chances:
        return likeliest(row.choices, row.chances)
    return chosen(row.choices, row.begun, token)


def _text(raw: bytes, stops: Sequence[str], last: bool) -> tuple[str, bool]:
    """Decode what cannot change any more; True if a stop string has ended it."""
    text = raw.decode(errors="replace")
    if hits := [at for stop in stops if (at := text.find(stop)) >= 0]:
        return text[: min(hits)], True
    # Half a character, or half a stop string, waits for the rest.
    sure = len(text.rstrip("\ufffd")) - max(map(len, stops), default=1) + 1
    return text if last else text[: max(0, sure)], False
