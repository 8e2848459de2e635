"""What is sent to an OpenAI-compatible server: the bytes of a request body.

Theory of operation
-------------------
A ``Dialect`` says what the server at hand takes: token ids or messages, vLLM's extensions or only
the common ground. ``encode`` gives the body of a request; ``decode`` reads the answer.

The body is joined from fragments rather than dumped from a dict: the options of most requests are
the same few, so their JSON is made once (``_options``) and only the prompt is written each time.

Rules
1. Everything that shapes the generation is sent (``parameters``). vLLM otherwise takes top_k, min_p
   and penalties from the model's ``generation_config.json``, and two servers would differ silently.
   Any other server gets what was set alone, besides temperature and top_p.
2. A constraint's ``spec`` is pasted as JSON only after it was parsed once.
3. A choice or number on a server without ``structured_outputs`` is asked for as
   ``{"answer": ...}``; any other regex there is ``ConstraintRejected``, never ignored.
4. A token prompt that leaves no room for ``max_tokens`` is refused here: vLLM would silently
   generate less.
5. A parameter that the server has refused by name is not sent to it again; one that only some
   servers have (``offers``, ``hints``) is sent where this one was found to have it.
6. Nothing here does I/O.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, cast

from nlpu.engines.first_token import Begun
from nlpu.engines.grammar import grammar_of, loaded
from nlpu.engines.http import hints, offers
from nlpu.engines.http.choices import asking
from nlpu.engines.parameters import COMMON, VLLM
from nlpu.errors import ConstraintRejected, RequestRefused
from nlpu.prompt.ids import json_of
from nlpu.sampling import Sampling
from nlpu.types.result import NUMBER_SCHEMAS
from nlpu.wire import Constraint, Request

_ALWAYS = frozenset({"temperature", "top_p"})
_LIMIT, _RENAMED_LIMIT = b',"max_tokens":%d', b',"max_completion_tokens":%d'


@dataclass(frozen=True, slots=True)
class Dialect:
    """What the server takes. ``where`` is its name in messages, ``secret`` is never shown.

    untaken: parameters that it has refused by name; ``max_tokens`` has another name then, and the
             text of a ``system`` is the first user's.
    begun:   for choices (a constraint's ``spec``) the tokens that begin them (``choices``).
    takes:   fields that it names itself (``offers``).
    salt:    the secret that cached prompts of different labels are kept apart by; None: they share.
    programs: it is a router that schedules programs (``hints``).
    traced:  each request names its place in its run's trace.
    """

    where: str
    model: str
    window: int
    vllm: bool
    tokens: bool
    seed: bool
    priority: bool
    secret: str | None = None
    untaken: frozenset[str] = frozenset()
    begun: dict[str, Begun] = field(default_factory=dict, hash=False)
    takes: frozenset[str] = frozenset()
    salt: str | None = None
    programs: bool = False
    traced: bool = False

    @property
    def head(self) -> bytes:
        return b'{"model":%b' % json.dumps(self.model).encode()

    def begun_of(self, request: Request) -> Begun:
        """The tokens that begin the choices to be weighed; () where there are none to go by."""
        if not request.probabilities or request.constraint is None:
            return ()
        return self.begun.get(request.constraint.spec, ())


# -- requests --------------------------------------------------------------------------------


def encode(dialect: Dialect, head: bytes, request: Request, stream: bool) -> bytes:
    """The request body. ``head`` is ``dialect.head``, made once."""
    begun = dialect.begun_of(request)
    more = asking(begun, dialect.tokens) if request.probabilities else ()
    asked = request.sampling
    parts = [
        head,
        _prompt(dialect, request),
        (_RENAMED_LIMIT if "max_tokens" in dialect.untaken else _LIMIT)
        % (1 if begun else asked.max_tokens),
        _options(
            dialect.vllm,
            stream,
            asked,
            None if begun else request.constraint,
            more,
            dialect.untaken,
            "repetition_detection" in dialect.takes,
        ),
    ]
    if dialect.seed and asked.seed is not None:
        parts.append(b',"seed":%d' % asked.seed)
    if dialect.priority and request.priority:
        parts.append(b',"priority":%d' % request.priority)
    if dialect.salt is not None:
        parts.append(b',"cache_salt":"%b"' % hints.salt(dialect.salt, request).encode())
    if dialect.programs and (told := hints.context(request)):
        parts.append(b',"vllm_xargs":{"agentic_context":%b}' % json.dumps(told).encode())
    if dialect.vllm and request.id:  # shows in the server's log; vLLM makes it unique itself
        parts.append(b',"request_id":%b' % json.dumps(request.id).encode())
    parts.append(b"}")
    return b"".join(parts)


def _prompt(dialect: Dialect, request: Request) -> bytes:
    if dialect.tokens:
        return b',"prompt":' + json_of(cast("Sequence[int]", request.prompt))
    turns = [
        {"role": m.role, "content": m.content} for m in request.prompt if not isinstance(m, int)
    ]
    if len(turns) != len(request.prompt):
        raise RequestRefused(
            f"{dialect.where} takes messages, not token ids. Name its tokenizer, or encode messages"
            " (Capabilities.token_prompts says which)."
        )
    if "system" in dialect.untaken:
        turns = _of_users(turns)
    return b',"messages":%b' % json.dumps(turns).encode()


def _of_users(turns: list[dict[str, str]]) -> list[dict[str, str]]:
    """The turns with the system's at the start of the first user's, as frames without it do."""
    if not turns or turns[0]["role"] != "system":
        return turns
    told, rest = turns[0]["content"], turns[1:]
    if rest and rest[0]["role"] == "user":
        told, rest = f"{told}\n\n{rest[0]['content']}", rest[1:]
    return [{"role": "user", "content": told}, *rest]


@lru_cache(maxsize=512)
def _options(
    vllm: bool,
    stream: bool,
    asked: Sampling,
    constraint: Constraint | None,
    more: tuple[tuple[str, Any], ...],
    untaken: frozenset[str],
    detects: bool,
) -> bytes:
    told = VLLM if vllm else [name for name in COMMON if name in asked.wanted | _ALWAYS]
    options: dict[str, Any] = {name: getattr(asked, name) for name in told}
    options |= {**asked.extra, **dict(more)}
    if asked.stop:
        options["stop"] = asked.stop
    if detects and "repetition_detection" not in options and not more:
        long = offers.ended_early(asked.max_tokens, constraint)
        options |= {"repetition_detection": offers.REPETITION} if long else {}
    if constraint is not None:
        options |= _vllm_constraint(constraint) if vllm else _common_constraint(constraint)
    if stream:
        options |= {"stream": True, "stream_options": {"include_usage": True}}
    options = {name: value for name, value in options.items() if name not in untaken}
    if not options:
        return b""
    return b"," + json.dumps(options, separators=(",", ":")).encode()[1:-1]


def _vllm_constraint(constraint: Constraint) -> dict[str, Any]:
    """A schema goes as our grammar: vLLM's own reading of schemas refuses what types allow."""
    if constraint.kind == "json":
        return {"structured_outputs": {"grammar": grammar_of(constraint)}}
    spec = constraint.spec if constraint.kind == "regex" else loaded(constraint)
    return {"structured_outputs": {constraint.kind: spec}}


def _common_constraint(constraint: Constraint) -> dict[str, Any]:
    if constraint.kind == "json":
        schema = loaded(constraint)
    else:
        schema = {
            "type": "object",
            "properties": {"answer": _answer_schema(constraint)},
            "required": ["answer"],
            "additionalProperties": False,
        }
    named = {"name": "result", "strict": True, "schema": schema}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


def _answer_schema(constraint: Constraint) -> dict[str, Any]:
    if constraint.kind == "choice":
        return {"type": "string", "enum": loaded(constraint)}
    if constraint.spec not in NUMBER_SCHEMAS:
        raise ConstraintRejected(
            "This server takes no regular expressions but those of numbers (it is not vLLM)."
            " Use a choice or JSON result type, or serve the model with vLLM."
        )
    return NUMBER_SCHEMAS[constraint.spec]
