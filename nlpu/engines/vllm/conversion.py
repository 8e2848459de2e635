"""A GGUF model as the folder of safetensors that vLLM and transformers serve.

Theory of operation
-------------------
vLLM serves GGUF badly and safetensors well. ``python -m nlpu.engines.vllm.conversion [MODEL]``
unpacks a model once, with transformers (the extra ``transformers``), into a folder under the cache;
everybody else asks ``converted`` for that folder. The tokenizer's files are those that the embedded
processor reads, checked against llama.cpp, and not transformers' reading of the GGUF, which loses
what GGUF says by a word alone (its ``smollm`` splits digits).

Rules
1. A folder is complete or absent: it is written beside its place and renamed into it.
2. Weights are dequantised to bf16: the numbers are those of the GGUF, the file is larger.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from nlpu.engines.embedded.vocabulary import tokenizer_files
from nlpu.engines.models import ModelFiles, fetch_model, installed_model
from nlpu.engines.models.store import cache_dir, storing
from nlpu.errors import MissingPart, NlpuError
from nlpu.extras import adding

_COMPLETE = ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors")


def converted(name: str | None = None) -> Path:
    """Find the folder of a model: as it is, or as it was converted. Raises MissingPart."""
    model = installed_model(name)
    if not model.is_gguf:
        return model.path
    place = _place(model)
    if not _is_whole(place):
        raise MissingPart(
            f"{model.name} is not converted for vLLM yet: run `python -m "
            f"nlpu.engines.vllm.conversion {model.name}`, which needs the extra transformers "
            f"({adding('transformers')})"
        )
    return place


def convert(model: ModelFiles) -> Path:
    """Write the folder of a GGUF model, unless it is there, and give it. Raises MissingPart."""
    place = _place(model)
    if _is_whole(place):
        return place
    with storing(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
        try:
            _unpack(model.path, work)
            _add_tokenizer(model, work)
            _publish(work, place)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return place


def _place(model: ModelFiles) -> Path:
    return cache_dir() / "folders" / model.sha256[:16] / model.name.rsplit("/", 1)[-1]


def _is_whole(place: Path) -> bool:
    return all((place / part).is_file() for part in _COMPLETE)


def _unpack(gguf: Path, work: Path) -> None:
    # Imported here: seconds of loading that only this one-time step needs.
    try:
        import torch
        from transformers import AutoModelForCausalLM, GgufConfig
        from transformers.utils import logging
    except ImportError as error:
        raise MissingPart(
            f"{error.name} is needed to convert a model: {adding('transformers')}"
        ) from error
    logging.disable_progress_bar()
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        local_files_only=True,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16,
    )
    model.save_pretrained(work)


def _add_tokenizer(model: ModelFiles, work: Path) -> None:
    for file in tokenizer_files(model).iterdir():
        shutil.copy(file, work)
    if not (work / "tokenizer.json").is_file():
        raise MissingPart(
            f"the tokenizer of {model.name} has no files that vLLM reads: "
            "name the model's own folder instead of its GGUF"
        )
    config = _edit(work / "config.json", drop=("_model_name_or_path",))
    _edit(work / "generation_config.json", drop=("_from_model_config",))
    # The generic class reads tokenizer.json as it stands, in every version of transformers.
    _edit(
        work / "tokenizer_config.json",
        change={
            "model_max_length": config["max_position_embeddings"],
            "tokenizer_class": "PreTrainedTokenizerFast",
        },
    )


def _edit(
    path: Path, drop: tuple[str, ...] = (), change: dict[str, Any] | None = None
) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    content = {key: value for key, value in content.items() if key not in drop} | (change or {})
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return content


def _publish(work: Path, place: Path) -> None:
    for file in work.iterdir():
        file.chmod(0o644)
    work.chmod(0o755)
    try:
        os.rename(work, place)
    except OSError:
        # Somebody else converted at the same time; theirs is as good as ours if it is whole.
        if not _is_whole(place):
            raise


def main() -> int:
    """Convert the named model, or the default one, and print where it is."""
    parser = argparse.ArgumentParser(description="Convert a GGUF model to a folder, for vLLM.")
    parser.add_argument("model", nargs="?", help="a name, as of --model; none: the default one")
    try:
        print(convert(fetch_model(parser.parse_args().model)))
    except NlpuError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
