"""The served engine: vLLM, and with weaker guarantees any OpenAI-compatible server, over HTTP.

Theory of operation
-------------------
``capabilities`` asks the server what it is, by GET only, and fixes a ``Dialect``:

    vLLM, tokenizer known   POST /v1/completions       token ids, every constraint, priority
    vLLM, tokenizer unknown POST /v1/chat/completions  messages, every constraint, priority
    any other               POST /v1/chat/completions  messages, JSON, choices and numbers

``send`` is then one POST on a kept-alive connection (``transport``). How a body is made is in
``encode``, how it is read in ``decode``, how a failure is named in ``errors``.

Rules
1. One attempt: no retry, no redirect, no proxy from the environment, no cookie.
2. No deadline on ``send`` but for connecting, and for what carries nothing (``idle``): the
   scheduler owns time. ``capabilities`` has one.
3. A connection that did not deliver its whole answer is closed, never reused. For vLLM that is
   the sign to free the request, so cancelling is closing.
4. ``cancel`` cancels the task that awaits ``send`` and turns it into ``Cancelled`` there; a
   cancellation from elsewhere stays a ``CancelledError``.
5. Per call: one dict entry, one body, one parse. Nothing else is on this path, but for draws.
6. A tokenizer is used only if it gives the server's own ids for a probe, where the server can say.
7. A parameter that a server (not vLLM) refuses by name is left out, in this attempt and all later
   ones; it is asked once for each such parameter. Only what we can do without is left out. Where
   any server lets no system speak, its text is the first user's.
8. No body is read without a cap (``body``).
9. Equal draws of one moment are one request (``together``), until a server does not take ``n``.
10. What only some servers take is sent where this one says that it does (``offers``), or where it
    is a router that schedules programs (``hints``).

Seeds are not sent to vLLM unless the caller says that it bears them: with chunked prefill, one
request with a seed kills its CPU build for everybody. ``serve`` starts it so that it does not.
vLLM does not tell its scheduling policy; priorities are always sent, and a server started without
``--scheduling-policy priority`` takes and ignores them (vLLM 0.11 and later).
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp

from nlpu.checks import ANY_TEXT, COUNT, DEADLINE, FLAG, PATH, TEXT, check, maybe
from nlpu.engines.http import complaints, errors, hints
from nlpu.engines.http.body import MOST_ERROR, MOST_LIST, read_most
from nlpu.engines.http.choices import begun_by
from nlpu.engines.http.decode import read_replies
from nlpu.engines.http.encode import Dialect, encode
from nlpu.engines.http.idle import IDLE_S
from nlpu.engines.http.offers import offered
from nlpu.engines.http.probe import (
    ServerCard,
    base_url,
    check_tokenizer,
    headers,
    read_card,
    server_ids,
)
from nlpu.engines.http.receive import received, whole
from nlpu.engines.http.together import Replies, Together, may_gather
from nlpu.engines.http.transport import Answer, Target
from nlpu.engines.parameters import COMMON, VLLM
from nlpu.engines.prompt_checks import check_room
from nlpu.errors import Cancelled, ModelError, NlpuError, Usage
from nlpu.printing import one_line
from nlpu.tokens import tokenizer_in
from nlpu.wire import Capabilities, ConstraintKind, Reply, Request

_CONNECT_S = 10.0
_NOT_TAKEN = (400, 422, 500, 501)  # how servers refuse what they do not know
_ASK_S = 30.0
_KEEPALIVE_S = 3.0  # below uvicorn's five seconds: the server never closes under our request
_EVERY: frozenset[ConstraintKind] = frozenset({"choice", "regex", "json"})
_COMMON: frozenset[ConstraintKind] = frozenset({"choice", "json"})


_FITS = {
    "url": TEXT,
    "model": maybe(TEXT),
    "api_key": maybe(ANY_TEXT),
    "max_in_flight": maybe(COUNT),
    "tokenizer": maybe(PATH),
    "window": maybe(COUNT),
    "seed": maybe(FLAG),
    "priority": maybe(FLAG),
    "cache_salt": maybe(TEXT),
    "traces": maybe(FLAG),
    "idle_s": DEADLINE,
}
_MOST_IDS = 1 << 20  # that an answer may bring along: each of several has its prompt's
_TRACED_BY = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


class HttpEngine:
    """An OpenAI-compatible server at ``url``.

    model:         which of the server's models; may be left out where there is one.
    max_in_flight: requests useful at once (256 for vLLM, which queues by priority; else 16).
    tokenizer:     directory with ``tokenizer.json``, where the server's own is not at hand.
    window:        tokens of prompt and completion, for servers that do not tell.
    seed:          the server bears a seed in a request; by default vLLM is not taken to.
    priority:      send priorities; by default to vLLM.
    cache_salt:    a secret by which vLLM keeps cached prompts of one label apart from another's.
    traces:        name each request's place in its run's trace (``traceparent``); by default where
                   the environment names a collector, as OpenTelemetry does.
    idle_s:        longest time in which what comes carries nothing (heads without an end, blanks,
                   comments); then it has failed with TimedOut.
    """

    def __init__(
        self,
        url: str,
        model: str | None = None,
        api_key: str | None = None,
        max_in_flight: int | None = None,
        tokenizer: str | None = None,
        *,
        window: int | None = None,
        seed: bool | None = None,
        priority: bool | None = None,
        cache_salt: str | None = None,
        traces: bool | None = None,
        idle_s: float = IDLE_S,
    ) -> None:
        check("HttpEngine", locals(), _FITS)
        self._root = base_url(url)
        self._where = str(self._root).rstrip("/")
        self._headers = headers(api_key)
        self._model, self._key, self._tokenizer = model, api_key, tokenizer
        self._max_in_flight, self._window = max_in_flight, window
        self._seed, self._priority, self._idle_s = seed, priority, idle_s
        self._salt, self._traces = cache_salt, traces
        self._session: aiohttp.ClientSession | None = None
        self._dialect: Dialect | None = None
        self._asking = asyncio.Lock()  # how the server begins its choices
        self._directory: Path | None = None  # of the tokenizer in use
        self._head = b""
        self._target: Target | None = None
        self._together = Together(self._several, self._alone)
        self._running: dict[str, asyncio.Task[Any]] = {}
        self._cancelled: set[str] = set()

    def __repr__(self) -> str:
        dialect = self._dialect
        model = self._model if dialect is None else dialect.model
        return one_line(f"HttpEngine({self._where}{f', {model}' if model else ''})")

    # -- what the server is ------------------------------------------------------------------

    async def capabilities(self) -> Capabilities:
        """Ask the server for its models and its kind; fix how to speak to it."""
        try:
            async with asyncio.timeout(_ASK_S):
                card = await read_card(self._where, self._model, self._window, self._ask, self._key)
                card = await check_tokenizer(self._where, card, self._tokenizer, self._ask)
                tokens = card.vllm and card.tokenizer is not None
                takes = await offered(self._ask, tokens) if card.vllm else frozenset[str]()
                programs = card.vllm and await hints.schedules_programs(self._ask)
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            fault = errors.from_exception(self._where, error)
            raise fault from errors.cause_of(fault, error)
        self._dialect = self._spoken(card, takes, programs)
        self._head = self._dialect.head
        self._directory = Path(card.tokenizer) if tokens and card.tokenizer else None
        path = card.base + ("completions" if tokens else "chat/completions")
        self._target = Target(self._opened(), self._root / path, self._idle_s)
        return self._told(self._dialect, card)

    def _spoken(self, card: ServerCard, takes: frozenset[str], programs: bool) -> Dialect:
        """How to speak to the server. Raises Usage where it does not take what must be sent."""
        if self._salt is not None and "cache_salt" not in takes:
            raise Usage(
                f"{self._where} does not say that it takes a cache_salt, so labels would share its "
                "cache: serve the model with vLLM and its /openapi.json, or leave cache_salt out"
            )
        traced = any(map(os.environ.get, _TRACED_BY)) if self._traces is None else self._traces
        return Dialect(
            self._where,
            card.model,
            card.window,
            card.vllm,
            tokens=card.vllm and card.tokenizer is not None,
            seed=not card.vllm if self._seed is None else self._seed,
            priority=card.vllm if self._priority is None else self._priority,
            secret=self._key,
            takes=takes,
            salt=self._salt,
            programs=programs,
            traced=traced,
        )

    def _told(self, dialect: Dialect, card: ServerCard) -> Capabilities:
        return Capabilities(
            model=card.model,
            window=card.window,
            max_in_flight=self._max_in_flight or (256 if card.vllm else 16),
            token_prompts=dialect.tokens,
            constraints=_EVERY if card.vllm else _COMMON,
            sampling=_takes(dialect),
            priority=dialect.priority,
            tokenizer=card.tokenizer,
            weaker=card.weaker + self._told_weaker(card, dialect),
            probabilities=card.vllm,
        )

    def _told_weaker(self, card: ServerCard, dialect: Dialect) -> tuple[str, ...]:
        """What is weaker for want of being told by the caller."""
        told: tuple[str, ...] = ()
        if not dialect.seed:
            told += ("Seeds are not sent; a draw cannot be repeated.",)
        if card.vllm and self._priority is None:
            told += ("If the server was started without priorities, it ignores them.",)
        return told

    async def _ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes, Any]:
        """(status, bytes, headers) of a question about the server."""
        data = None if body is None else json.dumps(body).encode()
        ask = self._opened().request(method, self._root / path, data=data, allow_redirects=False)
        async with ask as answer:
            return answer.status, await read_most(answer.content, MOST_LIST), answer.headers

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                limit=self._max_in_flight or 1024, keepalive_timeout=_KEEPALIVE_S
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                headers=self._headers,
                skip_auto_headers=("User-Agent", "Accept-Encoding"),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S),
                trust_env=False,
                auto_decompress=False,
            )
        return self._session

    # -- one attempt -------------------------------------------------------------------------

    async def send(self, request: Request, on_text: Callable[[str], None] | None = None) -> Reply:
        """One POST. Streams if ``on_text`` is given."""
        dialect, target, task = self._dialect, self._target, asyncio.current_task()
        if dialect is None or target is None or task is None:
            raise Usage("This engine is not open. Await capabilities() first.")
        if dialect.tokens:  # of messages only the server can count the tokens
            check_room(request, dialect.window)
        self._running[request.id] = task
        try:
            if on_text is None and "n" not in dialect.untaken and may_gather(request):
                body = encode(dialect, self._head, request._replace(id=""), False)
                return await self._together.draw(body, request)
            if request.probabilities and dialect.vllm:
                dialect = await self._knowing(dialect, request)
            return await self._attempt(dialect, target, request, on_text)
        except asyncio.CancelledError:
            if request.id in self._cancelled and not task.uncancel():
                raise Cancelled(f"Request {request.id} was cancelled.") from None
            raise
        except (aiohttp.ClientError, TimeoutError) as error:  # an OSError would be on_text's own
            fault = errors.from_exception(self._where, error)
            raise fault from errors.cause_of(fault, error)
        finally:
            self._running.pop(request.id, None)
            self._cancelled.discard(request.id)

    async def _attempt(
        self,
        dialect: Dialect,
        target: Target,
        request: Request,
        on_text: Callable[[str], None] | None,
    ) -> Reply:
        while True:
            body = encode(dialect, self._head, request, on_text is not None)
            answer = await target.post(body, hints.parent_of(request) if dialect.traced else b"")
            try:
                if 200 <= answer.status < 300:
                    return await received(dialect, request, answer, on_text)
                said = await answer.read(MOST_ERROR)
            finally:
                answer.close()
            learned = self._learned(dialect, answer.status, said)
            if learned is None:
                raise self._fault(dialect, answer, said, request)
            dialect = learned

    async def _alone(self, request: Request) -> Reply:
        assert self._dialect is not None and self._target is not None  # who asks has seen them
        return await self._attempt(self._dialect, self._target, request, None)

    async def _several(self, body: bytes, request: Request, count: int) -> Replies:
        """So many answers to one body; fewer where the server does not take ``n`` (rule 9).

        What it refuses may be something else, or pass: it is ``n`` if the same alone is answered.
        """
        dialect, target = self._dialect, self._target
        assert dialect is not None and target is not None
        few = len(request.prompt) * count < _MOST_IDS
        ids = b',"return_token_ids":true' * (few and "return_token_ids" in dialect.takes)
        line = hints.parent_of(request) if dialect.traced else b""
        answer = await target.post(b'%b,"n":%d%b}' % (body[:-1], count, ids), line)
        try:
            if 200 <= answer.status < 300:
                replies = read_replies(dialect, request, await whole(dialect, answer))[:count]
                return replies if len(replies) == count else self._without_n(replies)
            said = await answer.read(MOST_ERROR)
        finally:
            answer.close()
        learned = self._learned(dialect, answer.status, said)
        if learned is not None:
            body = encode(learned, self._head, request._replace(id=""), False)
            return await self._several(body, request, count)
        if dialect.vllm or answer.status not in _NOT_TAKEN:
            raise self._fault(dialect, answer, said, request)
        try:
            return self._without_n([await self._alone(request)])
        except ModelError as error:  # an answer, too
            return self._without_n([error])

    def _without_n(self, replies: Replies) -> Replies:
        if self._dialect is not None:
            self._dialect = replace(self._dialect, untaken=self._dialect.untaken | {"n"})
        return replies

    def _fault(self, dialect: Dialect, answer: Answer, said: bytes, request: Request) -> NlpuError:
        return errors.from_status(
            self._where,
            answer.status,
            answer.headers,
            said,
            request=request,
            window=dialect.window,
            secret=self._key,
        )

    async def _knowing(self, dialect: Dialect, request: Request) -> Dialect:
        """The dialect with the tokens that begin the request's choices; found once."""
        assert request.constraint is not None
        spec = request.constraint.spec
        if spec in dialect.begun:
            return dialect
        async with self._asking:
            now = self._dialect or dialect
            if spec not in now.begun:
                begun = await begun_by(spec, partial(self._cut, dialect.model))
                now = replace(self._dialect or dialect, begun={**now.begun, spec: begun})
                self._dialect = now
            return now

    async def _cut(self, model: str, text: str) -> list[int] | None:
        """How the model's tokenizer cuts a text; None where nobody knows."""
        if self._directory is not None:
            return tokenizer_in(self._directory).encode(text)
        return await server_ids(model, text, self._ask)

    def _learned(self, used: Dialect, status: int, body: bytes) -> Dialect | None:
        """The dialect without what the server has just refused by name, if it did (rule 7)."""
        lesson = complaints.lesson_of(status, complaints.words_of(body))
        if lesson is None or lesson in used.untaken or (used.vllm and lesson != "system"):
            return None
        now = self._dialect or used
        self._dialect = replace(now, untaken=now.untaken | {lesson})
        return replace(used, untaken=used.untaken | {lesson} | now.untaken)

    def cancel(self, request_id: str) -> None:
        """Stop a request; its ``send`` raises Cancelled."""
        task = self._running.get(request_id)
        if task is not None and request_id not in self._cancelled:
            self._cancelled.add(request_id)
            task.cancel()

    async def close(self) -> None:
        """Close every connection. Idempotent."""
        session, self._session, self._dialect = self._session, None, None
        if session is not None:
            await session.close()


def _takes(dialect: Dialect) -> frozenset[str]:
    """The fields of ``Sampling``. A penalty that instructions have, and a server not, is no more
    than a hint: it is left out, and ``weaker`` says so. In ``extra`` it is the server's own."""
    own = VLLM if dialect.vllm else ("extra.repetition_penalty",)
    names = {*COMMON, "repetition_penalty", "stop", "extra", *own}
    return frozenset(names | {"seed"} if dialect.seed else names)
