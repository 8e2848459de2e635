"""Servers' dialects, as recorded: what each says, and what must come of it.

Each row is what a server of that name was seen to send: status, headers, and the bytes of a body or
of server-sent events. The right column is the result, or the class and words of the error; a call
that is final takes one request.
"""

from __future__ import annotations

from gzip import compress
from typing import Any, Literal, NamedTuple

import pytest
from dialect_kit import (
    DONE,
    SSE,
    Recorded,
    chat,
    event,
    piece,
    said,
    serving,
    stream,
)
from pydantic import BaseModel

from nlpu import Limits, op
from nlpu import errors as e
from nlpu.runtime import Computer
from nlpu.runtime.handle import Run

LIMITS = Limits(timeout_s=5, patience_s=0.05, attempts=2, backoff_s=0.001)


class Person(BaseModel):
    name: str
    age: int


ANN = Person(name="Ann", age=7)
ANN_JSON = '{"name":"Ann","age":7}'
Colour = Literal["red", "green"]


class Row(NamedTuple):
    server: str
    answers: tuple[Recorded, ...]
    out: Any
    words: str = ""
    kind: Any = str
    requests: int = 1
    stream: bool = False


def row(server: str, answers: Any, out: Any, words: str = "", **more: Any) -> Row:
    several = answers if type(answers) is tuple else (answers,)
    return Row(server, several, out, words, **more)


def streamed(server: str, *events: bytes, out: Any = "Hello.", words: str = "", **more: Any) -> Row:
    return row(server, stream(*events), out, words, stream=True, **more)


def no(message: str, status: int, **error: Any) -> Recorded:
    return said({"error": {"message": message, **error}}, status)


