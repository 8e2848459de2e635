"""What the scripted server says: a text that depends on the request only, and obeys its constraint.

Theory of operation
-------------------
The words come from a stream of numbers drawn from a hash of the prompt (``Dice``). A choice is
rolled, a JSON schema is answered by examples.py, a regular expression by example_patterns.py.

Rules
1. Same prompt and constraint, same answer; nothing else counts, not even the request's id.
2. One piece is one token, in prompts given as text and in answers: ``pieces`` cuts both. It is cut
   as real tokenizers cut: up to eight ASCII letters, with the blank before them; each other letter,
   and each of three and more equal ones; each digit; up to three signs in a row, with the blank
   before them; each run of other blanks. A token of English prose has about four characters, of
   JSON two to three.
3. A schema or expression that is not understood is ConstraintRejected, never an invalid answer.
"""

from __future__ import annotations

import hashlib
import json
import re
from math import log
from typing import Any

from nlpu.testing.examples import example
from nlpu.testing.grammar import sample
from nlpu.testing.patterns import Dice, match

_PIECE = re.compile(r" ?[A-Za-z]{1,8}|\d| ?[^\w\s]{1,3}|[^\W\dA-Za-z]|\s+")
_RUN = re.compile(r"([A-Za-z])\1\1+")
_LETTERS = str.maketrans("0123456789", "ghijklmnop")


def pieces(text: str) -> list[str]:
    """Cut a text into what is counted as its tokens (rule 2)."""
    found: list[str] = []
    start = 0
    for run in _RUN.finditer(text):  # no word has them: who writes one means its length
        found += [*_PIECE.findall(text, start, run.start()), *run[0]]
        start = run.end()
    return found + _PIECE.findall(text, start)


def prompt_of(body: dict[str, Any]) -> Any:
    return body.get("prompt", body.get("messages", ""))


def prompt_hash(body: dict[str, Any]) -> str:
    prompt = json.dumps(prompt_of(body), separators=(",", ":"))
    return hashlib.sha256(prompt.encode()).hexdigest()[:16]


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
    constraint = constraint_of(body)
    dice = Dice(f"{prompt_hash(body)}/{json.dumps(constraint)}")
    if body.get("allowed_token_ids"):
        likely = _named(body)
        return _character(max(likely, key=lambda one: likely[one]))
    if constraint is None:
        return dice.words(dice.between(4, 24)) + "."
    kind, spec = constraint
    if kind == "choice":
        return str(spec[dice.below(len(spec))])
    if kind == "regex":
        return match(spec, dice)
    if kind == "grammar":
        return sample(spec, dice)
    return json.dumps(example(spec, dice), separators=(",", ":"), ensure_ascii=False)


def full(body: dict[str, Any]) -> str | None:
    """A free text of exactly ``max_tokens`` tokens; None where the constraint is closed."""
    constraint = constraint_of(body)
    if constraint is not None and constraint[0] != "regex":
        return None
    word = _RUN.sub(r"\1\1", prompt_hash(body)[:7].translate(_LETTERS))
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
