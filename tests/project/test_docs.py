"""The code blocks of the README and the docs run, each page as one module."""

from __future__ import annotations

import re
import subprocess
import sys
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


@pytest.mark.local
def test_the_readme_shows_what_its_program_prints(tmp_path: Path) -> None:
    blocks = re.findall(r"^```(python|text)\n(.*?)^```", README.read_text(), re.M | re.S)
    kinds = [kind for kind, _ in blocks]
    at = kinds.index("python")
    assert kinds[at : at + 2] == ["python", "text"], "its output stands behind it"
    (tmp_path / "tour.py").write_text(blocks[at][1])
    command = [sys.executable, "tour.py"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    printed, shown = (without_times(text) for text in (said.stdout, blocks[at + 1][1]))
    assert (printed, said.stderr, said.returncode) == (shown, "", 0)


def without_times(text: str) -> str:
    """What a run prints, but for seconds and what is made of them."""
    return re.sub(r"[\d.]+ s, parallelism [\d.]+$", "… s", text.strip())
