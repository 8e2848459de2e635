"""OpenAI's rows, Azure's, and those of a gateway before them."""

from __future__ import annotations

from dialect_kit import DONE, chat, event, piece, said

from dialects.rows import HELLO, NO_TEMPERATURE, USE_OTHER, Person, no, row, streamed
from nlpu import errors as e

FILTERED = {
    "message": "The response was filtered due to the prompt triggering Azure OpenAI's content"
    " management policy. Please modify your prompt and retry.",
    "type": None,
    "param": "prompt",
    "code": "content_filter",
    "status": 400,
    "innererror": {"code": "ResponsibleAIPolicyViolation"},
}
OPENAI = [
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
]
