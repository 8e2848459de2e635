"""A model folder (safetensors and tokenizer.json) on this machine's GPU or CPU, as an engine.

Theory of operation
-------------------
transformers' continuous batching runs the model on a thread of its manager's and brings outputs to
the event loop (``loading.py``). The manager's list of logits processors is for all rows alike;
``_choose`` in it applies to each row's logits that row's own, and leaves but the chosen token.

Rules
1. A constraint that cannot be met fails its own request. If the manager's thread ends, all requests
   fail with EngineDied, and the next one starts it again.
2. Special tokens give no text, and under a constraint they cannot be chosen.
3. No CUDA graphs, no steps in advance: ``_choose`` comes between any two tokens of a row.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from nlpu import errors
from nlpu.checks import COUNT, PATH, check, maybe
from nlpu.engines.first_token import Beginnings, Odds, odds
from nlpu.engines.grammar import grammar_of
from nlpu.engines.loading import Job, LoadingEngine, Model
from nlpu.engines.models import ModelFiles
from nlpu.engines.parameters import PENALTIES, TRANSFORMERS, changing
from nlpu.engines.stops import settled
from nlpu.extras import adding
from nlpu.wire import Reply, Usage

_WEAKER = (
    "what else is in the batch can change a reply where two tokens are almost equally likely",
    "how much of a prompt was cached is not told",
)
_TAKES = frozenset({*TRANSFORMERS, "stop", "seed"})
NEEDS = ("torch", "transformers", "xgrammar")  # libraries of the extra
_PAGE = 32  # tokens; prompts share whole pages
_PLAIN: dict[str, Any] = {  # rule 3
    **dict.fromkeys(("use_cuda_graph", "use_async_batching", "auto_switch_to_flash"), False),
    "max_batch_tokens": 512,
}


@dataclass(eq=False, kw_only=True)
class _Row(Job):
    key: str = field(default_factory=lambda: uuid4().hex)  # ids may come again
    processors: Any = None  # of its logits; None: the likeliest token is taken
    dice: Any = None  # of its draws; None: torch's own, for all
    odds: Odds | None = None  # where its choices are weighed
    given: int = 0  # characters

    def draw(self, ids: Any, line: Any) -> Any:
        """Choose by logits; of choices that are weighed, among the tokens that begin them."""
        named, whole = [one for each in self.begun for one in each], line[0]
        if named:
            line = line.new_full(line.shape, float("-inf"))
            line[0, named] = whole[named]
        line = self.processors(ids, line)
        drawn = self.request.sampling.temperature > 0
        token = line.softmax(-1).multinomial(1, generator=self.dice) if drawn else line.argmax()
        if named:
            likely = dict(zip(named, whole.softmax(-1)[named].tolist(), strict=True))
            self.odds = odds(self.choices, self.begun, likely, int(token) if drawn else None)
        return token


class TransformersEngine(LoadingEngine[Model, _Row]):
    """A model folder run by transformers, with the model's own window or 4096 tokens of it."""

    _takes_gguf, _kind, _needs, _remedy = False, _Row, NEEDS, adding("transformers")

    def __init__(
        self, directory: str | Path, max_in_flight: int = 8, window: int | None = None
    ) -> None:
        fits = {"directory": PATH, "max_in_flight": COUNT, "window": maybe(COUNT)}
        check("TransformersEngine", locals(), fits)
        super().__init__(str(directory), window or 4096, max_in_flight)
        self._rows: dict[str, _Row] = {}

    async def _start(self, model: Model, row: _Row) -> None:
        if not self._manager.is_running():
            # A daemon's threads are daemons: a process that forgets to close the engine still ends.
            starter = threading.Thread(target=self._manager.start, daemon=True)
            starter.start()
            starter.join()
        self._rows[row.key] = row
        row.processors = await asyncio.to_thread(self._processors, row)
        most = 1 if row.choices else row.request.sampling.max_tokens
        streaming = row.on_text is not None or bool(row.request.sampling.stop)
        self._manager.register_result_handler(row.key, partial(self._hear, row))
        self._manager.add_request([*row.request.prompt], row.key, most, streaming)
        if why := self._manager.background_thread_status.can_accept_new_requests():
            row.settle(errors.EngineDied(f"{self._called} is not running: {why}"))

    def _leave(self, model: Model, row: _Row) -> None:
        if self._rows.pop(row.key, None) is not None:
            self._manager.cancel_request(row.key)
            self._manager.output_router.result_handlers.pop(row.key, None)
            self._manager.get_result(timeout=0)  # one that came too late for its handler

    def _hear(self, row: _Row, output: Any) -> None:
        if output.error is not None:
            row.settle(errors.EngineDied(f"{self._called} ended: {output.error}"))
        if row.answer.done():
            return
        made, asked, last = output.generated_tokens, row.request, output.is_finished()
        raw = b"".join(self._tokens[one] for one in made)
        text, stopped = settled(raw, asked.sampling.stop, last)
        ended: Any = "stop" if stopped or made[-1] in self._ends else "length"
        reply = Reply(text, ended, Usage(len(asked.prompt), len(made)))
        reply = reply if row.odds is None else row.odds.of(reply)
        given, row.given, later = row.given, len(reply.text), row.answer.get_loop().call_soon
        later(row.tell, reply.text[given:])  # what it raises is no other row's matter
        if last or stopped:
            later(row.settle, reply)

    def _unload(self, model: Model) -> None:
        if self._manager.is_running():
            self._manager.stop(hard_stop=True)
        atexit.unregister(self._manager.stop)

    def _opened(self, files: ModelFiles) -> Model:
        import torch
        import transformers as library
        import xgrammar

        library.utils.logging.disable_progress_bar()
        device, dtype = ("cuda", "auto") if torch.cuda.is_available() else ("cpu", "float32")
        net = library.AutoModelForCausalLM.from_pretrained(
            files.path, dtype=dtype, attn_implementation="sdpa", local_files_only=True
        ).to(device)
        tokenizer = library.AutoTokenizer.from_pretrained(files.path, local_files_only=True)
        config, ends = net.config.get_text_config(), net.generation_config.eos_token_id
        ends = ends or tokenizer.eos_token_id
        self._ends: list[int] = ends if isinstance(ends, list) else [ends]
        info = xgrammar.TokenizerInfo.from_huggingface(tokenizer, vocab_size=config.vocab_size)
        special = {at for at, one in tokenizer.added_tokens_decoder.items() if one.special}
        self._tokens = [b"" if at in special else raw for at, raw in enumerate(info.decoded_vocab)]
        info = xgrammar.TokenizerInfo(self._tokens, stop_token_ids=self._ends)  # rule 2
        self._compiler = xgrammar.GrammarCompiler(info, cache_limit_bytes=1 << 28)
        window = min(self._window, config.max_position_embeddings)
        self._manager = self._managed(library, net, window)
        facts = self._facts(files, window, files.path, weaker=_WEAKER, sampling=_TAKES)
        encode = partial(tokenizer.encode, add_special_tokens=False)
        return Model(facts, len(self._tokens), Beginnings(encode))

    def _managed(self, library: Any, net: Any, window: int) -> Any:
        # A fifth more than every row's window: below 15 % of free pages nobody is let in.
        pages = self._max_in_flight * -(-window // _PAGE) * 6 // 5 + 1
        setup = library.ContinuousBatchingConfig(
            page_size=_PAGE, num_blocks=pages, max_requests_per_batch=self._max_in_flight, **_PLAIN
        )
        steps = library.GenerationConfig(do_sample=False, eos_token_id=self._ends)
        manager = net.init_continuous_batching(steps, setup)
        manager.logit_processor.logits_processor.append(self._choose)
        manager.logit_processor.do_processing = True
        manager.warmup()  # takes the memory
        atexit.register(manager.stop, hard_stop=True)  # a daemon that computes must not see the end
        return manager

    def _processors(self, row: _Row) -> Any:
        import torch
        import transformers as library
        from xgrammar.contrib.hf import LogitsProcessor

        ask, own = row.request, library.LogitsProcessorList()
        if ask.constraint is not None and not row.choices:
            own.append(LogitsProcessor(self._compiler.compile_grammar(grammar_of(ask.constraint))))
        for name in changing(ask.sampling, TRANSFORMERS):
            if not row.choices or name not in PENALTIES:
                kind, number = TRANSFORMERS[name]
                own.append(getattr(library, kind)(number(getattr(ask.sampling, name))))
        if ask.sampling.seed is not None:
            row.dice = torch.Generator(self._manager.model.device).manual_seed(ask.sampling.seed)
        return own if own or row.choices else None

    def _choose(self, _: Any, scores: Any) -> Any:
        batch = self._manager.batch_processor.inputs_and_outputs.requests_in_batch
        for at, state in enumerate(one.state for one in batch if one.has_new_token):
            row = self._rows.get(state.request_id)
            if row is None or row.processors is None:
                continue
            ids = scores.new_tensor([state.initial_tokens + state.generated_tokens]).long()
            try:
                token = row.draw(ids, scores[at : at + 1])
            except Exception as error:  # xgrammar asserts; torch has nothing to draw from (rule 1)
                why = errors.ConstraintRejected(f"the constraint cannot be met: {error!r}")
                row.answer.get_loop().call_soon_threadsafe(row.settle, why)
                token = self._ends[0]
            scores[at] = float("-inf")
            scores[at, token] = 0.0
        return scores
