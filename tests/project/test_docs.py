"""The code blocks of the README and the docs run, each page as one module."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [
    pytest.param(README, marks=pytest.mark.local, id=README.name),  # its program asks the model
    *(
        pytest.param(page, id=str(page.relative_to(ROOT / "docs")))
        for page in sorted(ROOT.glob("docs/**/*.md"))
        if "```python" in page.read_text()
    ),
]


@pytest.mark.parametrize("page", PAGES)
def test_blocks_run(page: Path, tmp_path: Path) -> None:
    text = page.read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    names: dict[str, object] = {"__name__": page.stem}
    for block in blocks:
        line = text[: text.index(block)].count("\n")
        code = compile("\n" * line + block, str(page), "exec", dont_inherit=True)
        exec(code, names)
