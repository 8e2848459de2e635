"""Rows of clouds that differ from the others in a word or two."""

from __future__ import annotations

from dialect_kit import Recorded, chat, said

from dialects.rows import no, row
from nlpu import errors as e

MORE_CLOUDS = [
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
]
