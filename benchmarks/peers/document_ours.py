"""Questions about one document, as a user of this runtime writes them (``benchmarks/document.py``).

Run as a script, as the peers are: ``python -m benchmarks.peers.document_ours``.
"""

from __future__ import annotations

from typing import Any

from benchmarks.peers.harness import Work, main
from benchmarks.peers.ours import run_ended
from nlpu import Computer, Op, Value
from nlpu.engines.http.engine import HttpEngine
from nlpu.isa import answer, judge
from nlpu.prompt.convention import DEFAULT, KNOWN


def answers(document: str, questions: list[dict[str, Any]]) -> list[Value[Any]]:
    """Ask all questions; none waits for another."""
    ops: dict[str, Op[Any]] = {"judge": judge, "answer": answer}
    return [ops[each["kind"]](each["question"], document) for each in questions]


async def do(work: Work) -> list[str]:
    """The answers, yes or no of a judgement, in the convention that the work names."""
    convention = KNOWN[work.get("convention", DEFAULT.version)]
    engine = HttpEngine(work["url"], work["model"], work["key"])
    with Computer(engine, convention=convention) as computer:
        run = computer.start(answers, work["document"], work["questions"])
        await run_ended(run)
        return [_said(each) for each in run.result]


def _said(item: Any) -> str:
    return item if isinstance(item, str) else "yes" if item else "no"


if __name__ == "__main__":
    main(do)
