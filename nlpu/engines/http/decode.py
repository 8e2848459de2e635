"""What comes back from an OpenAI-compatible server, whole or in a stream, as a ``Reply``.

Theory of operation
-------------------
``read_reply`` reads one JSON object. ``StreamReader`` is fed the bytes of server-sent events as
they come, gives the new text each time, and the same Reply in the end. Both gather what was said
in a ``_Said``: text and thinking (``thinking``), the reason of the end (``finish``), a
refusal, log-probabilities.

Rules
1. An answer is whole: text that is a string, a finish of ours, token counts. Else it is a fault.
2. A stream's pieces, joined, are the text of its Reply, but for a thought that only its end marks;
   where the bytes are cut changes nothing.
3. An answer that ``encode`` wrapped is unwrapped here, a number in the digits it was written in.
   One in whose place its server gives the value that it read is that value, as JSON.
4. One answer was asked for: of several choices that of index 0 counts, else the first, whole or in
   a stream, where the first then waits for the end.
5. A stop string ends the text, whether the server looked at it or not.
6. Nothing here does I/O.
"""

from __future__ import annotations

import json
from contextlib import suppress
from functools import partial
from typing import Any

from nlpu.engines.first_token import Odds
from nlpu.engines.http import errors
from nlpu.engines.http.body import BOM, MOST_REPLY, parsed
from nlpu.engines.http.choices import told
from nlpu.engines.http.encode import Dialect
from nlpu.engines.http.events import Events, Unreadable
from nlpu.engines.http.finish import declined, finish_of, later
from nlpu.engines.http.thinking_tags import Thinking, unopened
from nlpu.engines.http.usage import counts, parted
from nlpu.engines.stops import Ending, before_stop
from nlpu.errors import NlpuError, ServerFault
from nlpu.types.bare import options, takes_text
from nlpu.types.json_text import compact, once
from nlpu.types.lenient import fenced
from nlpu.wire import Constraint, Reply, Request

_NO_ANSWER = (LookupError, TypeError, AttributeError)  # from reading JSON of another shape
_KINDS = ("text", "thinking", "refusal")  # of parts of a message
_COMPLAINT = {"detail", "error_code", "error_msg", "status_code"}
_EVENTS = (b"data:", b"event:", b"retry:", b"id:", b":")


class _Said:
    """What an answer has said so far."""

    def __init__(self, dialect: Dialect, request: Request) -> None:
        self._thinking = None if dialect.tokens else Thinking()
        self._constraint = request.constraint
        self._text: list[str] = []
        self._thought: list[str] = []
        self._refusal: list[str] = []
        self.none = True  # nothing in the place of the text
        self.called = False  # a tool
        self.finish: Any = None
        self.logprobs: Any = None

    def take(self, part: dict[str, Any]) -> str:
        """The new text of a message, of a delta, or of a completion's choice."""
        thought = part.get("reasoning") or part.get("reasoning_content") or ""
        text = part.get("text" if self._thinking is None else "content")
        refusal = part.get("refusal") or ""
        thought = thought if isinstance(thought, str) else ""  # more of it than its text
        self.called |= bool(part.get("tool_calls") or part.get("function_call"))
        if self._constraint is not None and _is_value(text):
            text = compact(text)
        elif isinstance(text, list | dict):  # parts: texts, and what has a kind of its own
            parts = text if isinstance(text, list) else [text]
            thought, refusal = _joined(parts, "thinking") + thought, _joined(parts, "refusal")
            text = _joined(parts, "text") if not parts or any(map(_is_part, parts)) else None
        self._thought.append("" + thought)
        self._refusal.append("" + refusal)
        if text is None:
            return ""
        self.none = False
        return self._heard("" + text)

    def _heard(self, text: str) -> str:
        answer = text if self._thinking is None else self._thinking.feed(text)
        self._text.append(answer)
        return answer

    def close(self) -> str:
        """The text that was held back: it might have become a mark."""
        answer = "" if self._thinking is None else self._thinking.close()
        self._text.append(answer)
        return answer

    def outcome(self) -> tuple[str, str, str, bool]:
        """(text, thinking, refusal, whether a thought has no end)."""
        text, thoughts = "".join(self._text), list(self._thought)
        if self._thinking is None:
            return text, "".join(thoughts), "", False
        thoughts += self._thinking.thought
        if not any(thoughts) and not self._thinking.met:
            thought, text = unopened(text, lambda: _is_free(self._constraint))
            thoughts.append(thought)
        return text, "".join(thoughts).strip(), "".join(self._refusal), self._thinking.unended


