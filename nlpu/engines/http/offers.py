"""What a server takes beyond what all of its kind do, by its own word, and what it is then sent.

Theory of operation
-------------------
vLLM describes its requests at GET /openapi.json, field by field. What is named there is sent where
it helps, so an older server, one that keeps its description to itself, or one behind a proxy gets
the request that it always got.

    repetition_detection   ends an answer that only repeats itself: free texts and lists of such
    return_token_ids       with several answers to one request: what each of them took
    cache_salt             keeps the cached prompts of one label apart from another's, if asked for

Rules
1. Nothing here changes what an answer says, but where it ends that would have no end.
2. Numerals, choices and lists of these may repeat a token as often as they like: no detection.
3. An op's own field (``extra``) is left as it is.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any

from nlpu.engines.http.body import parsed
from nlpu.wire import Constraint

FIELDS = frozenset({"repetition_detection", "return_token_ids", "cache_salt"})
# Sixteen tokens that come eight times are 128 of one period, whatever that is: each of up to 16
# has a multiple between 16 and 31. Answers that may be no longer than twice that end soon anyhow.
REPETITION = {"min_pattern_size": 16, "max_pattern_size": 64, "min_count": 8}
_SHORT = 256  # tokens
_CLOSED = ("enum", "const", "pattern")
_NUMERALS = {"integer", "number"}


async def offered(
    ask: Callable[..., Awaitable[tuple[int, bytes, Any]]], tokens: bool
) -> frozenset[str]:
    """The fields that the server names; ``tokens``: of completions, else of chats."""
    status, body, _ = await ask("GET", "openapi.json")
    if status != 200:
        return frozenset()
    name = "CompletionRequest" if tokens else "ChatCompletionRequest"
    try:
        named = parsed(body)["components"]["schemas"][name]["properties"]
        return FIELDS.intersection(named)
    except (ValueError, LookupError, TypeError):
        return frozenset()


def ended_early(max_tokens: int, constraint: Constraint | None) -> bool:
    """Whether an answer may be ended because it repeats itself (rule 2)."""
    if max_tokens <= _SHORT:
        return False
    return constraint is None or (constraint.kind == "json" and _is_of_texts(constraint.spec))


@lru_cache(maxsize=512)
def _is_of_texts(spec: str) -> bool:
    try:
        schema = json.loads(spec)
    except ValueError:
        return False  # the grammar complains of it
    parts = list(_parts(schema))
    numerals = any(_NUMERALS.intersection(_types(part)) for part in parts)
    closed = any(name in part for part in parts for name in _CLOSED)
    return not numerals and not closed and any("string" in _types(part) for part in parts)


def _types(part: dict[str, Any]) -> list[Any]:
    kind = part.get("type")
    return kind if isinstance(kind, list) else [kind]


def _parts(value: Any) -> Any:
    """Every object in a schema, itself included."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _parts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _parts(inner)
