"""The scripted server's answers to questions about itself, and the shapes of its refusals."""

from __future__ import annotations

from functools import lru_cache
from math import inf
from typing import TYPE_CHECKING, Any

from aiohttp import web

from benchmarks.fake_vllm.blocks import BLOCK

if TYPE_CHECKING:
    from benchmarks.fake_vllm.gpu import Gpu
    from benchmarks.fake_vllm.server import FaultServer

_TYPES = {400: "BadRequestError", 404: "NotFoundError", 500: "InternalServerError"}


def error_body(message: str, code: int) -> dict[str, Any]:
    kind = _TYPES.get(code, "ServiceUnavailableError")
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def json_response(value: Any, status: int = 200, **headers: str) -> web.Response:
    return web.json_response(value, status=status, headers=headers)


async def asked(server: FaultServer, request: web.BaseRequest, path: str) -> web.StreamResponse:
    """Questions about the server."""
    if path == "/v1/models":
        return json_response({"object": "list", "data": [_card(server, m) for m in server.models]})
    if path == "/health":  # an engine may be dead behind a healthy front
        return web.Response()
    if server.vllm and path == "/openapi.json" and server.offers:
        return json_response(_described(server.offers))
    if server.programs and path == "/scheduling/diagnostics":
        return json_response({"enabled": True, "ranks": []})
    if server.vllm and path == "/version":
        return json_response({"version": "0.32.0"})
    if server.vllm and path == "/metrics" and server.gpu:
        return web.Response(text=metrics_of(server.gpu))
    if server.vllm and path == "/tokenize" and server.tokenizer:
        ids = _ids(server.tokenizer, await request.json())
        told = {"tokens": ids, "count": len(ids), "max_model_len": server.window}
        return json_response(told)
    return json_response({"detail": "Not Found"}, 404)


def _described(offers: frozenset[str]) -> dict[str, Any]:
    """The fields of its requests, as vLLM describes them."""
    schema: dict[str, Any] = {
        "properties": {name: {} for name in sorted({"model", "max_tokens", *offers})}
    }
    both = {"CompletionRequest": schema, "ChatCompletionRequest": schema}
    return {"openapi": "3.1.0", "components": {"schemas": both}}


def metrics_of(gpu: Gpu) -> str:
    """vLLM's counters and gauges, under its names."""
    counters: dict[str, float] = {
        "iteration_tokens_total_count": gpu.steps,
        "prompt_tokens_total": gpu.prompt_tokens,
        "prefix_cache_hits_total": gpu.cached_tokens,
        "generation_tokens_total": gpu.generated,
        "num_preemptions_total": gpu.preempted,
        "num_requests_running": gpu.running,
        "num_requests_waiting": gpu.waiting,
        "kv_cache_usage_perc": gpu.usage,
    }
    ours = f"simulated:lost_seconds_total {gpu.lost_s}\n"
    if gpu.window != inf:
        room = f'block_size="{BLOCK}",engine="0",num_gpu_blocks="{gpu.window // BLOCK}"'
        ours += f"vllm:cache_config_info{{{room}}} 1.0\n"
    return "".join(f"vllm:{name} {count}\n" for name, count in counters.items()) + ours


def _card(server: FaultServer, model: str) -> dict[str, Any]:
    card: dict[str, Any] = {"id": model, "object": "model", "created": 0}
    if server.vllm:
        root = server.tokenizer or f"models/{model}"
        card |= {"owned_by": "vllm", "root": root, "max_model_len": server.window}
    return card


def _ids(directory: str, question: dict[str, Any]) -> list[int]:
    turns = [f"{each['role']}\n{each['content']}\n" for each in question.get("messages", ())]
    text = question.get("prompt", "".join(turns))
    ids: list[int] = _tokenizer(directory).encode(text, add_special_tokens=False).ids
    return ids


@lru_cache
def _tokenizer(directory: str) -> Any:
    """Loading it takes a tenth of a second."""
    from tokenizers import Tokenizer

    return Tokenizer.from_file(f"{directory}/tokenizer.json")
