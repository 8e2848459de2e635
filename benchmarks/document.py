"""Sixteen questions on one document: this runtime's two layouts, LangGraph and DSPy, in turn.

    make peers
    NLPU_VLLM_PYTHON=.venv-vllm/bin/python .venv/bin/python -m benchmarks.document \\
        [--engine vllm|URL] [--model MODEL] [--flag FLAG]... [--no-peers] [--output FILE]

The same questions (half of them yes or no) are asked at once of one server, each arm in a process
of its own after a little unmeasured work. Each arm's copy of a document begins with words of its
own, so none finds what another has left in the prefix cache; which arm goes first rotates.

    ours        the programs' default convention: a document stands before the instruction
    today       the convention before it: instruction, question, text, and the instruction again
    langgraph   its tutorial's order: instruction, question, context
    text first  LangGraph with the context first, by somebody who knows of prefix caches
    dspy        two signatures of Predict, context before question

Right is an answer that holds one of the expected words, and a yes or no that is the expected one.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.peers.running import HERE, peers_python, run_peer, versions
from nlpu import Computer
from nlpu.prompt.convention import DEFAULT, FIRST
from nlpu.runtime.bench.report import circumstances, show, show_circumstances
from nlpu.runtime.bench.servers import Served, target
from nlpu.runtime.bench.throughput_profiles import nonce

DOCUMENTS = Path(__file__).with_name("documents")
BASE = "today"
ARMS = ("ours", BASE, "langgraph", "text first", "dspy")
WARM_UP = "The hut has a red door. Its owner is called Anna."
WARM_QUESTIONS = [
    {"kind": "judge", "question": "Is the door red?"},
    {"kind": "answer", "question": "What is the owner called?"},
]


class Arm(NamedTuple):
    """How one asks: a command, and what its work says beside the questions."""

    command: list[str]
    says: dict[str, Any]


def main() -> None:
    """Measure all arms on all documents, and print a table."""
    options = _options()
    python = None if options.no_peers else peers_python()
    flags = [word for flag in options.flag for word in flag.split("=", 1)]
    with target(options.engine, options.model, *flags) as found:
        assert found.served is not None, "--engine takes vllm or a server's URL"
        with Computer(found.open(1)) as computer:
            model = computer.processors["main"].capabilities.model
        facts = circumstances(engine=found.name, model=model, flags=flags)
        facts["versions"] |= versions(python) if python else {}
        rows = list(measured(found.served, model, arms(python)))
    if options.output:
        Path(options.output).write_text(json.dumps({"rows": rows, **facts}, indent=1) + "\n")
    show_circumstances(facts)
    print(f"model: {model}; flags: {' '.join(flags)}")
    table(rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--engine", default="vllm", help="vllm (started for this) or a URL")
    parser.add_argument("--model", help="a name of nlpu.engines.models, converted for vLLM")
    parser.add_argument("--flag", action="append", default=[], help="vLLM's, as --name=value")
    parser.add_argument("--no-peers", action="store_true", help="this runtime's arms alone")
    parser.add_argument("--output", help="a file for the figures and answers as JSON")
    return parser.parse_args()


def arms(python: str | None) -> dict[str, Arm]:
    """All arms by name; without ``python`` ours alone."""
    own = [sys.executable, "-m", "benchmarks.peers.document_ours"]
    found = {
        "ours": Arm(own, {"convention": DEFAULT.version}),
        BASE: Arm(own, {"convention": FIRST.version}),
    }
    if python:
        graph = [python, str(HERE / "document_langgraph_peer.py")]
        found["langgraph"] = Arm(graph, {})
        found["text first"] = Arm(graph, {"text_first": True})
        found["dspy"] = Arm([python, str(HERE / "document_dspy_peer.py")], {})
    return found


def measured(served: Served, model: str, asking: dict[str, Arm]) -> Iterator[dict[str, Any]]:
    """One row for each document and arm."""
    access = {"url": served.url, "model": model, "key": served.api_key or "none"}
    for turn, file in enumerate(sorted(DOCUMENTS.glob("*.txt"))):
        questions = read_questions(file)
        names = list(asking)
        for name in names[turn:] + names[:turn]:
            common = {**access, **asking[name].says}
            document = f"Copy {nonce()}.\n\n{file.read_text(encoding='utf-8')}"
            order = {
                "warm_up": {**common, "document": WARM_UP, "questions": WARM_QUESTIONS},
                "work": {**common, "document": document, "questions": questions},
            }
            cost = run_peer(asking[name].command, served, order, len(questions))
            row = {"document": file.stem, "arm": name, **cost, **scored(questions, cost["said"])}
            print(json.dumps({**row, "said": None}), file=sys.stderr)
            yield row


def read_questions(file: Path) -> list[dict[str, Any]]:
    """The questions beside a document."""
    lines = file.with_suffix(".jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def scored(questions: list[dict[str, Any]], said: list[str]) -> dict[str, Any]:
    """How many answers are right, of all and of yes or no."""
    right = [is_right(*each) for each in zip(questions, said, strict=True)]
    judged = [each["kind"] == "judge" for each in questions]
    return {
        "right": sum(right),
        "right_judged": sum(a for a, b in zip(right, judged, strict=True) if b),
        "questions": len(questions),
    }


def is_right(question: dict[str, Any], said: str) -> bool:
    """Whether an answer is the expected one, or holds an expected word."""
    if question["kind"] == "judge":
        return bool(said == question["right"][0])
    return any(re.search(rf"\b{word}", said.lower()) for word in question["right"])


def table(rows: list[dict[str, Any]]) -> None:
    """One line for each row, with how many times faster than the base it is."""
    rows = sorted(rows, key=lambda row: (row["document"], ARMS.index(row["arm"])))
    base = {row["document"]: row["wall_s"] for row in rows if row["arm"] == BASE}
    show(
        f"Sixteen questions at once on one document, {os.cpu_count()} cores",
        (
            "document, arm",
            "seconds",
            f"x {BASE}",
            "tokens in",
            "cached",
            "out",
            "right of 16",
            "yes or no of 8",
        ),
        [_cells(row, base[row["document"]]) for row in rows],
    )


def _cells(row: dict[str, Any], base: float) -> tuple[Any, ...]:
    tokens = (int(row[name]) for name in ("prompt_tokens", "cached_tokens", "completion_tokens"))
    return (
        f"{row['document']}, {row['arm']}",
        f"{row['wall_s']:.1f}",
        f"{base / row['wall_s']:.2f}",
        *tokens,
        row["right"],
        row["right_judged"],
    )


if __name__ == "__main__":
    main()