def _is_free(constraint: Constraint | None) -> bool:
    """Whether an answer may be any text, which JSON can be, too: str or null."""
    if constraint is None or constraint.kind != "json":
        return constraint is None
    return takes_text(options(json.loads(constraint.spec)))


def _is(part: Any, kind: str) -> bool:
    """Whether a part is of that kind; OpenAI's newer API has ``output_text``."""
    own = "text" if isinstance(part, str) else part.get("type", "text")
    return bool(own.removeprefix("output_") == kind)


def _is_part(item: Any) -> bool:
    """Whether it is a part of a message, of a kind that is known."""
    if not isinstance(item, dict):
        return isinstance(item, str)
    named = "type" in item or item.keys() == {"text"}
    return named and any(_is(item, kind) and kind in item for kind in _KINDS)


def _is_value(content: Any) -> bool:
    """Whether a server has read the answer's JSON itself, and gives its value for its text."""
    if isinstance(content, list | dict):
        parts = content if isinstance(content, list) else [content]
        return bool(parts) and not any(map(_is_part, parts))
    return isinstance(content, int | float)


def _joined(parts: list[Any], kind: str) -> str:
    """The texts of all parts of a kind; a thought's text may itself be in parts."""
    found = []
    for part in parts:
        inner = part if isinstance(part, str) else part.get(kind)
        inner = inner if _is(part, kind) else None
        found.append(_joined(inner, "text") if isinstance(inner, list) else inner or "")
    return "".join(found)


def read_reply(dialect: Dialect, request: Request, body: bytes) -> Reply:
    """The Reply in a whole answer of status 200."""
    if body.removeprefix(BOM).lstrip()[:6].startswith(_EVENTS):  # a stream that nobody asked for
        reader = StreamReader(dialect, request)
        reader.feed(body)
        return reader.finish()
    return _answered(dialect, request, _load(dialect, body), body)


def read_replies(dialect: Dialect, request: Request, body: bytes) -> list[Reply | NlpuError]:
    """The Replies in an answer with several choices, of which each may be a fault.

    What it took is told as a sum: the first has the prompt, and each its part of what was said.
    """
    if body.removeprefix(BOM).lstrip()[:6].startswith(_EVENTS):
        return [read_reply(dialect, request, body)]
    answer, found = _load(dialect, body), list[Reply | NlpuError]()
    _raise(dialect, request, _error_of(answer))
    choices = answer.get("choices")
    alone = choices if isinstance(choices, list) else []
    for choice, usage in zip(alone, parted(answer.get("usage"), alone), strict=True):
        try:
            found.append(_answered(dialect, request, {"choices": [choice], "usage": usage}, body))
        except NlpuError as error:
            found.append(error)
    return found


def _answered(dialect: Dialect, request: Request, answer: dict[str, Any], body: bytes) -> Reply:
    _raise(dialect, request, _error_of(answer))
    said = _Said(dialect, request)
    try:
        choice = _first(answer["choices"])
        _raise(dialect, request, choice.get("error"))
        message = choice.get("message") or {"content": choice.get("text")}
        said.take(choice if dialect.tokens else message)
        said.finish, said.logprobs = _finish(choice), choice.get("logprobs")
    except _NO_ANSWER:
        raise errors.no_answer(dialect.where, body, dialect.secret) from None
    said.close()
    return _reply(dialect, request, said, answer.get("usage"), answer.get("metrics"))


