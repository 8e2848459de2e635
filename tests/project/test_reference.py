"""The reference has every public name, once, and what it prints of each are sentences."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import nlpu

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
NO_VERB = {"A", "An", "The", "One", "What", "Where", "How", "Whether", "Most", "With", "Same", "As"}


def documented() -> Iterator[tuple[str, Any]]:
    """All that a reader of the reference meets: public names, and what public classes have."""
    for name in nlpu.__all__:
        item = getattr(nlpu, name)
        if callable(item):
            yield name, item
        for member, what in vars(item).items() if inspect.isclass(item) else ():
            is_one = inspect.isroutine(what) or isinstance(what, property)
            if is_one and not member.startswith("_"):
                yield f"{name}.{member}", what


DOCUMENTED = dict(documented())


def test_every_public_name_stands_in_the_reference_once() -> None:
    pages = "".join(page.read_text(encoding="utf-8") for page in REFERENCE.glob("*.md"))
    assert sorted(re.findall(r"^::: nlpu\.(.*)$", pages, re.M)) == nlpu.__all__


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_public_docstring_is_made_of_sentences(name: str) -> None:
    item = DOCUMENTED[name]
    text = inspect.cleandoc(item.__doc__ or "")
    assert re.match(r"[A-Z][^\n]*(\n[^\n]+)*\.(\n\n|$)", text), text
    assert text.endswith("."), text
    if not isinstance(item, type | property):
        assert text.split()[0] not in NO_VERB, "what a function does begins with a verb"
