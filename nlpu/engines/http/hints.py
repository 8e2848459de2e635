"""What is told beside a request of where it comes from: to a tracer, a cache, a router of programs.

Theory of operation
-------------------
A ``Request`` can say where in which run it was issued (``nlpu.engines.origin``). A collector of
traces hangs a server's spans under the call by ``traceparent``. A prefix cache keeps prompts of two
labels apart by ``cache_salt``. A vllm-router that schedules programs takes, in
``vllm_xargs.agentic_context``, a JSON object in a string: vLLM behind it refuses an object.

    program_id               run, scope, and what the prompt's first operand begins with
    parent_program_id        run and the scope around it; with blocks_parent: something waits
    root_program_id          run and its outermost scope
    priority                 tokens that wait for it, along the longest path: larger is sooner
    expected_output_length   the most that it may generate

Rules
1. A prompt without a long operand has no program: there is nothing that a server could keep for it,
   and ten thousand short calls of one scope must not all go to one server. Nor has one of messages,
   of which nobody knows any more what was an operand.
2. The calls of one scope on one document are one program, and so are the turns of a transcript that
   grows at its end; calls on other documents are other programs.
3. Draws of one moment have equal hints, so that they remain one request (``together``).
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import Any

from nlpu.engines.http.body import parsed
from nlpu.engines.origin import Origin, salt_of
from nlpu.label import UNTRUSTED
from nlpu.prompt.ids import Prompt
from nlpu.wire import Request

BEGINNING = 128  # tokens of an operand by which it is known


async def schedules_programs(ask: Callable[..., Awaitable[tuple[int, bytes, Any]]]) -> bool:
    """Whether it is a vllm-router that takes what is told here of a program."""
    status, body, _ = await ask("GET", "scheduling/diagnostics")
    try:
        return status == 200 and parsed(body)["enabled"] is True
    except (ValueError, LookupError, TypeError):
        return False


def parent_of(request: Request) -> bytes:
    """The line of the head that names the request's place in its run's trace; b"" without one."""
    if request.origin is None:
        return b""
    origin: Origin = request.origin()
    return f"traceparent: 00-{origin.trace}-{origin.span}-01\r\n".encode()


def salt(secret: str, request: Request) -> str:
    """What its cached prompt is kept apart by; without a label it is nobody's."""
    return salt_of(secret, UNTRUSTED if request.origin is None else request.origin().label)


def context(request: Request) -> str:
    """The request's ``agentic_context``; "" where it has none (rule 1)."""
    beginning = _beginning(request.prompt)
    if request.origin is None or not beginning:
        return ""
    origin: Origin = request.origin()
    around = origin.scope.rpartition("/")[0]
    told: dict[str, Any] = {
        "program_id": f"{origin.trace}:{origin.scope}:{beginning}",
        "root_program_id": f"{origin.trace}:{origin.scope.partition('/')[0]}",
        "priority": origin.depends,
        "expected_output_length": request.sampling.max_tokens,
    }
    if around:
        told |= {
            "parent_program_id": f"{origin.trace}:{around}",
            "blocks_parent": origin.depends > 0,
        }
    return json.dumps(told, separators=(",", ":"))


def _beginning(prompt: Any) -> str:
    """A hash of what the longest of its operands begins with; "" where that is short."""
    operands = prompt.pieces[1::2] if isinstance(prompt, Prompt) else ()
    ids = max((piece.ids for piece in operands), key=len, default=())
    if len(ids) < BEGINNING:
        return ""
    return blake2b(str(ids[:BEGINNING]).encode(), digest_size=8).hexdigest()
