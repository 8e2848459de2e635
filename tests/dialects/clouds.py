"""Rows of clouds whose dialect is their own: Google's to OpenRouter's."""

from __future__ import annotations

from dialect_kit import DONE, Recorded, chat, event, piece, said, stream

from dialects.rows import ANN, ANN_JSON, HELLO, Person, no, row, streamed
from nlpu import errors as e

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
CLOUDS = [
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
]
