"""Token counts of an answer, under the names that servers give them.

Rules
1. The server's own counts are taken where they can be true, else an estimate from characters.
2. vLLM always counts; where it did not, its answer is a fault.
3. Several answers to one request are counted as one. Where they come with their tokens, each has
   its own; else the length of what they say parts the sum.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import Any

from nlpu.engines.http.encode import Dialect
from nlpu.errors import ServerFault
from nlpu.wire import Request, Usage

_CHARS_PER_TOKEN = 4
_MOST_CHARS = 12  # of a token, in any usual text
_MOST_TOKENS = 2**53
_CACHED = ("prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens")


def counts(dialect: Dialect, request: Request, text: str, usage: Any, metrics: Any = None) -> Usage:
    """What the answer took, as the server says or, where it does not, by an estimate.

    metrics: what vLLM tells of this request with ``--enable-per-request-metrics``.
    """
    completion = _any(usage, "completion_tokens", "output_tokens")
    prompt = _any(usage, "prompt_tokens", "input_tokens")
    told = completion is not None and (completion > 0 or not text or dialect.vllm)
    if prompt is not None and completion is not None and told:  # a text has tokens
        thought = min(_thought(usage), completion)
        return Usage(prompt, completion, min(_cached(usage), prompt), thought, _waited(metrics))
    if dialect.vllm:
        raise ServerFault(f"{dialect.where} gave no token counts. Look at its log.")
    size = sum(1 if isinstance(p, int) else len(p.content) for p in request.prompt)
    completion = _estimate(len(text))
    most = request.sampling.max_tokens
    if len(text) <= _MOST_CHARS * most:  # else it was not held to its limit
        completion = min(most, completion)
    return Usage(_estimate(size), completion)


def _cached(usage: dict[str, Any]) -> int:
    details = usage.get("prompt_tokens_details")
    said = details and _any(details, "cached_tokens")
    return said or _any(usage, *_CACHED) or 0


def _thought(usage: dict[str, Any]) -> int:
    details = usage.get("completion_tokens_details")
    said = details and _any(details, "reasoning_tokens")
    return said or _any(usage, "reasoning_tokens") or 0


def _waited(metrics: Any) -> int:
    """Milliseconds that the request waited at its server before it ran; 0 where it does not say."""
    said = metrics.get("queue_time_ms") if isinstance(metrics, dict) else None
    told = isinstance(said, int | float) and 0 <= said < _MOST_TOKENS
    return round(said) if told and said is not None else 0


def _any(usage: Any, *names: str) -> int | None:
    """The first of the counts that is there and can be true."""
    for name in names if isinstance(usage, dict) else ():
        said = usage.get(name)
        if type(said) is int and 0 <= said < _MOST_TOKENS:
            return said
    return None


def _estimate(chars: int) -> int:
    return -(-chars // _CHARS_PER_TOKEN)


def parted(usage: Any, choices: list[Any]) -> list[Any]:
    """The usage of an answer, parted among its choices by the length of what they say.

    The first has the prompt: it was read once. Whole where it cannot be parted.
    """
    completion = _any(usage, "completion_tokens", "output_tokens")
    if completion is None:
        return [usage] * len(choices)
    sizes = [len(ids) for ids in map(_ids, choices) if ids]
    if len(sizes) != len(choices) or sum(sizes) != completion:
        sizes = [len(str(choice)) for choice in choices]
    said = _divided(completion, sizes)
    thought = _divided(min(_thought(usage), completion), said)
    given = {k: v for k, v in usage.items() if k != "completion_tokens_details"}
    return [
        ({"prompt_tokens": 0} if n else given) | {"completion_tokens": c, "reasoning_tokens": t}
        for n, (c, t) in enumerate(zip(said, thought, strict=True))
    ]


def _ids(choice: Any) -> list[Any]:
    """The tokens that an answer came with."""
    found = choice.get("token_ids") if isinstance(choice, dict) else None
    return found if isinstance(found, list) else []


def _divided(count: int, sizes: list[int]) -> list[int]:
    """A count in whole parts, as near to what the sizes have of their sum as that can be."""
    ends = [count * end // max(1, sum(sizes)) for end in accumulate(sizes)]
    return [end - at for at, end in pairwise([0, *ends])]
