"""What one request of the embedded processor has said so far, and the reply that it becomes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

from nlpu.wire import Finish, Reply, Usage


@dataclass(slots=True)
class Heard:
    """What one request has said so far."""

    text: list[str] = field(default_factory=list)
    said: int | None = None  # the first token, where likely ones are told
    first: list[dict[str, Any]] = field(default_factory=list)  # likely first tokens
    finish: str | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    error: dict[str, Any] | None = None

    def take(self, event: dict[str, Any]) -> str:
        """The new text of an event of llama.cpp's server."""
        self.error = event.get("error", self.error)
        self.usage = event.get("usage", self.usage)
        if not event.get("choices"):
            return ""
        said = event["choices"][0]
        self.finish = said["finish_reason"] or self.finish
        if said["logprobs"] and not self.first:
            token = said["logprobs"]["content"][0]
            self.said, self.first = token["id"], token["top_logprobs"]
        piece: str = said["text"]
        self.text.append(piece)
        return piece

    def hear(self, event: dict[str, Any]) -> bool:
        """Take an event and ask for the next."""
        self.take(event)
        return False

    def reply(self) -> Reply:
        """The whole reply, once it has a finish."""
        return Reply(
            text="".join(self.text),
            finish=cast(Finish, self.finish),
            usage=Usage(
                self.usage["prompt_tokens"],
                self.usage["completion_tokens"],
                self.usage["prompt_tokens_details"]["cached_tokens"],
            ),
        )
