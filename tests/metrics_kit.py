"""What metrics are tried with: any content, a word, and a metric by its name."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from nlpu.eval.metrics import METRICS

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
WORD = st.text("abcdefghijklmnopqrstuvwxyzäßéI", min_size=1, max_size=8)


def score(metric: str, expected: Any, content: Any) -> float:
    return METRICS[metric].score(METRICS[metric].fit(expected, None), content)
