"""Rows of servers at home, and of models whose frame they leave in."""

from __future__ import annotations

from dialect_kit import DONE, chat, event, piece, said

from dialects.rows import no, row, streamed
from nlpu import errors as e

FRAMES = [  # what models write whose server hands their frame on
    "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>"
    "Hello.<|return|>",
    "<|channel|>final<|message|>Hello.",
    "<|channel>thought\nHm.<channel|>Hello.",
    "<|START_THINKING|>Hm.<|END_THINKING|><|START_RESPONSE|>Hello.<|END_RESPONSE|>",
    "<|open|>think<|sep|>Hm.<|close|>think<|sep|><|open|>response<|sep|>Hello.",
    "◁think▷Hm.◁/think▷Hello.",
]
HOME = [
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
]