HELLO = (piece("", role="assistant"), piece("Hel"), piece("lo."), piece(None, "stop"))
FILTERED = {
    "message": "The response was filtered due to the prompt triggering Azure OpenAI's content"
    " management policy. Please modify your prompt and retry.",
    "type": None,
    "param": "prompt",
    "code": "content_filter",
    "status": 400,
    "innererror": {"code": "ResponsibleAIPolicyViolation"},
}
GEMINI_KEY = [
    {
        "error": {
            "code": 400,
            "message": "API key not valid. Please pass a valid API key.",
            "status": "INVALID_ARGUMENT",
        }
    }
]
GEMINI_ROOM = [
    {
        "error": {
            "code": 429,
            "message": "You exceeded your current quota, please check your plan and billing"
            " details. Please retry in 0.01s.",
            "status": "RESOURCE_EXHAUSTED",
            "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo"}],
        }
    }
]
USE_OTHER = no(
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use"
    " 'max_completion_tokens' instead.",
    400,
    type="invalid_request_error",
    param="max_tokens",
    code="unsupported_parameter",
)
NO_TEMPERATURE = no(
    "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1)"
    " value is supported.",
    400,
    param="temperature",
    code="unsupported_value",
)
BOTH = no("`temperature` and `top_p` cannot both be specified for this model.", 400)
EXTRA = said(
    {
        "detail": [
            {
                "type": "extra_forbidden",
                "loc": ["body", "stream_options"],
                "msg": "Extra inputs are not permitted",
                "input": {"include_usage": True},
            }
        ]
    },
    422,
)
FRAMES = [  # what models write whose server hands their frame on
    "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>"
    "Hello.<|return|>",
    "<|channel|>final<|message|>Hello.",
    "<|channel>thought\nHm.<channel|>Hello.",
    "<|START_THINKING|>Hm.<|END_THINKING|><|START_RESPONSE|>Hello.<|END_RESPONSE|>",
    "<|open|>think<|sep|>Hm.<|close|>think<|sep|><|open|>response<|sep|>Hello.",
    "◁think▷Hm.◁/think▷Hello.",
]
TABLE = [
    # -- OpenAI
    row("a gateway", said({"error": {"message": "m", "code": "insufficient_quota"}}), e.OutOfQuota),
    row("a gateway", said({"error": {"message": "m", "code": "content_filter"}}), e.Declined),
    row(
        "a gateway",
        said(
            {"error": {"message": "temperature: 0 is not supported, it must be between 0.1 and 1"}},
            400,
        ),
        e.RequestRefused,
        "between",
    ),
    streamed(
        "a gateway",
        *(part.replace(b"Hel", b'{\\"answer\\":').replace(b"lo.", b'\\"yes\\"}') for part in HELLO),
        DONE,
        out=True,
        kind=bool,
    )._replace(stream=False),
    row("openai", chat("Hello."), "Hello."),
    streamed("openai", *HELLO, DONE),
    row("openai", chat(None, refusal="I cannot help with that."), e.Declined, "cannot help"),
    streamed(
        "openai",
        piece(refusal="I cannot"),
        piece(refusal=" help."),
        piece(None, "stop"),
        DONE,
        out=e.Declined,
        words="I cannot help",
    ),
    row("openai", chat("", "content_filter"), e.Declined, "policy of the model's server"),
    row("openai", chat("The first half", "content_filter"), e.Declined, "withheld"),
    row(
        "openai",
        no(
            "You exceeded your current quota, please check your plan and billing details.",
            429,
            type="insufficient_quota",
            code="insufficient_quota",
        ),
        e.OutOfQuota,
        "may spend no more",
    ),
    row(
        "openai",
        (
            no(
                "Rate limit reached for m in organization o on requests per min (RPM):"
                " Limit 3, Used 3. Please try again in 20ms.",
                429,
                type="requests",
                code="rate_limit_exceeded",
            ),
            chat("Hello."),
        ),
        "Hello.",
        requests=2,
    ),
    row(
        "openai",
        no(
            "Request too large for m on tokens per min (TPM): Limit 10000, Requested"
            " 12000. The input or output tokens must be reduced in order to run"
            " successfully.",
            429,
            code="rate_limit_exceeded",
        ),
        e.DoesNotFit,
        "too large",
    ),
    row(
        "openai",
        no("Incorrect API key provided: sk-x.", 401, code="invalid_api_key"),
        e.Unauthorized,
        "API key",
    ),
    row("openai", (USE_OTHER, chat("Hello.")), "Hello.", requests=2),
    row("openai", (USE_OTHER, NO_TEMPERATURE, chat("Hello.")), "Hello.", requests=3),
    row("openai", (NO_TEMPERATURE, NO_TEMPERATURE), e.RequestRefused, "temperature", requests=2),
    row(
        "openai",
        no(
            "Invalid schema for response_format 'result': In context=(), 'additional"
            "Properties' is required to be supplied and to be false.",
            400,
        ),
        e.ConstraintRejected,
        "Simplify",
        kind=Person,
    ),
    # -- Azure
    row("azure", said({"error": FILTERED}, 400), e.Declined, "policy"),
    streamed(
        "azure",
        event({"choices": [], "prompt_filter_results": [{"prompt_index": 0}]}),
        *HELLO,
        event({"choices": [{"index": 0, "finish_reason": None, "content_filter_offsets": {}}]}),
        DONE,
    ),
    row(
        "azure",
        no("The API deployment for this resource does not exist.", 404, code="DeploymentNotFound"),
        e.UnknownProcessor,
        "does not serve this model",
    ),
    row(
        "azure",
        no(
            "Requests to the API have exceeded token rate limit. Please retry after 2 seconds.",
            429,
            code="429",
        ),
        e.Overloaded,
        "overloaded",
        requests=None,
    ),
    # -- Google
    row("gemini", chat("Hello.", "STOP"), "Hello."),
    row("gemini", chat("Hel", "MAX_TOKENS"), e.Truncated),
    row("gemini", chat(None, "SAFETY"), e.Declined, "safety"),
    row("gemini", chat(None, "length"), e.ServerFault, "without text", requests=2),
    row("gemini", chat("<thought>Short.</thought>Hello."), "Hello."),
    row("gemini", said(GEMINI_KEY, 400), e.Unauthorized, "API key"),
    row("gemini", (said(GEMINI_ROOM, 429), chat("Hello.")), "Hello.", requests=2),
    # -- Anthropic
    row("anthropic", chat("Hello.", "end_turn"), "Hello."),
    row("anthropic", chat("", "refusal"), e.Declined, "model declined"),
    row("anthropic", chat("Hel", "max_tokens"), e.Truncated),
    row("anthropic", (BOTH, chat("Hello.")), "Hello.", requests=2),
    row(
        "anthropic",
        no(
            "Your credit balance is too low to access the Anthropic API.",
            400,
            type="invalid_request_error",
        ),
        e.OutOfQuota,
        "credit balance",
    ),
    row(
        "anthropic",
        (
            said(
                {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
                529,
            ),
            chat("Hello."),
        ),
        "Hello.",
        requests=2,
    ),
    # -- Mistral
    row(
        "mistral",
        chat(
            [
                {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
                {"type": "text", "text": "Hello."},
            ]
        ),
        "Hello.",
    ),
    row("mistral", chat("Hel", "model_length"), e.Truncated),
    row("mistral", (EXTRA, stream(*HELLO, DONE)), "Hello.", requests=2, stream=True),
    # -- DeepSeek
    row("deepseek", chat("Hello.", reasoning_content="Hm."), "Hello."),
    streamed(
        "deepseek",
        b": keep-alive\n\n",
        piece(reasoning_content="Hm."),
        piece(None, reasoning_content=None),
        *HELLO,
        DONE,
    ),
    row("deepseek", no("Insufficient Balance", 402, type="unknown_error"), e.OutOfQuota, "pay"),
    row("deepseek", no("Content Exists Risk", 400, type="invalid_request_error"), e.Declined),
    row(
        "deepseek", (chat("", "insufficient_system_resource"), chat("Hello.")), "Hello.", requests=2
    ),
    row(
        "deepseek",
        (no("This response_format type is unavailable now", 400), chat(ANN_JSON)),
        ANN,
        kind=Person,
        requests=2,
    ),
    row("deepseek", Recorded(b"\n\n\n" + chat("Hello.").body), "Hello."),
    # -- Groq
    streamed(
        "groq",
        *HELLO[:-1],
        event(
            {
                "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
                "x_groq": {"usage": {"prompt_tokens": 10, "completion_tokens": 5}},
            }
        ),
        DONE,
    ),
    row(
        "groq",
        no(
            "Failed to generate JSON. Please adjust your prompt.",
            400,
            code="json_validate_failed",
            failed_generation="{",
        ),
        e.Malformed,
        "no valid JSON",
        kind=Person,
    ),
    row(
        "groq",
        no("This model does not support response format `json_schema`.", 400),
        ANN,
        kind=Person,
        requests=2,
    )._replace(
        answers=(
            no("This model does not support response format `json_schema`.", 400),
            chat(f"```json\n{ANN_JSON}\n```"),
        )
    ),
    row(
        "groq",
        (said({"error": {"message": "over capacity"}}, 498), chat("Hello.")),
        "Hello.",
        requests=2,
    ),
    # -- OpenRouter
    streamed("openrouter", b": OPENROUTER PROCESSING\n\n", *HELLO, DONE),
    streamed(
        "openrouter",
        piece("Hel"),
        event(
            {
                "error": {"code": 502, "message": "upstream"},
                "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}],
            }
        ),
        out=e.ServerFault,
        words="502",
        requests=2,
    ),
    row(
        "openrouter",
        said({"error": {"code": 429, "message": "rate-limited upstream"}}),
        e.Overloaded,
        "overloaded",
        requests=None,
    ),
    row(
        "openrouter",
        said(
            {
                "choices": [
                    {
                        "error": {"code": 502, "message": "bad"},
                        "finish_reason": "error",
                        "message": {"content": ""},
                    }
                ]
            }
        ),
        e.ServerFault,
        "502",
        requests=2,
    ),
    row(
        "openrouter",
        no("This request requires more credits, or fewer max_tokens.", 402, code=402),
        e.OutOfQuota,
    ),
    row(
        "openrouter",
        no("Your chosen model requires moderation and your input was flagged for violence.", 403),
        e.Declined,
        "flagged",
    ),
    row("openrouter", no("x/y is not a valid model ID", 400), e.UnknownProcessor),
    row(
        "openai",
        no("Country, region, or territory not supported", 403),
        e.Unauthorized,
        "territory not supported",
    ),
    row("openai", no("Incorrect API key provided", 403), e.Unauthorized, "refuses the API key"),
    # -- servers at home
    row("ollama", no('model "x" not found, try pulling it first', 404), e.UnknownProcessor),
    row("ollama", chat("Hello.", reasoning="Hm."), "Hello."),
    streamed(
        "ollama",
        piece("<think>Hm."),
        piece("</th"),
        piece("ink>\n\nHel"),
        piece("lo."),
        piece("", "stop"),
        DONE,
    ),
    streamed(
        "lmstudio",
        b"event: error\n",
        event({"error": {"message": "The model has crashed"}}),
        out=e.ServerFault,
        words="crashed",
        requests=2,
    ),
    row(
        "lmstudio",
        no(
            "No models loaded. Please load a model in the developer page.",
            404,
            code="model_not_found",
        ),
        e.UnknownProcessor,
    ),
    row("llama.cpp", chat("<think>\nHm.\n</think>\n\nHello."), "Hello."),
    row("llama.cpp", chat("Hm.\n</think>\n\nHello."), "Hello."),
    row("llama.cpp", chat("<think>Hm, and still", "length"), e.Truncated, "thinking"),
    row("llama.cpp", chat("<think>Hm, and still"), e.Truncated, "thinking"),
    row(
        "llama.cpp",
        (no("Loading model", 503, type="unavailable_error", code=503), chat("Hello.")),
        "Hello.",
        requests=2,
    ),
    row(
        "llama.cpp",
        no(
            "the request exceeds the available context size, try increasing it",
            500,
            type="server_error",
        ),
        e.DoesNotFit,
    ),
    row(
        "llama.cpp",
        no(
            "the request exceeds the available context size, try increasing it",
            400,
            type="exceed_context_size_error",
        ),
        e.DoesNotFit,
    ),
    row(
        "vllm",
        said({"object": "error", "message": "Internal server error", "code": 500}),
        e.ServerFault,
        "500",
        requests=2,
    ),
    row("sglang", (chat("Hel", "abort"), chat("Hello.")), "Hello.", requests=2),
    row("tgi", chat("Hello.", "eos_token"), "Hello."),
    row(
        "tgi",
        said(
            {
                "error": "Input validation error: `inputs` tokens + `max_new_tokens` must be"
                " <= 4096",
                "error_type": "validation",
            },
            422,
        ),
        e.DoesNotFit,
    ),
    row(
        "tgi",
        said({"error": "Model is overloaded", "error_type": "overloaded"}, 429),
        e.Overloaded,
        requests=None,
    ),
    *(row("a frame left in", chat(text), "Hello.") for text in FRAMES),
    *(streamed("a frame left in", *map(piece, text), piece("", "stop"), DONE) for text in FRAMES),
    row("gpt-oss", chat(FRAMES[0].removesuffix("Hello.<|return|>"), "stop"), e.EmptyReply),
    row(
        "gpt-oss", chat("<|channel|>analysis<|message|>Hm, and", "length"), e.Truncated, "thinking"
    ),
    row(
        "gpt-oss", chat("Write <|channel|>final<|message|>."), "Write <|channel|>final<|message|>."
    ),
    row("koboldcpp", chat("Hello.", None), "Hello."),
    streamed("koboldcpp", piece("Hel"), piece("lo."), DONE),
    row("deepseek", chat('It is hot.</think>{"answer": "yes"}'), True, kind=bool),
    streamed("old litellm", piece("Hel", "", 1), piece("lo.", "", 1), piece("", "stop", 1), DONE),
    # -- more of the cloud
    row("together", chat("Hello.", "eos"), "Hello."),
    row("cohere", chat("Hello.", "COMPLETE"), "Hello."),
    row("cerebras", chat("Hello.", "end"), "Hello."),
    row(
        "xai",
        said(
            {
                "code": "Client specified an invalid argument",
                "error": "Incorrect API key provided: xa***.",
            },
            400,
        ),
        e.Unauthorized,
    ),
    row(
        "moonshot",
        no(
            "Your account is not active, please check your plan.",
            429,
            type="exceeded_current_quota_error",
        ),
        e.OutOfQuota,
    ),
    row("zhipu", chat("", "sensitive"), e.Declined),
    row("zhipu", (chat("", "network_error"), chat("Hello.")), "Hello.", requests=2),
    row(
        "alibaba",
        no("Input data may contain inappropriate content.", 400, code="data_inspection_failed"),
        e.Declined,
    ),
    row(
        "alibaba",
        no("Access denied, your account is in arrears.", 400, code="Arrearage"),
        e.OutOfQuota,
    ),
    row("bedrock", chat("", "guardrail_intervened"), e.Declined, "policy"),
    row(
        "litellm",
        no(
            "Budget has been exceeded! Current cost: 1.0, Max budget: 1.0",
            400,
            type="budget_exceeded",
        ),
        e.OutOfQuota,
    ),
    row(
        "databricks",
        chat(
            [
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
                {"type": "text", "text": "Hello."},
            ]
        ),
        "Hello.",
    ),
    row("an agent", chat(None, "tool_calls", tool_calls=[{"id": "1"}]), e.Declined, "tool"),
    row("an agent", chat("Hello.", "tool_calls"), "Hello."),
    row("a new one", chat("Hello.", "because"), e.ServerFault, "not known"),
    row(
        "cloudflare",
        Recorded(b"<html>524: a timeout occurred</html>", 524, "text/html"),
        e.ServerFault,
        "web page",
        requests=2,
    ),
    # -- proxies on the way
    streamed("a mark of the byte order", b"\xef\xbb\xbf" + HELLO[1], *HELLO[2:], DONE),
    streamed("text after the end", *HELLO, DONE, piece(" And more."), b"garbage\n\n"),
    streamed(
        "a second choice",
        piece("Hel"),
        piece("No", index=1),
        piece("lo."),
        piece(None, "length", index=1),
        piece(None, "stop"),
        DONE,
    ),
    streamed(
        "data in two lines",
        b'data: {"choices": [{"index": 0,\ndata: "delta": {"content":'
        b' "Hello."}, "finish_reason": "stop"}]}\n\n',
        DONE,
    ),
    streamed("no end of the last event", *HELLO[:-1], HELLO[-1].rstrip()),
    streamed("text in an unended event", piece("Hel"), piece("lo.", "stop").rstrip()),
    streamed("ends of lines", *(part.replace(b"\n", b"\r") for part in HELLO), DONE),
    streamed("no empty lines", *(part.rstrip() + b"\n" for part in HELLO), DONE),
    streamed(
        "half characters",
        b'data: {"choices":[{"delta":{"content":"Oh \\ud83d"}}]}\n\n',
        b'data: {"choices":[{"delta":{"content":"\\ude00."},"finish_reason":"stop"}]}\n\n',
        DONE,
        out="Oh 😀.",
    ),
    streamed(
        "one event",
        event({"choices": [{"message": {"content": "Hello."}, "finish_reason": "stop"}]}),
        DONE,
    ),
    row("no stream", chat("Hello."), "Hello.", stream=True),
    row("json called a stream", chat("Hello.")._replace(kind=SSE), "Hello.", stream=True),
    row(
        "a stream called json", stream(*HELLO, DONE, kind="application/json"), "Hello.", stream=True
    ),
    row("a stream unasked", stream(*HELLO, DONE), "Hello."),
    streamed(
        "cut", piece("Hel"), piece("lo."), out=e.ConnectionLost, words="ended before", requests=2
    ),
    # -- the same, in other words
    row("an adapter", chat([{"type": "output_text", "text": "Hello."}]), "Hello."),
    row("an adapter", chat(["Hel", {"type": "text", "text": "lo."}]), "Hello."),
    row("an adapter", chat({"type": "text", "text": "Hello."}), "Hello."),
    row("an adapter", chat([{"type": "refusal", "refusal": "I cannot."}]), e.Declined, "I cannot"),
    row("an adapter", chat([{"type": "image"}]), e.ServerFault, "without text", requests=2),
    row("an adapter", chat([{"type": "text", "text": ""}]), e.EmptyReply),
    row("an adapter", said({"choices": [{"text": "Hello.", "finish_reason": "stop"}]}), "Hello."),
    row("an adapter", chat("Hello.", "FINISH_REASON_STOP"), "Hello."),
    row("an adapter", chat("Hello.", "endTurn"), "Hello."),
    row("an adapter", chat("Hel", "max-tokens"), e.Truncated),
    row("an adapter", chat("", "content-filter"), e.Declined, "policy"),
    row("an adapter", chat("", "contentFiltered"), e.Declined, "policy"),
    row("an adapter", chat("", "FINISH_REASON_UNSPECIFIED"), e.ServerFault, "off", requests=2),
    row("cohere", chat("", "ERROR_TOXIC"), e.Declined, "policy"),
    streamed("an adapter", *HELLO, b'data: "[DONE]"\n\n'),
    streamed("an adapter", *HELLO, b"data: [done]\n\n"),
    row(
        "nginx",
        Recorded(b"<html><h1>413 Request Entity Too Large</h1></html>", 413, "text/html"),
        e.DoesNotFit,
        "or a proxy before it, takes (413)",
    ),
    row("groq", no("Request Entity Too Large", 413), e.DoesNotFit, "Request Entity Too Large"),
    row(
        "a proxy",
        Recorded(compress(chat("Hello.").body), headers=(("Content-Encoding", "gzip"),)),
        e.ServerFault,
        "compressed its answer",
    ),
    # -- right answers, written otherwise
    row("plain", chat("True"), True, kind=bool),
    row("plain", chat('{"answer": false}'), False, kind=bool),
    row("plain", chat('{"answer": true}'), "true", kind=Literal["true", "false"]),
    row("plain", chat("truely"), e.Malformed, kind=bool),
    row("fence", chat(f"```json\n{ANN_JSON}\n```"), ANN, kind=Person),
    row("fence", chat(f"Here it is:\n```\n{ANN_JSON}\n```\nDone."), ANN, kind=Person),
    row("fence", chat('```json\n{"answer": "yes"}\n```'), True, kind=bool),
    row(
        "fences", chat(f"```\n{ANN_JSON}\n```\nor\n```\n{ANN_JSON}\n```"), e.Malformed, kind=Person
    ),
    row("plain", chat("Yes."), True, kind=bool),
    row("plain", chat("**No**"), False, kind=bool),
    row("plain", chat("Red"), "red", kind=Colour),
    row("plain", chat('{"answer": "Green."}'), "green", kind=Colour),
    row("plain", chat("3.0"), 3, kind=int),
    row("plain", chat('{"answer": 3.0}'), 3, kind=int),
    row("plain", chat("3.5"), e.Malformed, kind=int),
    row("plain", chat("Yes, it is."), e.Malformed, kind=bool),
]


def ended(url: str, kind: Any, streams: bool) -> tuple[Run, str]:
    with Computer(url, limits=LIMITS) as computer:
        run = computer.start(lambda: op("Ask", out=kind, retries=0)("x"), stream=streams)
        pieces = "".join(run.stream()) if streams else ""
        return run.wait(), pieces


@pytest.mark.parametrize("row", TABLE, ids=[f"{n}-{row.server}" for n, row in enumerate(TABLE)])
def test_what_a_server_says_has_one_meaning(row: Row) -> None:
    with serving(*row.answers) as served:
        run, pieces = ended(served.url, row.kind, row.stream)
    if isinstance(row.out, type) and issubclass(row.out, Exception):
        error = e.root_of(run.error)
        assert type(error) is row.out, repr(error)
        assert row.words in str(error)
        assert "sk-x" not in str(error)
    else:
        assert run.error is None, repr(run.error)
        assert run.result == row.out
        assert not row.stream or pieces == row.out
    assert row.requests in (None, len(served.asked))


def test_the_table_is_wide() -> None:
    assert len({row.server for row in TABLE}) >= 30


def test_what_is_refused_by_name_is_left_out_from_then_on() -> None:
    refusals = (USE_OTHER, NO_TEMPERATURE, chat("Hello."))
    with serving(*refusals) as served, Computer(served.url, limits=LIMITS) as computer:
        asks = op("Ask")
        run = computer.run(lambda: [str(asks("x")), str(asks("y"))])
        assert run.result == ["Hello.", "Hello."]
        assert run.receipt.attempts == 2
    names = [
        set(body) & {"max_tokens", "max_completion_tokens", "temperature"} for body in served.asked
    ]
    full = {"max_tokens", "temperature"}
    assert names == [
        full,
        {"max_completion_tokens", "temperature"},
        *[{"max_completion_tokens"}] * 2,
    ]


NO_SYSTEM = [
    no("System role not supported", 400),
    no("Unsupported value: 'messages[0].role' does not support 'system' with this model.", 400),
    no("Developer instruction is not enabled for models/gemma-3-27b-it", 400),
    no("Conversation roles must alternate user/assistant/user/assistant/...", 500),
    no("Only user and assistant roles are supported!", 400),
]


@pytest.mark.parametrize("refusal", NO_SYSTEM)
def test_where_no_system_may_speak_its_text_is_the_first_user_s(refusal: Recorded) -> None:
    with serving(refusal, chat("Hello.")) as served, Computer(served.url, limits=LIMITS) as made:
        asks = op("Ask", system="Be brief.")
        run = made.run(lambda: [str(asks("x")), str(asks("y"))])
        assert run.result == ["Hello.", "Hello."] and run.receipt.attempts == 2
    first, *others = [body["messages"] for body in served.asked]
    assert [turn["role"] for turn in first] == ["system", "user"] and len(others) == 2
    assert others[0] == [
        {"role": "user", "content": f"{first[0]['content']}\n\n{first[1]['content']}"}
    ]
    assert [turn["role"] for turn in others[1]] == ["user"]


def test_who_refuses_that_too_is_not_asked_again() -> None:
    with serving(NO_SYSTEM[0]) as served:
        run, _ = ended(served.url, str, False)
        assert isinstance(e.root_of(run.error), e.RequestRefused) and len(served.asked) == 2


@pytest.mark.parametrize(
    "path", ["/v1beta/openai", "/api/paas/v4", "/openai/v1", "/inference", "/v1"]
)
@pytest.mark.parametrize("end", ["", "/", "/chat/completions"])
def test_a_path_that_ends_otherwise_than_in_v1(path: str, end: str) -> None:
    with serving(chat("Hello."), path=path) as served:
        given = served.url.removesuffix(path.removesuffix("/v1")) + path
        assert ended(given + end, str, False)[0].result == "Hello."


@pytest.mark.parametrize(
    ("models", "name"),
    [
        ([{"id": "m"}], "m"),
        ({"data": [{"id": "models/gemini-x"}, {"id": "other"}]}, "gemini-x"),
        ({"data": [{"id": "llama:latest"}, {"id": "other"}]}, "llama"),
        ({"data": [{"id": "m", "max_model_len": "4096"}]}, "m"),
        ({"data": [{"id": "m", "context_length": 1e99}]}, "m"),
    ],
)
def test_lists_of_models_as_servers_give_them(models: Any, name: str) -> None:
    with serving(chat("Hello."), models=models) as served:
        with Computer(served.url, model=name, limits=LIMITS) as computer:
            assert computer.run(lambda: op("Ask")("x")).result == "Hello."
        assert served.asked[0]["model"].startswith(("m", "models/", "llama"))


def test_of_hundreds_of_models_the_nearest_are_named() -> None:
    many = {"data": [{"id": f"maker-{n}/model-{n}"} for n in range(500)]}
    with serving(chat("Hello."), models=many) as served:
        for model, first in (("maker-333/modl-333", "maker-333/model-333, "), (None, "maker-0/")):
            with pytest.raises(e.UnknownProcessor) as raised:
                Computer(served.url, model=model).start(lambda: op("Ask")("x"))
            said = str(raised.value)
            assert f": {first}" in said and " and 480 more." in said and len(said) < 700


def test_a_server_without_a_model_says_so() -> None:
    none = {"object": "list", "data": None}
    with (
        serving(chat("Hello."), models=none) as served,
        pytest.raises(e.UnknownProcessor, match="serves no model"),
    ):
        ended(served.url, str, False)
