"""An embedder from a model's folder as sentence-transformers writes them, say for other languages.

Theory of operation
-------------------
The folder says how much its model reads, how a text's vector is made of its tokens' (their mean,
the first or the last of them) and what stands before a question or a document (``prompts``). Its
weights are read by transformers, on torch, when a text is first embedded; no code of it is run.

Rules
1. A folder that wants what is not done here is refused: its vectors would be others than meant.
2. The name is a hash of the files that decide: another model in the same place is another one, and
   the same in another place is the same.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Sequence
from functools import cached_property
from hashlib import blake2b, file_digest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpu.errors import MissingPart, Usage
from nlpu.extras import adding

if TYPE_CHECKING:
    import numpy as np

    Vectors = np.ndarray[Any, np.dtype[np.float32]]
else:
    Vectors = Any  # numpy is imported when something is embedded

_BATCH = 64
_MODULES = ("Transformer", "Pooling", "Normalize")
_MODE = "pooling_mode_"
_POOLS = ("mean_tokens", "cls_token", "lasttoken")
_DECIDE = ("*.json", "*/config.json", "*.safetensors", "*.bin")


class Folder:
    """The model in a folder. Raises Usage (rule 1)."""

    def __init__(self, where: Path, name: str = "") -> None:
        self._where = where
        self._lock = threading.Lock()  # one forward pass at a time: it has all cores anyway
        self._net: Any = None
        config = self._told("config.json")
        if not config or not (where / "tokenizer.json").is_file():
            raise self._refused("it lacks config.json or tokenizer.json")
        self._pool = self._pooling()
        limits = self._told("sentence_bert_config.json")
        self._lower = limits.get("do_lower_case", False)
        read = limits.get("max_seq_length") or self._told("tokenizer_config.json").get(
            "model_max_length", 512
        )
        self._limit = int(min(read, config.get("max_position_embeddings", read)))
        self.name = name or self._hashed()

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Embed texts: a unit vector for each. The longest go together, so little is padded."""
        return self._embed([f"{self._prompts[1]}{text}" for text in texts])

    def embed_questions(self, texts: Sequence[str]) -> Vectors:
        """Embed texts that ask for others: a unit vector for each."""
        return self._embed([f"{self._prompts[0]}{text}" for text in texts])

    def count(self, text: str) -> int:
        """How many tokens a text has."""
        return len(self._tokenizer.encode(self._read(text), add_special_tokens=False).ids)

    @cached_property
    def most(self) -> int:
        """How many of them are read."""
        around = len(self._tokenizer.encode("").ids)
        return self._limit - around - max(map(self.count, self._prompts))

    # -- what the folder says -------------------------------------------------------------------

    @cached_property
    def _prompts(self) -> tuple[str, str]:
        """What stands before a question, and before a document."""
        told = self._told("config_sentence_transformers.json").get("prompts") or {}
        return told.get("query") or "", told.get("document") or told.get("passage") or ""

    def _pooling(self) -> str:
        modules = self._told("modules.json") or [{"type": "Transformer"}]
        kinds = [str(each.get("type")).rpartition(".")[2] for each in modules]
        for kind in kinds:
            if kind not in _MODULES:
                raise self._refused(f"its module {kind} is not one of {', '.join(_MODULES)}")
        if "Pooling" not in kinds:
            return _POOLS[0]
        pooling = self._told(f"{modules[kinds.index('Pooling')].get('path')}/config.json")
        chosen = [key for key, on in pooling.items() if key.startswith(_MODE) and on is True]
        modes = [key.removeprefix(_MODE) for key in chosen]
        if len(modes) != 1 or modes[0] not in _POOLS or pooling.get("include_prompt") is False:
            raise self._refused(f"it pools by {modes or pooling}; known are {', '.join(_POOLS)}")
        return str(modes[0])

    def _told(self, name: str) -> Any:
        try:
            return json.loads((self._where / name).read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise self._refused(f"{name} cannot be read: {error}") from error

    def _refused(self, why: str) -> Usage:
        return Usage(f"{self._where} holds no embedder that can be used here: {why}")

    def _hashed(self) -> str:
        files = sorted({path for each in _DECIDE for path in self._where.glob(each)})
        whole = blake2b(digest_size=8)
        for path in files:
            with path.open("rb") as file:
                whole.update(file_digest(file, blake2b).digest())
        return f"model-{whole.hexdigest()}"

    # -- embedding ------------------------------------------------------------------------------

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer  # here: only embedding needs the library

        made = Tokenizer.from_file(str(self._where / "tokenizer.json"))
        made.no_truncation()
        made.no_padding()
        return made

    def _read(self, text: str) -> str:
        return text.lower() if self._lower else text

    def _embed(self, texts: Sequence[str]) -> Vectors:
        import numpy as np  # here: ``nlpu --help`` must not wait for it

        with self._lock:
            found = [
                each.ids for each in self._tokenizer.encode_batch(list(map(self._read, texts)))
            ]
            last = self._limit - 1
            ids = [each[:last] + each[last:][-1:] for each in found]
            order = sorted(range(len(ids)), key=lambda n: len(ids[n]))
            parts = [order[start : start + _BATCH] for start in range(0, len(order), _BATCH)]
            rows = [self._forward([ids[n] for n in part]) for part in parts]
        out = np.zeros((len(texts), rows[0].shape[1] if rows else 0), np.float32)
        for part, those in zip(parts, rows, strict=True):
            out[part] = those
        return out

    def _load(self) -> None:
        if self._net is not None:
            return
        # Here: seconds of loading that only an embedding needs.
        # On a busy machine OpenMP threads that spin while they wait make each product up to fifty
        # times slower than ones that sleep, so they sleep unless the environment says otherwise;
        # it is read once, when torch loads.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        try:
            import torch
            import transformers
        except ImportError as error:
            raise MissingPart(
                f"this embedder needs {error.name}: {adding('memory', 'transformers')}, or "
                "use the embedder static"
            ) from error
        transformers.utils.logging.disable_progress_bar()
        transformers.utils.logging.set_verbosity_error()  # it reports the pooler we leave out
        self._torch = torch
        try:
            self._net = transformers.AutoModel.from_pretrained(
                self._where, local_files_only=True, dtype=torch.float32
            ).eval()
        except (OSError, ValueError, KeyError) as error:
            raise self._refused(str(error)) from error

    def _forward(self, ids: list[list[int]]) -> Any:
        self._load()
        torch = self._torch
        width = max(map(len, ids))
        pad = self._net.config.pad_token_id or 0
        tokens = torch.tensor([row + [pad] * (width - len(row)) for row in ids])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in ids])
        with torch.inference_mode():
            hidden = self._net(input_ids=tokens, attention_mask=mask).last_hidden_state
            return torch.nn.functional.normalize(self._pooled(hidden, mask), dim=1).numpy()

    def _pooled(self, hidden: Any, mask: Any) -> Any:
        if self._pool == "mean_tokens":
            weights = mask.unsqueeze(-1).to(hidden.dtype)
            return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)
        last = (mask.sum(1) - 1).clamp(min=0)
        places = last if self._pool == "lasttoken" else last * 0
        return hidden[self._torch.arange(len(hidden)), places]
