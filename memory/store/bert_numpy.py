"""A BERT's forward pass with numpy: a question's vector, without the seconds that torch loads.

Theory of operation
-------------------
A question is one short text: what it costs is the loading of libraries. Its layers are a few
products of matrices, so they are done here, from the same weights. Many texts at once are left to
torch, which is faster at them.

Rules
1. The vector is that of torch, up to rounding.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

_HEADS, _LAYERS = 12, 6
_EPSILON = 1e-12
_ERF = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)  # Abramowitz 7.1.26


class Forward:
    """all-MiniLM-L6-v2, one text at a time."""

    def __init__(self, weights: Path) -> None:
        import numpy as np  # here: ``nlpu --help`` must not wait for it
        from safetensors.numpy import load_file

        self._np = np
        self._weights: dict[str, Any] = load_file(weights)

    def vector(self, ids: list[int]) -> Any:
        """The unit vector of a text's tokens."""
        np, names = self._np, ["word", "position", "token_type"]
        words, places, types = (self._weights[f"embeddings.{n}_embeddings.weight"] for n in names)
        hidden = self._norm(words[ids] + places[: len(ids)] + types[0], "embeddings")
        for layer in range(_LAYERS):
            hidden = self._layer(hidden, f"encoder.layer.{layer}.")
        mean = hidden.mean(0)
        return mean / max(float(np.linalg.norm(mean)), _EPSILON)

    def _layer(self, hidden: Any, at: str) -> Any:
        attended = self._linear(self._attention(hidden, at), at + "attention.output.dense")
        hidden = self._norm(hidden + attended, at + "attention.output")
        inner = self._gelu(self._linear(hidden, at + "intermediate.dense"))
        return self._norm(hidden + self._linear(inner, at + "output.dense"), at + "output")

    def _attention(self, hidden: Any, at: str) -> Any:
        np, (count, width) = self._np, hidden.shape
        query, key, value = (
            self._linear(hidden, f"{at}attention.self.{name}")
            .reshape(count, _HEADS, width // _HEADS)
            .transpose(1, 0, 2)
            for name in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 2, 1) / np.float32((width // _HEADS) ** 0.5)
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        return (shares @ value).transpose(1, 0, 2).reshape(count, width)

    def _linear(self, rows: Any, name: str) -> Any:
        return rows @ self._weights[name + ".weight"].T + self._weights[name + ".bias"]

    def _norm(self, rows: Any, name: str) -> Any:
        centred = rows - rows.mean(-1, keepdims=True)
        scaled = centred / self._np.sqrt((centred**2).mean(-1, keepdims=True) + _EPSILON)
        name += ".LayerNorm."
        return scaled * self._weights[name + "weight"] + self._weights[name + "bias"]

    def _gelu(self, rows: Any) -> Any:
        np, size = self._np, self._np.abs(rows) * 0.5**0.5
        part = 1 / (1 + 0.3275911 * size)
        series = sum(factor * part ** (n + 1) for n, factor in enumerate(_ERF))
        erf = np.sign(rows) * (1 - series * np.exp(-(size**2)))
        return (rows * 0.5 * (1 + erf)).astype(np.float32)
