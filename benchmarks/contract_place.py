"""Whether the form of the answer should stand before the operands, behind them, or both.

    .venv/bin/python -m benchmarks.contract_place [--model MODEL] [--items 32] [--families A,B]

Planning cases of ``benchmarks/answers`` are asked of the standard ops under the second to fourth
convention and two others: without the contract in the constants, and with all constants behind.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from nlpu import Computer, isa
from nlpu.engines.embedded.engine import EmbeddedEngine
from nlpu.prompt.convention import FOURTH, SECOND, THIRD

PLACE = Path(__file__).parent / "answers" / "planning" / "families"
CONVENTIONS = {
    "second": SECOND,
    "third": THIRD,
    "fourth": FOURTH,
    "contract behind": SECOND.using(version="contract behind", constants=("text", "told")),
    "all behind": SECOND.using(
        version="all behind", constants=(), reminder=("text", "told", "contract")
    ),
}


def op_of(case: dict[str, Any]) -> Any:
    """The standard op that a case is of."""
    return isa.classify(*case["choices"]) if case["op"] == "classify" else getattr(isa, case["op"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="qwen2.5-coder-0.5b")
    parser.add_argument("--items", type=int, default=32)
    parser.add_argument("--families", default="")
    given = parser.parse_args()
    names = given.families.split(",") if given.families else sorted(p.stem for p in PLACE.iterdir())
    for name in names:
        lines = (PLACE / f"{name}.jsonl").read_text("utf-8").splitlines()
        cases = [json.loads(line) for line in lines[: given.items]]
        for called, convention in CONVENTIONS.items():
            engine = EmbeddedEngine(given.model, window=2048, max_in_flight=4)
            with Computer(engine, convention=convention) as computer:
                report = computer.evaluate(op_of(cases[0]), cases)
            right = sum(row.score == 1 for row in report.rows)
            print(f"{name}, {called}: {right} of {len(cases)} right", flush=True)


if __name__ == "__main__":
    main()
