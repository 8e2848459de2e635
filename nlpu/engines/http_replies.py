"""What comes back from an OpenAI-compatible server, whole or in a stream, as a ``Reply``.

Theory of operation
-------------------
``read_reply`` reads one JSON object. ``StreamReader`` is fed the bytes of server-sent events as
they come, gives the new text each time, and the same Reply in the end.

Rules
1. An answer is whole: text that is a string, a finish of ours, token counts. Else it is a fault.
2. A stream's pieces, joined, are the text of its Reply; where the bytes are cut changes nothing.
3. An answer that ``http_wire`` wrapped is unwrapped here, a number in the digits it was written in.
4. Nothing here does I/O.
"""

from __future__ import annotations

import json
from contextlib import suppress
from math import exp
from typing import Any

from nlpu.engines import http_errors as errors
from nlpu.engines.http_wire import Dialect
from nlpu.errors import ServerFault
from nlpu.judgement import probabilities
from nlpu.wire import Finish, Reply, Request

_FINISH: dict[str, Finish] = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "length": "length",
}
_CHARS_PER_TOKEN = 4
_NO_ANSWER = (LookupError, TypeError, AttributeError)  # from reading JSON of another shape
_MOST_TOKENS = 2**53


def read_reply(dialect: Dialect, request: Request, body: bytes) -> Reply:
    """The Reply in a whole answer of status 200."""
    answer = _load(dialect, body)
    if answer.get("error"):
        raise _said(dialect, request, answer["error"])
    try:
        choice = answer["choices"][0]
        part = choice if dialect.tokens else choice["message"] or {}
        text = part.get("text" if dialect.tokens else "content")
        thinking = part.get("reasoning") or part.get("reasoning_content") or ""
        finish, logprobs = choice.get("finish_reason"), choice.get("logprobs")
    except _NO_ANSWER:
        raise errors.no_answer(dialect.where, body, dialect.secret) from None
    if text is None and thinking:  # it was still thinking when its tokens ran out
        text = ""
    return _reply(dialect, request, (text, thinking, finish, logprobs), answer.get("usage"))