def _load(dialect: Dialect, body: bytes) -> dict[str, Any]:
    try:
        answer = parsed(body)
    except ValueError:
        raise errors.no_answer(dialect.where, body, dialect.secret) from None
    if not isinstance(answer, dict):
        raise errors.no_answer(dialect.where, body, dialect.secret)
    return answer


def _first(choices: Any) -> dict[str, Any]:
    """The choice whose index is 0, else the first (rule 4)."""
    for choice in choices:
        if choice.get("index") == 0:
            break
    else:
        choice = choices[0]
    found: dict[str, Any] = choice
    return found


def _finish(choice: dict[str, Any]) -> Any:
    word = choice.get("finish_reason") or choice.get("finishReason")
    word = word.get("type", word) if isinstance(word, dict) else word
    return None if word == "null" else word  # as some write that there is none yet


def _raise(dialect: Dialect, request: Request, error: Any) -> None:
    if error:
        raise errors.from_error(dialect.where, error, request, dialect.window, dialect.secret)


def _error_of(said: dict[str, Any]) -> Any:
    """What a server says of itself under status 200, in an answer or an event of a stream."""
    if error := said.get("error"):
        return error
    base = said.get("base_resp")
    if isinstance(base, dict) and base.get("status_code"):
        return base
    if "error" in (said.get("object"), said.get("type")):
        return said
    speaks = "choices" not in said and (
        _COMPLAINT & said.keys() or isinstance(said.get("message"), str)  # not a turn
    )
    return said if speaks else None


def _reply(dialect: Dialect, request: Request, said: _Said, usage: Any, metrics: Any) -> Reply:
    text, thinking, refusal, unended = said.outcome()
    no = declined(said.finish, refusal, text, said.called)
    if said.none and not thinking and not no:
        raise ServerFault(
            f"{dialect.where} answered without text (finish: {said.finish})."
            " Try again; if it stays, the server cannot serve plain completions."
        )
    took = counts(dialect, request, text + thinking, usage, metrics)
    if no:
        return Reply("", "stop", took, thinking, declined=no)
    at_limit = took.completion_tokens >= request.sampling.max_tokens
    # Where it thought without saying why it ended, its tokens ran out.
    ended = partial(_is_closed, text if request.constraint is not None else "")
    finish = finish_of(dialect.where, said.finish, text or thinking, at_limit, ended)
    if wraps_answer(dialect, request):
        text = _unwrapped(text)
    if len(part := before_stop(text, request.sampling.stop)) < len(text):  # some servers go on
        text, finish = part, "stop"
    reply = Reply(text, "length" if unended else finish, took, thinking)
    return _weighed(dialect, request, reply, said.logprobs) if request.probabilities else reply


def _weighed(dialect: Dialect, request: Request, reply: Reply, logprobs: Any) -> Reply:
    """The reply with how likely each choice was."""
    begun, found = dialect.begun_of(request), Odds(())
    with suppress(LookupError, TypeError, AttributeError, ValueError, OverflowError):
        found = told(request, begun, dialect.tokens, logprobs)  # or else it told nothing
    if not found.probabilities:
        fault = ServerFault(
            f"{dialect.where} did not tell how likely the choices were."
            " Start it without limits on logprobs, or use a result of type bool."
        )
        fault.transient = False  # it answered, and will the same
        fault.generated = reply.usage.completion_tokens
        raise fault
    return found.of(reply)


def has_no_pieces(dialect: Dialect, request: Request) -> bool:
    """Whether what is generated is not yet the answer, in pieces that are worth showing."""
    return wraps_answer(dialect, request) or bool(dialect.begun_of(request))


def wraps_answer(dialect: Dialect, request: Request) -> bool:
    """Whether the answer is in a JSON object of our making."""
    constraint = request.constraint
    return not dialect.vllm and constraint is not None and constraint.kind != "json"


def _is_closed(text: str) -> bool:
    """Whether a text is a JSON value that says its own end."""
    try:
        return isinstance(parsed(fenced(text) or text), dict | list | str)
    except ValueError:
        return False


