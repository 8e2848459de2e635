"""Choices that are weighed by vLLM: how their probabilities are asked for, and how they are told.

Theory of operation
-------------------
vLLM's log-probabilities (``logprobs_mode`` raw_logprobs, its default) are those of the model, at
temperature 1 and without penalties, but behind a grammar, whose mask is on the logits before they
are kept. ``allowed_token_ids`` comes later. So a judgement has no grammar but the tokens that begin
its choices (``nlpu.engines.first_token``): ``logprob_token_ids`` asks for the share that each of
them has of the whole vocabulary, ``allowed_token_ids`` lets nothing else be said, and one token is
generated.

Which tokens these are, the local tokenizer says, or else POST /tokenize, once for all requests.

Rules
1. A server that cannot say how it cuts a text gets a grammar, and tells what the grammar left of
   its twenty likeliest tokens: probabilities without a mass.
2. One that takes no ``logprob_token_ids`` ignores them and tells its twenty likeliest tokens: the
   mass is what the choices have among these.
3. Nothing here does I/O; ``cut`` is the way to the tokenizer.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from math import exp
from typing import Any

from nlpu.engines.first_token import (
    Begun,
    Odds,
    beginnings,
    choices_of,
    odds,
    probabilities,
    spellings,
)
from nlpu.wire import Request

_ID = "token_id:"
Cut = Callable[[str], Awaitable[list[int] | None]]


async def begun_by(spec: str, cut: Cut) -> Begun:
    """Find the tokens that begin each choice; () where ``cut`` does not know."""
    choices = json.loads(spec)
    ways = [way for choice in choices for way in spellings(choice)]
    cuts = dict(zip(ways, await asyncio.gather(*map(cut, ways)), strict=True))
    if any(ids is None for ids in cuts.values()):
        return ()
    return beginnings(choices, lambda way: cuts[way] or ())


def asking(begun: Begun, whole: bool) -> tuple[tuple[str, Any], ...]:
    """The options that ask for probabilities; ``whole``: of a completion, not of a chat's turn."""
    # Twenty is the most that vLLM gives by default.
    top = (("logprobs", 20),) if whole else (("logprobs", True), ("top_logprobs", 20))
    if not begun:
        return top
    ids = tuple(one for each in begun for one in each)
    named = (("logprob_token_ids", ids), ("allowed_token_ids", ids))
    return (*top, *named, ("return_tokens_as_token_ids", True))


def told(request: Request, begun: Begun, whole: bool, logprobs: Any) -> Odds:
    """What the first token says. Raises LookupError, TypeError, ValueError or OverflowError."""
    choices = choices_of(request)
    said, first = _first(logprobs, whole)
    if not begun:
        return Odds(probabilities(choices, first))
    likely = {int(token.removeprefix(_ID)): share for token, share in first}
    drawn = int(said.removeprefix(_ID)) if request.sampling.temperature > 0 else None
    return odds(choices, begun, likely, drawn)


def _first(logprobs: Any, whole: bool) -> tuple[str, list[tuple[str, float]]]:
    """The first token, and the likeliest tokens in its place with their probabilities."""
    if whole:
        tops = list(logprobs["top_logprobs"][0].items())
        said = (logprobs.get("tokens") or [""])[0]
    else:
        place = logprobs["content"][0]
        said, tops = place.get("token", ""), [_pair(top) for top in place["top_logprobs"]]
    return said, [(token, exp(logprob)) for token, logprob in tops]


def _pair(top: Any) -> tuple[str, float]:
    return top["token"], top["logprob"]
