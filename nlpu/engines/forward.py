"""One forward pass over many rows at once: the model, its KV memory, and a step's attention.

Theory of operation
-------------------
A *slot* is KV memory for one window of tokens. A *segment* is some next tokens of one slot: one
token of a row that is generating, or a piece of a prompt. A step lays the tokens of all its
segments side by side as one sequence, so that the matrix products, which are nearly all the work,
run once for all of them; the weights are read from memory once a step, and generating rides along
with reading prompts. Only attention knows segments: it stores each one's keys and values in its
slot and attends within that slot. transformers runs the model; attention is the one function
registered with it.

Rules
1. KV is written in place into memory allocated once; nothing is copied or padded to grow.
2. float32 throughout: without bf16 instructions, bf16 products are 2 to 7 times slower from 4
   tokens on, and at float32 near-ties are rare enough for a row to give the same text in any batch.
3. Only models whose every layer attends to the whole window; others are refused when loaded.
4. Scheduling, sampling and text are not in here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpu.errors import MissingPart, UnknownProcessor

if TYPE_CHECKING:
    import torch

_ATTENTION = "nlpu_slots"


@dataclass(frozen=True, slots=True)
class Segment:
    """``ids`` are the tokens at positions ``start`` and on of ``slot``; ``last`` asks for the
    logits after its last token."""

    slot: int
    start: int
    ids: tuple[int, ...]
    last: bool


@dataclass(slots=True)
class _Step:
    """What attention needs to know in one pass; ``masks`` holds one for each longer segment."""

    model: Model
    segments: list[Segment]
    singles: int
    slots: torch.Tensor
    positions: torch.Tensor
    masks: list[torch.Tensor]


class Model:
    """A causal language model with ``slots`` KV slots. Used from one thread only."""

    def __init__(self, directory: Path, slots: int, window: int, threads: int | None) -> None:
        torch, transformers = libraries()
        torch.set_num_threads(threads or _cores())
        self.torch: Any = torch
        self.net: Any = transformers.AutoModelForCausalLM.from_pretrained(
            directory,
            dtype=torch.float32,
            attn_implementation=_ATTENTION,
            local_files_only=True,
        ).eval()
        config = self.net.config
        _refuse_partial_attention(config, directory)
        self.window = min(window, config.max_position_embeddings)
        self.vocabulary: int = config.vocab_size
        self.ends = _ends(self.net.generation_config)
        width = (
            getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        )
        shape = (slots, config.num_key_value_heads, self.window, width)
        # empty: the system provides the memory page by page as positions are written.
        self.keys = [torch.empty(shape) for _ in range(config.num_hidden_layers)]
        self.values = [torch.empty(shape) for _ in range(config.num_hidden_layers)]
        self._groups = config.num_attention_heads // config.num_key_value_heads
        # A 4D mask is passed through by transformers untouched; ours ignores it.
        self._no_mask = torch.empty(1, 1, 1, 1)

    def forward(self, segments: list[Segment]) -> torch.Tensor:
        """Logits (one line for each segment with ``last``); single-token segments come first."""
        torch = self.torch
        ids = [token for segment in segments for token in segment.ids]
        spans = [range(s.start, s.start + len(s.ids)) for s in segments]
        ends, wanted = 0, []
        for segment in segments:
            ends += len(segment.ids)
            if segment.last:
                wanted.append(ends - 1)
        with torch.inference_mode():
            out = self.net(
                input_ids=torch.tensor([ids]),
                position_ids=torch.tensor([[place for span in spans for place in span]]),
                attention_mask=self._no_mask,
                use_cache=False,
                logits_to_keep=torch.tensor(wanted, dtype=torch.long),
                nlpu_step=self._step(segments),
            )
        return out.logits[0]

    def copy(self, source: int, target: int, length: int) -> None:
        """Give ``target`` the first ``length`` positions of ``source``."""
        for memory in (*self.keys, *self.values):
            memory[target, :, :length].copy_(memory[source, :, :length])

    def _step(self, segments: list[Segment]) -> _Step:
        torch = self.torch
        singles = [s for s in segments if len(s.ids) == 1]
        return _Step(
            model=self,
            segments=segments,
            singles=len(singles),
            slots=torch.tensor([s.slot for s in singles], dtype=torch.long),
            positions=torch.tensor([s.start for s in singles], dtype=torch.long),
            masks=[self._mask(s) for s in segments if len(s.ids) > 1],
        )

    def _mask(self, segment: Segment) -> torch.Tensor:
        """Each token sees its past. Query heads that share a key head are stacked as more
        queries, so the mask repeats for them."""
        torch = self.torch
        end = segment.start + len(segment.ids)
        sees = torch.arange(end)[None] <= torch.arange(segment.start, end)[:, None]
        return sees.repeat(self._groups, 1)


def _attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: object,
    *,
    nlpu_step: _Step,
    scaling: float | None = None,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """transformers' attention interface: (1, heads, tokens, width) to (1, tokens, heads, width)."""
    step = nlpu_step
    keys, values = step.model.keys[module.layer_idx], step.model.values[module.layer_idx]
    heads, tokens, width = query.shape[1:]
    shared = keys.shape[1]
    attend = step.model.torch.nn.functional.scaled_dot_product_attention
    out = query.new_empty(tokens, heads, width)
    if step.singles:  # one scattered write for all of them
        keys[step.slots, :, step.positions] = key[0, :, : step.singles].transpose(0, 1)
        values[step.slots, :, step.positions] = value[0, :, : step.singles].transpose(0, 1)
    at, masks = 0, iter(step.masks)
    for segment in step.segments:
        size = len(segment.ids)
        here, slot, end = slice(at, at + size), segment.slot, segment.start + size
        mask = None
        if size > 1:
            mask = next(masks)
            keys[slot, :, segment.start : end] = key[0, :, here]
            values[slot, :, segment.start : end] = value[0, :, here]
        asks = query[:, :, here].reshape(1, shared, -1, width)
        gives = attend(
            asks,
            keys[slot : slot + 1, :, :end],
            values[slot : slot + 1, :, :end],
            attn_mask=mask,
            scale=scaling,
        )
        out[here] = gives.view(heads, size, width).transpose(0, 1)
        at += size
    return out[None], None


def libraries() -> tuple[Any, Any]:
    """torch and transformers, set up. Raises MissingPart."""
    # Here and not above: seconds of loading that only an opened engine needs. On a busy machine
    # OpenMP threads that spin while they wait make each product up to fifty times slower than
    # ones that sleep, so they sleep unless the environment says otherwise; it is read once, when
    # torch loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        import torch
        import transformers
    except ImportError as error:
        raise MissingPart(
            f"the embedded processor needs {error.name}: install nlpu[local], or name a server"
        ) from error
    transformers.utils.logging.disable_progress_bar()
    transformers.AttentionInterface.register(_ATTENTION, _attention)
    return torch, transformers


def _cores() -> int:
    """Those this process may use, where the system tells (macOS does not)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _ends(config: Any) -> frozenset[int]:
    ends = config.eos_token_id
    return frozenset() if ends is None else frozenset([ends] if isinstance(ends, int) else ends)


def _refuse_partial_attention(config: Any, directory: Path) -> None:
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if kinds != {"full_attention"} or getattr(config, "sliding_window", None):
        raise UnknownProcessor(
            f"the model in {directory} has layers that do not attend to the whole window; the "
            f"embedded processor cannot run it: serve it and name the server"
        )
