"""A GGUF model's tokenizer: as files that everything else reads, or asked of llama.cpp.

Theory of operation
-------------------
A run's header names a directory with ``tokenizer.json`` and the chat template, so that a replay, a
forecast or a report can read prompts without the model. GGUF keeps the same facts as metadata. For
byte-level BPE whose pre-tokenizer is known here they are written out as such files once a model,
under its sha256. Whether they are right is not assumed: llama.cpp cuts a probe, too, and where the
two differ, or the kind of tokenizer is another, llama.cpp itself is asked for every text.

Rules
1. Ids are those of llama.cpp's tokenizer: files that disagree on the probe are not used.
2. No text is normalised: what the user wrote is what the model reads.
3. A directory is complete or absent: it is written beside its place and renamed into it.
4. Special tokens are those that the file calls control tokens; no plain text becomes one.
5. The cache only saves time: where it cannot be written, the directory is a passing one that is
   removed when the process ends.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from nlpu.engines.embedded.gguf import metadata_of
from nlpu.engines.models.files import ModelFiles
from nlpu.engines.models.store import cache_dir, storing
from nlpu.errors import StorageFailed
from nlpu.tokens import PROBES, FileTokenizer, Tokenizer, tokenizer_in

_LISTS = ("tokens", "token_type", "merges")
_CONTROL = 3
_COMPLETE = "tokenizer_config.json"
_BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_ENDINGS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"

Ask = Callable[[str, bool], list[int]]


def _split(pattern: str) -> list[dict[str, Any]]:
    cut = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return [cut, {**_BYTE_LEVEL, "use_regex": False}]


_PRE_TOKENIZERS: dict[str, list[dict[str, Any]]] = {  # by llama.cpp's names for them
    "gpt-2": [{**_BYTE_LEVEL, "use_regex": True}],
    "smollm": [
        {"type": "Digits", "individual_digits": True},
        {**_BYTE_LEVEL, "use_regex": True},
    ],
    "qwen2": _split(rf"{_ENDINGS}|{_WORDS}|\p{{N}}|{_REST}"),
    "llama-bpe": _split(rf"{_ENDINGS}|{_WORDS}|\p{{N}}{{1,3}}|{_REST}"),
}


class AskedTokenizer:
    """llama.cpp's own tokenizer, asked for each text."""

    exact = True

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def encode(self, text: str, special: bool = False) -> list[int]:
        """The ids of a text; with ``special`` (trusted text only) markers become their tokens."""
        return self._ask(text, special) if text else []


def tokenizer_files(model: ModelFiles) -> Path:
    """Find the directory of a GGUF model's template and, where it can be, ``tokenizer.json``.

    It is written on first use. Raises MissingPart for a file that is no GGUF, StorageFailed.
    """
    home = cache_dir() / "tokenizers" / model.sha256[:16]
    return _kept(home, lambda: _files(model.path))


def vocabulary(model: ModelFiles, ask: Ask) -> tuple[Path, Tokenizer]:
    """Give the directory and the tokenizer of a loaded model; ``ask`` is llama.cpp's.

    The directory has no ``tokenizer.json`` where llama.cpp has to be asked (rule 1). Raises as
    ``tokenizer_files`` does.
    """
    home, asked = tokenizer_files(model), AskedTokenizer(ask)
    if not (home / "tokenizer.json").is_file():
        return home, asked
    ours = tokenizer_in(home)
    if _agree(ours, asked):
        return home, ours
    files = {file.name: file.read_text("utf-8") for file in home.iterdir()}
    del files["tokenizer.json"]
    return _kept(home.with_name(home.name + "-asked"), lambda: files), asked


def _agree(ours: FileTokenizer, asked: AskedTokenizer) -> bool:
    return all(ours.encode(probe) == asked.encode(probe) for probe in PROBES)


def _files(gguf: Path) -> dict[str, str]:
    facts = metadata_of(gguf, [f"tokenizer.ggml.{name}" for name in _LISTS])
    known = {key.removeprefix("tokenizer.ggml."): value for key, value in facts.items()}
    tokens = known.get("tokens", [])
    config = {
        f"{name}_token": tokens[known[f"{name}_token_id"]]
        for name in ("bos", "eos")
        if known.get(f"{name}_token_id", len(tokens)) < len(tokens)
    }
    begins = known.get("add_bos_token", known.get("model") == "llama")
    files = {_COMPLETE: _text({**config, "add_bos_token": bool(begins)})}
    template = facts.get("tokenizer.chat_template")
    if template:
        files["chat_template.jinja"] = template
    if known.get("model") == "gpt2" and known.get("pre") in _PRE_TOKENIZERS:
        files["tokenizer.json"] = _text(_tokenizer(known))
    return files


def _tokenizer(known: dict[str, Any]) -> dict[str, Any]:
    """A tokenizer.json of byte-level BPE (format: the ``tokenizers`` library's own)."""
    tokens, kinds = known["tokens"], known["token_type"]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    added = [
        {"id": id, "content": tokens[id], **flags, "special": True}
        for id, kind in enumerate(kinds)
        if kind == _CONTROL
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "post_processor": None,
        "decoder": _BYTE_LEVEL,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": _PRE_TOKENIZERS[known["pre"]],
        },
        "model": {
            "type": "BPE",
            "vocab": {token: id for id, token in enumerate(tokens)},
            "merges": known["merges"],
            "ignore_merges": known["pre"] == "llama-bpe",
        },
    }


def _text(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False)


def _kept(place: Path, make: Callable[[], dict[str, str]]) -> Path:
    """The place with its files, made if they are not there; or a passing one (rule 5)."""
    if (place / _COMPLETE).is_file():
        return place
    files = make()
    try:
        _publish(place, files)
    except StorageFailed:
        place = _passing() / place.name
        if not (place / _COMPLETE).is_file():
            _publish(place, files)
    return place


@cache
def _passing() -> Path:
    """A directory for as long as this process lives. Raises StorageFailed."""
    with storing(Path(tempfile.gettempdir())):
        place = Path(tempfile.mkdtemp(prefix="nlpu-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return place


def _publish(place: Path, files: dict[str, str]) -> None:
    with storing(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
        try:
            for name, text in files.items():
                (work / name).write_text(text, encoding="utf-8")
            os.rename(work, place)
        except OSError:
            # Somebody else wrote it at the same time; theirs is as good as ours.
            if not (place / _COMPLETE).is_file():
                raise
        finally:
            shutil.rmtree(work, ignore_errors=True)
