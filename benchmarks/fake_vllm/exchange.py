"""The scripted server's side of one HTTP exchange: answers, streams, and every way to fail.

Theory of operation
-------------------
A ``Talk`` is one generation request with its fault: ``answer`` fails if the fault is of that kind,
else makes the text, lets the GPU's time pass, and writes it whole or as server-sent events.

Rules
1. A broken connection is broken at the transport: no HTTP nicety follows it.
2. ``Seen.fault`` and ``Seen.ended`` say what happened, also if the client has gone.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

from aiohttp import web

from benchmarks.fake_vllm import answers
from benchmarks.fake_vllm.asked import error_body, json_response
from benchmarks.fake_vllm.faults import Fault, Seen
from benchmarks.fake_vllm.gpu import Gpu, Job
from nlpu.engines.stops import before_stop
from nlpu.errors import ConstraintRejected
from nlpu.testing.answers import pieces

if TYPE_CHECKING:
    from benchmarks.fake_vllm.server import FaultServer

_DEAD = "EngineCore encountered an issue. See stack trace (above) for the root cause."
_SSE = {"Content-Type": "text/event-stream; charset=utf-8"}


class Talk:
    """One generation request."""

    def __init__(
        self, server: FaultServer, request: web.BaseRequest, seen: Seen, fault: Fault | None
    ) -> None:
        self.server, self.request, self.seen, self.fault = server, request, seen, fault
        self.chat = seen.path.endswith("chat/completions")
        self.stream = bool(seen.body.get("stream"))
        self.prompt = answers.prompt_pieces(seen.body)
        self.prompt_tokens = len(self.prompt)
        self.cached = 0

    # -- failing -----------------------------------------------------------------------------

    def error(self, message: str, code: int, **headers: str) -> web.StreamResponse:
        self.seen.ended = str(code)
        return json_response(error_body(message, code), code, **headers)

    def dead(self) -> web.StreamResponse:
        return self.error(f"EngineDeadError: {_DEAD}", 500)

    async def _abort(self) -> web.StreamResponse:
        self.seen.ended = "reset"
        if self.request.transport is not None:
            self.request.transport.abort()
        return await self._nothing()

    async def _nothing(self) -> web.StreamResponse:
        """No answer; ends with the connection."""
        await asyncio.get_running_loop().create_future()
        raise AssertionError("unreachable")

    async def _fail(self, fault: Fault) -> web.StreamResponse | None:
        """The response to a request that fails before an answer is made."""
        kind, seconds = fault.kind, fault.seconds
        if kind in {"refused", "restart", "reset", "no_answer"}:
            return await self._break(kind, seconds)
        if kind == "engine_dead":
            self.server.break_engine(seconds)
            return self.dead()
        if kind == "slow":
            await asyncio.sleep(seconds)
            return None
        return self._refuse(kind, seconds)

    async def _break(self, kind: str, seconds: float) -> web.StreamResponse:
        if kind == "refused":
            await self.server.refuse()
            if seconds:
                self.server.after(seconds, self.server.listen)
        elif kind == "restart":
            await self.server.kill(seconds)
        elif kind == "no_answer":
            return await self._nothing()
        return await self._abort()

    def _refuse(self, kind: str, seconds: float) -> web.StreamResponse | None:
        later = {"Retry-After": f"{seconds:g}"} if seconds else {}
        if kind == "401":
            return json_response({"error": "Unauthorized"}, 401)
        if kind == "html":
            return web.Response(text="<html>nginx</html>", content_type="text/html")
        refusals = {
            "429": ("Too many requests", 429),
            "503": ("Request failed; please retry", 503),
            "500": ("Internal server error", 500),
            "400": ("temperature must be non-negative, got -1.0.", 400),
            "too_long": (self._too_long(), 400),
            "schema": (
                "The provided JSON schema contains features not supported by xgrammar.",
                400,
            ),
        }
        if kind not in refusals:
            return None
        message, code = refusals[kind]
        return self.error(message, code, **later)

    def _too_long(self) -> str:
        return (
            f"This model's maximum context length is {self.server.window} tokens. However, your"
            f" prompt contains {self.prompt_tokens} input tokens. Please reduce the length of the"
            " input prompt."
        )

    def _wrong(self) -> web.StreamResponse | None:
        """Honest refusals: they come without any fault."""
        body = self.seen.body
        if body.get("model") not in {None, *self.server.models}:
            return self.error(f"The model `{body['model']}` does not exist.", 404)
        if self.prompt_tokens + answers.limit_of(body) > self.server.window:
            return self.error(self._too_long(), 400)
        if not self.chat and not self.server.vllm:
            return json_response({"detail": "Not Found"}, 404)
        refusal = answers.refusal_of(body)
        return self.error(refusal, 400) if refusal and self.server.vllm else None

    # -- answering ---------------------------------------------------------------------------

    async def answer(self, gpu: Gpu | None) -> web.StreamResponse:
        kind = self.fault.kind if self.fault else ""
        failed = await self._fail(self.fault) if self.fault else None
        if failed is not None:
            return failed
        wrong = self._wrong()
        if wrong is not None:
            return wrong
        try:
            parts, finish = self._said(kind)
        except (ConstraintRejected, ValueError, KeyError, TypeError, re.error) as error:
            return self.error(f"Failed to transform the grammar: {error}", 400)
        if self.stream:
            return await self._streamed(parts, finish, kind, gpu)
        await self._pass_time(gpu, len(parts))
        return await self._whole(parts, finish, kind)

    def _said(self, kind: str) -> tuple[list[str], str]:
        """(pieces, finish) after stop strings, max_tokens and the fault."""
        body = self.seen.body
        limit = answers.limit_of(body)
        if kind == "empty":
            return [], "stop"
        if kind == "repeat":
            most = answers.most_repeated(body) or limit
            return [" again"] * min(limit, most), "repetition" if most < limit else "length"
        text = self.server.answer(self.seen) if self.server.answer else None
        parts = pieces(self._stopped(answers.answer(body) if text is None else text))
        if kind == "length":
            return parts[: max(1, len(parts) // 2)], "length"
        return (parts[:limit], "length") if len(parts) > limit else (parts, "stop")

    def _stopped(self, text: str) -> str:
        stop = self.seen.body.get("stop") or []
        return before_stop(text, [stop] if isinstance(stop, str) else stop)

    async def _pass_time(self, gpu: Gpu | None, tokens: int) -> None:
        if gpu is not None:
            job = self._job(tokens)
            await gpu.run(job)
            self.cached = job.cached

    def _job(self, tokens: int) -> Job:
        priority = int(self.seen.body.get("priority") or 0)
        return Job(self.prompt, self.prompt_tokens, max(1, tokens), priority)

    def _usage(self, tokens: int) -> dict[str, Any]:
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": tokens,
            "total_tokens": self.prompt_tokens + tokens,
            "prompt_tokens_details": {"cached_tokens": self.cached},
        }

    def _envelope(self, choices: list[Any], usage: Any = None) -> dict[str, Any]:
        kind = "chat.completion" if self.chat else "text_completion"
        envelope = {"id": f"cmpl-{self.seen.n}", "object": kind, "created": int(self.seen.at)}
        envelope |= {"model": self.server.models[0], "choices": choices}
        waited = self.server.waited_ms
        timed = {} if waited is None else {"metrics": {"queue_time_ms": waited}}
        return envelope | ({"usage": usage, **timed} if usage else {})

    async def _whole(self, parts: list[str], finish: str, kind: str) -> web.StreamResponse:
        text = None if kind == "null" else "".join(parts)
        said = {"message": {"role": "assistant", "content": text}} if self.chat else {"text": text}
        logprobs = answers.logprobs(self.seen.body, parts)
        choice = {"index": 0, **said, "logprobs": logprobs, "finish_reason": finish}
        data = json.dumps(self._envelope([choice], self._usage(len(parts)))).encode()
        if kind == "error_chunk":
            data = json.dumps(error_body("Internal server error", 500)).encode()
        if kind == "broken_json":
            data = data[: len(data) // 2]
        if kind in {"cut", "cut_politely"}:
            return await self._cut(data)
        return web.Response(body=data, content_type="application/json")

    async def _cut(self, data: bytes) -> web.StreamResponse:
        self.seen.ended = "cut"
        headers = {"Content-Type": "application/json", "Content-Length": str(len(data))}
        response = web.StreamResponse(headers=headers)
        await response.prepare(self.request)
        await response.write(data[: len(data) // 2])
        return await self._hang_up()

    async def _hang_up(self) -> web.StreamResponse:
        """Close after what was written has gone out."""
        if self.request.transport is not None:
            self.request.transport.close()
        return await self._nothing()

    # -- streaming ---------------------------------------------------------------------------

    async def _streamed(
        self, parts: list[str], finish: str, kind: str, gpu: Gpu | None
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers=_SSE)
        await response.prepare(self.request)
        broken = {"cut", "cut_politely", "error_chunk", "broken_json"}
        shown = parts[: len(parts) // 2] if kind in broken else parts
        await self._pieces(response, shown, gpu)
        if kind in broken:
            return await self._broken_end(response, kind)
        await self._event(response, self._delta("" if kind != "null" else None, finish))
        if (self.seen.body.get("stream_options") or {}).get("include_usage"):
            await self._event(response, self._envelope([], self._usage(len(parts))))
        await response.write(b"data: [DONE]\n\n")
        return response

    async def _broken_end(self, response: web.StreamResponse, kind: str) -> web.StreamResponse:
        self.seen.ended = kind
        if kind == "cut":
            return await self._hang_up()
        if kind == "error_chunk":
            await self._event(response, error_body("Internal server error", 500))
            await response.write(b"data: [DONE]\n\n")
        if kind == "broken_json":
            await response.write(b'data: {"id": "cmpl-\n\n')
        return response

    async def _pieces(
        self, response: web.StreamResponse, parts: list[str], gpu: Gpu | None
    ) -> None:
        if gpu is None:
            for part in parts:
                await self._event(response, self._delta(part))
            return
        ticks: asyncio.Queue[int] = asyncio.Queue()
        job = self._job(len(parts))
        job.on_token = ticks.put_nowait
        running = asyncio.ensure_future(gpu.run(job))
        try:
            for part in parts:
                await ticks.get()
                await self._event(response, self._delta(part))
            await running
            self.cached = job.cached
        finally:
            running.cancel()

    def _delta(self, text: str | None, finish: str | None = None) -> dict[str, Any]:
        said = {"delta": {"content": text}} if self.chat else {"text": text}
        logprobs = answers.logprobs(self.seen.body, [text]) if text else None
        choice = {"index": 0, **said, "logprobs": logprobs, "finish_reason": finish}
        return self._envelope([choice])

    async def _event(self, response: web.StreamResponse, value: Any) -> None:
        await response.write(b"data: %b\n\n" % json.dumps(value).encode())
