"""Cases for ``nlpu eval``, a file with an op, a program and a score, and reports without times."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

SCRIPTED = ("--engine", "scripted")
MINE = """
from nlpu import nlop
@nlop(max_tokens=30, at_limit="trim")
def mine(question: str, text: str) -> str:
    \"\"\"Answer with one word of the text.\"\"\"
def asks(question: str, text: str) -> str:
    return mine(question, text)
def score(expected, content):
    return len(content) % 10 / 10
"""


def case(number: int, **more: Any) -> dict[str, Any]:
    operands = {"question": f"Who sent parcel {number}?", "text": f"Ann sent parcel {number}."}
    return {"id": f"a-{number}", "operands": operands, "expected": "Ann"} | more


def data(directory: Path, *cases: dict[str, Any]) -> str:
    path = directory / "cases.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in cases or map(case, range(4))))
    return str(path)


def without_times(report: dict[str, Any]) -> Any:
    """A report's JSON without what differs from run to run."""
    text = re.sub(r'"(seconds|latency_s)": (\[[^]]*\]|[\d.e-]+)', r'"\1": 0', json.dumps(report))
    return json.loads(text)
