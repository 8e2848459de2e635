"""The served engine: vLLM, and with weaker guarantees any OpenAI-compatible server, over HTTP.

Theory of operation
-------------------
``capabilities`` asks the server what it is, by GET only, and fixes a ``Dialect``:

    vLLM, tokenizer known   POST /v1/completions       token ids, every constraint, priority
    vLLM, tokenizer unknown POST /v1/chat/completions  messages, every constraint, priority
    any other               POST /v1/chat/completions  messages, JSON, choices and numbers

``send`` is then one POST on a kept-alive connection (``http_post``). How a body is made is in
``http_wire``, how it is read in ``http_replies``, how a failure is named in ``http_errors``.

Rules
1. One attempt: no retry, no redirect, no proxy from the environment, no cookie.
2. No deadline on ``send`` but for connecting: the scheduler owns time. ``capabilities`` has one.
3. A connection that did not deliver its whole answer is closed, never reused. For vLLM that is
   the sign to free the request, so cancelling is closing.
4. ``cancel`` cancels the task that awaits ``send`` and turns it into ``Cancelled`` there; a
   cancellation from elsewhere stays a ``CancelledError``.
5. Per call: one dict entry, one body, one parse. Nothing else is on this path.
6. A tokenizer is used only if it gives the server's own ids for a probe, where the server can say.

Seeds are not sent unless the caller says that the server bears them: with chunked prefill, one
request with a seed kills the CPU build of vLLM for everybody. ``serve`` starts it so that it does
not. vLLM does not tell its scheduling policy; priorities are always sent, and a server started
without ``--scheduling-policy priority`` takes and ignores them (vLLM 0.11 and later).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import aiohttp

from nlpu.engines import http_errors as errors
from nlpu.engines.http_post import Answer, Target
from nlpu.engines.http_probe import ServerCard, base_url, check_tokenizer, headers, read_card
from nlpu.engines.http_replies import StreamReader, read_reply, wraps_answer
from nlpu.engines.http_wire import Dialect, encode, fits
from nlpu.errors import Cancelled, Usage
from nlpu.wire import Capabilities, ConstraintKind, Reply, Request

_CONNECT_S = 10.0
_ASK_S = 30.0
_KEEPALIVE_S = 3.0  # below uvicorn's five seconds: the server never closes under our request
_EVERY: frozenset[ConstraintKind] = frozenset({"choice", "regex", "json"})
_COMMON: frozenset[ConstraintKind] = frozenset({"choice", "json"})


class HttpEngine:
    """An OpenAI-compatible server at ``url``.

    model:         which of the server's models; may be left out where there is one.
    max_in_flight: requests useful at once (256 for vLLM, which queues by priority; else 16).
    tokenizer:     directory with ``tokenizer.json``, where the server's own is not at hand.
    window:        tokens of prompt and completion, for servers that do not tell.
    seed:          the server bears a seed in a request.
    priority:      send priorities; by default to vLLM.
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
        seed: bool = False,
        priority: bool | None = None,
    ) -> None:
        self._root = base_url(url)
        self._where = str(self._root).rstrip("/")
        self._headers = headers(api_key)
        self._model, self._key, self._tokenizer = model, api_key, tokenizer
        self._max_in_flight, self._window = max_in_flight, window
        self._seed, self._priority = seed, priority
        self._session: aiohttp.ClientSession | None = None
        self._dialect: Dialect | None = None
        self._head = b""
        self._target: Target | None = None
        self._running: dict[str, asyncio.Task[Any]] = {}
        self._cancelled: set[str] = set()

    # -- what the server is ------------------------------------------------------------------

    async def capabilities(self) -> Capabilities:
        """Ask the server for its models and its kind; fix how to speak to it."""
        try:
            async with asyncio.timeout(_ASK_S):
                card = await read_card(self._where, self._model, self._window, self._ask, self._key)
                card = await check_tokenizer(self._where, card, self._tokenizer, self._ask)
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            raise errors.from_exception(self._where, error) from error
        tokens = card.vllm and card.tokenizer is not None
        priority = card.vllm if self._priority is None else self._priority
        self._dialect = Dialect(
            self._where, card.model, card.window, card.vllm, tokens, self._seed, priority, self._key
        )
        self._head = self._dialect.head
        path = "v1/completions" if tokens else "v1/chat/completions"
        self._target = Target(self._opened(), self._root / path)
        return self._told(self._dialect, card)

    def _told(self, dialect: Dialect, card: ServerCard) -> Capabilities:
        return Capabilities(
            model=card.model,
            window=card.window,
            max_in_flight=self._max_in_flight or (256 if card.vllm else 16),
            token_prompts=dialect.tokens,
            constraints=_EVERY if card.vllm else _COMMON,
            seed=dialect.seed,
            priority=dialect.priority,
            tokenizer=card.tokenizer,
            weaker=card.weaker + self._told_weaker(card),
            probabilities=card.vllm,
        )

    def _told_weaker(self, card: ServerCard) -> tuple[str, ...]:
        """What is weaker for want of being told by the caller."""
        told: tuple[str, ...] = (
            () if self._seed else ("Seeds are not sent; a draw cannot be repeated.",)
        )
        if card.vllm and self._priority is None:
            told += ("If the server was started without priorities, it ignores them.",)
        return told

    async def _ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes, Any]:
        """(status, bytes, headers) of a question about the server."""
        data = None if body is None else json.dumps(body).encode()
        ask = self._opened().request(method, self._root / path, data=data, allow_redirects=False)
        async with ask as answer:
            return answer.status, await answer.read(), answer.headers

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
        fits(dialect, request)
        self._running[request.id] = task
        try:
            return await self._attempt(dialect, target, request, on_text)
        except asyncio.CancelledError:
            if request.id in self._cancelled and not task.uncancel():
                raise Cancelled(f"Request {request.id} was cancelled.") from None
            raise
        except (aiohttp.ClientError, TimeoutError) as error:  # an OSError would be on_text's own
            raise errors.from_exception(self._where, error) from error
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
        answer = await target.post(encode(dialect, self._head, request, on_text is not None))
        try:
            if answer.status != 200:
                raise errors.from_status(
                    self._where,
                    answer.status,
                    answer.headers,
                    await answer.read(),
                    request=request,
                    window=dialect.window,
                    secret=self._key,
                )
            if on_text is None:
                return read_reply(dialect, request, await answer.read())
            return await _stream(dialect, request, answer, on_text)
        finally:
            answer.close()

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


async def _stream(
    dialect: Dialect,
    request: Request,
    answer: Answer,
    on_text: Callable[[str], None],
) -> Reply:
    """Hand on the text of server-sent events; a server that ignores ``stream`` is read whole."""
    whole = answer.content_type != "text/event-stream"
    if not whole and not wraps_answer(dialect, request):
        reader = StreamReader(dialect, request)
        async for data in answer.content.iter_any():
            text = reader.feed(data)
            if text:
                on_text(text)
        return reader.finish()
    if whole:
        reply = read_reply(dialect, request, await answer.read())
    else:  # a wrapped answer has no pieces worth showing
        reader = StreamReader(dialect, request)
        reader.feed(await answer.read())
        reply = reader.finish()
    if reply.text:
        on_text(reply.text)
    return reply
