"""What the scripted server says to a request's body, and what it tells of its tokens.

The text is that of ``nlpu.testing.answers``: it depends on the prompt and the constraint alone, not
even on the request's id.
"""

from __future__ import annotations

import json
import re
from math import log
from typing import Any

from benchmarks.fake_vllm.grammar import sample
from nlpu.testing.answers import answer as said_to
from nlpu.testing.answers import hash_of, pieces
from nlpu.testing.patterns import Dice

_LETTERS = str.maketrans("0123456789", "ghijklmnop")


def prompt_of(body: dict[str, Any]) -> Any:
    return body.get("prompt", body.get("messages", ""))


def prompt_hash(body: dict[str, Any]) -> str:
    return hash_of(prompt_of(body))


def prompt_pieces(body: dict[str, Any]) -> list[Any]:
    """The prompt's tokens as this server cuts them; a message has four of its own."""
    prompt = prompt_of(body)
    if isinstance(prompt, str):
        return list(pieces(prompt))
    if prompt and isinstance(prompt[0], dict):
        parts = ([m.get("role"), "", "", "", *pieces(str(m.get("content")))] for m in prompt)
        return [piece for part in parts for piece in part]
    return list(prompt)


def limit_of(body: dict[str, Any]) -> int:
    """Most tokens to generate, under either of its names; 16 where neither is given."""
    return int(body.get("max_tokens") or body.get("max_completion_tokens") or 16)


def most_repeated(body: dict[str, Any]) -> int:
    """After how many equal tokens vLLM ends an answer; 0 where it was not asked to look."""
    asked = body.get("repetition_detection") or {}
    return int(asked.get("min_pattern_size", 0) * asked.get("min_count", 0))


def refusal_of(body: dict[str, Any]) -> str:
    """What vLLM says of a field that is not as it wants it; "" where all are."""
    told = (body.get("vllm_xargs") or {}).get("agentic_context", "")
    if not isinstance(told, str):
        return (
            "4 validation errors: body.vllm_xargs.agentic_context: Input should be a valid string"
        )
    salt = body.get("cache_salt")
    if salt is not None and (not salt or len(salt) > 128 or set(salt) & set("@/\\\0")):
        return "Parameter 'cache_salt' must be at most 128 characters and must not contain '@'."
    if body.get("thinking_token_budget") is not None:
        return (
            "thinking_token_budget is set but reasoning_config is not configured. Please set "
            "--reasoning-parser and/or --reasoning-config to use thinking_token_budget."
        )
    return ""


def constraint_of(body: dict[str, Any]) -> tuple[str, Any] | None:
    """(kind, spec) of the request's constraint, in vLLM's form or in OpenAI's."""
    for kind, spec in (body.get("structured_outputs") or {}).items():
        if kind in {"choice", "regex", "json", "grammar"}:
            return kind, json.loads(spec) if kind == "json" and isinstance(spec, str) else spec
    wanted = body.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        return "json", wanted["json_schema"]["schema"]
    return None


def answer(body: dict[str, Any]) -> str:
    """The whole text, before ``stop`` and ``max_tokens``."""
    if body.get("allowed_token_ids"):
        likely = _named(body)
        return _character(max(likely, key=lambda one: likely[one]))
    prompt, constraint = prompt_of(body), constraint_of(body)
    if constraint is not None and constraint[0] == "grammar":
        return sample(constraint[1], Dice(f"{hash_of(prompt)}/{json.dumps(constraint)}"))
    return said_to(prompt, constraint)


def full(body: dict[str, Any]) -> str | None:
    """A free text of exactly ``max_tokens`` tokens; None where the constraint is closed."""
    constraint = constraint_of(body)
    if constraint is not None and constraint[0] != "regex":
        return None
    word = re.sub(r"(.)\1\1+", r"\1\1", prompt_hash(body)[:7].translate(_LETTERS))
    return word + " again" * (limit_of(body) - 1)


def logprobs(body: dict[str, Any], parts: list[str]) -> dict[str, Any] | None:
    """The log-probabilities of a choice's first token, if asked for; what was said leads."""
    if body.get("logprob_token_ids"):
        return _told(body, {f"token_id:{one}": log(p) for one, p in _named(body).items()})
    kind, choices = constraint_of(body) or ("", [])
    if not body.get("logprobs") or kind != "choice":
        return None
    said, rest = 0.55 + Dice(prompt_hash(body)).below(40) / 100, max(1, len(choices) - 1)
    top = {one: log(said if one == "".join(parts) else (1 - said) / rest) for one in choices}
    return _told(body, top)


def _told(body: dict[str, Any], top: dict[str, float]) -> dict[str, Any]:
    """The likeliest first tokens, as completions or chats tell them."""
    said = max(top, key=lambda token: top[token])
    if "messages" not in body:
        return {"tokens": [said], "top_logprobs": [top]}
    listed = [{"token": token, "logprob": chance} for token, chance in top.items()]
    return {"content": [{"token": said, "top_logprobs": listed}]}


def _named(body: dict[str, Any]) -> dict[int, float]:
    """The probabilities of the tokens that a request names: between them, a part of the whole."""
    dice = Dice(prompt_hash(body))
    weights = {one: 1 + dice.below(99) for one in body["logprob_token_ids"]}
    mass = (50 + dice.below(49)) / 100
    return {one: mass * weight / sum(weights.values()) for one, weight in weights.items()}


def _character(token: int) -> str:
    """The text of a token, where tokens are characters."""
    return chr(token) if token < 0xD800 else "?"
