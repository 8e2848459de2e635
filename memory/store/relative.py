"""Portable embeddings: a text's vector as its closeness to fixed anchor texts.

Theory of operation
-------------------
Two embedders place texts in spaces of their own, but agree roughly on which texts are close. So a
text is written as its closeness to a few hundred anchors, with what the anchors have in common
taken out: both are centred, and multiplied by the inverse square root of the anchors' own products
(symmetric, so that column n still stands for anchor n). Vectors made by one embedder can then be
searched with questions embedded by another: the store survives the change. (After Moschella and
others, "Relative representations", 2022, which has the plain cosines.)

Rules
1. The anchors belong to the store, and stay as long as the pages they are from; the embedder may
   change.
2. The name does not hold the embedder's: that is the point.
"""

from __future__ import annotations

from collections.abc import Sequence

from nlpu.memory.store.embedder_folder import Vectors
from nlpu.memory.store.embedders import Embedder

ANCHORS = 300
_RIDGE = 0.1  # of the mean size of an anchor's product with itself: keeps noise small


class Relative:
    """An embedder made of another one and anchors."""

    def __init__(self, base: Embedder, anchors: Sequence[str]) -> None:
        self.base = base
        self.name = "relative"
        self.count, self.most = getattr(base, "count", None), getattr(base, "most", 0)
        import numpy as np  # here: ``nlpu --help`` must not wait for it

        rows = base.embed(anchors)
        self._mean = rows.mean(0)
        rows = rows - self._mean
        products = rows @ rows.T
        ridge = _RIDGE * max(float(np.trace(products)) / len(rows), 1e-9)
        sizes, axes = np.linalg.eigh(products + ridge * np.eye(len(rows)))
        self._to_anchors = rows.T @ (axes / np.sqrt(sizes)) @ axes.T

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row for each text, a column for each anchor."""
        return self._relative(self.base.embed(texts))

    def embed_questions(self, texts: Sequence[str]) -> Vectors:
        """One row for each text that asks for others."""
        return self._relative(getattr(self.base, "embed_questions", self.base.embed)(texts))

    def _relative(self, rows: Vectors) -> Vectors:
        import numpy as np  # here: ``nlpu --help`` must not wait for it

        rows = (rows - self._mean) @ self._to_anchors
        unit: Vectors = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
        return unit.astype(np.float32)


def choose_anchors(texts: Sequence[str], most: int = ANCHORS) -> list[str]:
    """Anchors spread evenly over a store's texts."""
    different = list(dict.fromkeys(texts))
    step = max(1, len(different) // most)
    return different[::step][:most]