def _load(dialect: Dialect, body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        raise errors.no_answer(dialect.where, body, dialect.secret) from None
    if not isinstance(answer, dict):
        raise errors.no_answer(dialect.where, body, dialect.secret)
    return answer


def _said(dialect: Dialect, request: Request, error: Any) -> Exception:
    return errors.from_error(dialect.where, error, request, dialect.window, dialect.secret)


def _reply(
    dialect: Dialect, request: Request, said: tuple[Any, Any, Any, Any], usage: Any
) -> Reply:
    """``said`` is (text, thinking, finish reason, log-probabilities)."""
    text, thinking, finish, logprobs = said
    if not isinstance(text, str) or not isinstance(thinking, str):
        raise ServerFault(
            f"{dialect.where} answered without text (finish: {finish})."
            " Try again; if it stays, the server cannot serve plain completions."
        )
    if not isinstance(finish, str) or finish not in _FINISH:
        raise ServerFault(
            f"{dialect.where} broke the generation off (finish: {finish}). Try again."
        )
    if wraps_answer(dialect, request):
        text = _unwrapped(text)
    prompt, completion, cached, thought = _counts(dialect, request, text + thinking, usage)
    likely = _probabilities(dialect, request, logprobs) if request.probabilities else ()
    return Reply(text, _FINISH[finish], prompt, completion, cached, thinking, thought, likely)


def _probabilities(dialect: Dialect, request: Request, logprobs: Any) -> tuple[float, ...]:
    """How likely each choice was, from the most likely first tokens."""
    assert request.constraint is not None
    found: tuple[float, ...] = ()
    with suppress(LookupError, TypeError, AttributeError, OverflowError):  # then it told nothing
        if dialect.tokens:
            first = list(logprobs["top_logprobs"][0].items())
        else:
            tops = logprobs["content"][0]["top_logprobs"]
            first = [(top["token"], top["logprob"]) for top in tops]
        shares = [(token, exp(logprob)) for token, logprob in first]
        found = probabilities(json.loads(request.constraint.spec), shares)
    if not found:
        raise ServerFault(
            f"{dialect.where} did not tell how likely the choices were."
            " Start it without limits on logprobs, or use a result of type bool."
        )
    return found


def wraps_answer(dialect: Dialect, request: Request) -> bool:
    constraint = request.constraint
    return not dialect.vllm and constraint is not None and constraint.kind != "json"


def _unwrapped(text: str) -> str:
    """What is inside ``{"answer": ...}``; as it came, if the server ignored the format."""
    try:
        answer = json.loads(text, parse_int=str, parse_float=str)["answer"]
    except (ValueError, KeyError, TypeError):
        return text
    return answer if isinstance(answer, str) else text


def _counts(dialect: Dialect, request: Request, text: str, usage: Any) -> tuple[int, int, int, int]:
    """(prompt, completion, cached, thinking) tokens: the server's own, else an upper estimate."""
    prompt, completion = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    if prompt is not None and completion is not None:
        cached = _count(usage, "prompt_tokens_details", "cached_tokens") or 0
        thought = _count(usage, "completion_tokens_details", "reasoning_tokens") or 0
        return prompt, completion, min(cached, prompt), thought
    if dialect.vllm:
        raise ServerFault(f"{dialect.where} gave no token counts. Look at its log.")
    size = sum(1 if isinstance(p, int) else len(p.content) for p in request.prompt)
    return _estimate(size), min(request.max_tokens, _estimate(len(text))), 0, 0


def _count(usage: Any, *path: str) -> int | None:
    """The count at that place of the usage, if there is one and it can be true."""
    for name in path:
        usage = usage.get(name) if isinstance(usage, dict) else None
    return usage if type(usage) is int and 0 <= usage < _MOST_TOKENS else None


def _estimate(chars: int) -> int:
    return -(-chars // _CHARS_PER_TOKEN)


class StreamReader:
    """Reads server-sent events of one generation. Feed it bytes; it gives the new text."""

    def __init__(self, dialect: Dialect, request: Request) -> None:
        self._dialect = dialect
        self._request = request
        self._rest = b""
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._finish: str | None = None
        self._usage: Any = None
        self._logprobs: Any = None
        self.done = False

    def feed(self, data: bytes) -> str:
        """The text in ``data``, together with what was left over of the bytes before it."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        fresh = [self._event(line[5:].strip()) for line in lines if line.startswith(b"data:")]
        text = "".join(fresh)
        if text:
            self._text.append(text)
        return text

    def _event(self, data: bytes) -> str:
        if data == b"[DONE]":
            self.done = True
            return ""
        event = _load(self._dialect, data)
        if event.get("error"):
            raise _said(self._dialect, self._request, event["error"])
        self._usage = event.get("usage") or self._usage
        choices = event.get("choices")
        try:
            return self._piece(choices[0]) if choices else ""
        except _NO_ANSWER:
            raise errors.no_answer(self._dialect.where, data, self._dialect.secret) from None

    def _piece(self, choice: dict[str, Any]) -> str:
        """The new text; adding "" is a TypeError where it is none."""
        self._finish = choice.get("finish_reason") or self._finish
        self._logprobs = self._logprobs or choice.get("logprobs")  # those of the first token
        if self._dialect.tokens:
            return "" + (choice.get("text") or "")
        delta = choice.get("delta") or {}
        thinking = delta.get("reasoning") or delta.get("reasoning_content")
        if thinking:
            self._thinking.append("" + thinking)
        return "" + (delta.get("content") or "")

    def finish(self) -> Reply:
        """The whole Reply. A stream without a finish reason was cut."""
        if self._finish is None or (self._dialect.vllm and not self.done):
            raise errors.cut(self._dialect.where)
        said = ("".join(self._text), "".join(self._thinking), self._finish, self._logprobs)
        return _reply(self._dialect, self._request, said, self._usage)
