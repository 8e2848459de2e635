"""What a call took, as its node keeps it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Cost:
    """What one call took. Tokens as the engine counts them; seconds on the computer's clock."""

    attempts: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    thinking_tokens: int = 0
    wasted_tokens: int = 0
    queue_s: float = 0.0
    service_s: float = 0.0
    start_s: float = 0.0
    money: float = 0.0
    how: str = "made"  # made | reused (from the journal) | shared (with an equal call) | driven
    trimmed: bool = False
    knocks: int = 0  # attempts on a server that was down
    refused: int = 0  # attempts that a server had no room for
    again: int = 0  # replies that were no result, and were asked for again
    unsent: int = 0  # 1 until the last of these is sent: a budget may never let it