def _unwrapped(text: str) -> str:
    """What is inside ``{"answer": ...}``; as it came, if the server ignored the format.

    Two answers are none: the last would be taken in silence.
    """
    how: dict[str, Any] = {"parse_int": str, "parse_float": str, "object_pairs_hook": once}
    try:
        answer = parsed(fenced(text) or text, **how)["answer"]
    except (ValueError, KeyError, TypeError):
        return text
    if isinstance(answer, bool):
        return "true" if answer else "false"
    return answer if isinstance(answer, str) else text


class StreamReader:
    """Reads server-sent events of one generation. Feed it bytes; it gives the new text."""

    def __init__(self, dialect: Dialect, request: Request) -> None:
        self._dialect = dialect
        self._request = request
        self._events = Events()
        self._said = _Said(dialect, request)
        self._usage: Any = None
        self._metrics: Any = None
        self._ending = Ending(request.sampling.stop)
        self._first = False  # a choice of index 0 was seen
        self._others: list[dict[str, Any]] = []
        self._size = 0
        self._met = False

    @property
    def done(self) -> bool:
        """Whether the stream has said that it ends."""
        return self._events.done

    @property
    def idle(self) -> bool:
        """Whether what it was fed last is no part of an answer."""
        return self._events.idle

    def feed(self, data: bytes) -> str:
        """The text in ``data``, together with what was left over of the bytes before it."""
        self._size += len(data)
        if self._size > MOST_REPLY and not self.done:
            raise errors.endless(self._dialect.where, MOST_REPLY)
        try:
            return self._ending.feed("".join(map(self._event, self._events.feed(data))))
        except Unreadable as error:
            raise errors.no_answer(self._dialect.where, error.data, self._dialect.secret) from None

    def end(self) -> str:
        """The text of a last event without an end, and what was held back. Idempotent."""
        text = "".join(map(self._event, self._events.end()))
        others, self._others = self._others, []
        if others:
            text += self._event({"choices": [{**each, "index": 0} for each in others]})
        return self._ending.feed(text + self._said.close(), last=True)

    def _event(self, event: dict[str, Any]) -> str:
        self._met = True
        _raise(self._dialect, self._request, _error_of(event))
        own = event.get("x_groq")
        usage = own.get("usage") if isinstance(own, dict) else None
        self._usage = event.get("usage") or usage or self._usage
        self._metrics = event.get("metrics") or self._metrics
        choices = event.get("choices")
        try:
            return "".join(map(self._piece, filter(self._counts, choices))) if choices else ""
        except _NO_ANSWER:
            said = json.dumps(event).encode()
            raise errors.no_answer(self._dialect.where, said, self._dialect.secret) from None

    def _counts(self, choice: dict[str, Any]) -> bool:
        """Whether a choice is the one of index 0; one of another index waits for it (rule 4)."""
        index = choice.get("index") or 0
        if index == 0:
            self._first, self._others = True, []
        elif not self._first and all(each["index"] == index for each in self._others[:1]):
            self._others.append(choice)
        return bool(index == 0)

    def _piece(self, choice: dict[str, Any]) -> str:
        said = self._said
        _raise(self._dialect, self._request, choice.get("error"))
        said.finish = later(said.finish, _finish(choice))
        said.logprobs = said.logprobs or choice.get("logprobs")  # those of the first token
        if self._dialect.tokens:
            return said.take(choice)
        whole = choice.get("message") if said.none else None  # all of it in one event
        return said.take(choice.get("delta") or whole or {"content": choice.get("text")})

    def finish(self) -> Reply:
        """The whole Reply. A stream without a finish reason was cut, unless it said its end."""
        self.end()
        vllm, said = self._dialect.vllm, self._said
        if not self._met and self._events.stray:  # an answer that is no stream
            return read_reply(self._dialect, self._request, self._events.stray)
        if (vllm and not self.done) or (said.finish is None and (vllm or not self.done)):
            raise errors.cut(self._dialect.where)
        said.none = False
        return _reply(self._dialect, self._request, said, self._usage, self._metrics)
