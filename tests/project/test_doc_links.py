"""What the pages lead to is there: files, and headings on them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    for file, heading in _LINK.findall(text):
        target = (page.parent / file) if file else page
        assert target.exists(), f"{page.name} leads to {file}, which is not there"
        assert not heading or heading in anchors(target), f"{file or page.name} has no #{heading}"


def test_what_contributing_names_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = {name for name in re.findall(r"`([\w/]+\.py)`", text) if "NAME" not in name}
    tests = {path.name for path in (ROOT / "tests").rglob("*.py")}
    missing = [name for name in named if name not in tests and not (ROOT / name).exists()]
    assert named and not missing
    for goal in re.findall(r"`make ([\w-]+)`", text):
        assert f"\n{goal}:" in (ROOT / "Makefile").read_text(encoding="utf-8")
