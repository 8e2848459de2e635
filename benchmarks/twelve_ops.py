"""Cases of the twelve standard ops, for datasheets of models that are put side by side.

    python -m benchmarks.twelve_ops --items 20 > twelve.jsonl
    nlpu bench datasheet answer benchmarks/twelve_ops.py:topic compare ... --data twelve.jsonl

They are the first of each op's table in ``answers/checking``, which nothing here was tuned on. A
datasheet is of one op: of ``classify``, which is made of its classes, it is the one of ten topics,
on cases of that family, whatever choices they were given there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from nlpu import Case
from nlpu.eval.cases import cases_of
from nlpu.isa import classify

CHECKING = Path(__file__).parent / "answers" / "checking"
_TOPICS = cases_of(CHECKING / "families" / "topic.jsonl")
topic = classify(*sorted({choice for case in _TOPICS for choice in case.choices}))


def main() -> None:
    """Write the cases, a line each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--items", type=int, default=20, help="cases of each op")
    for case in cases(parser.parse_args().items):
        sys.stdout.write(case.model_dump_json(exclude_defaults=True) + "\n")


def cases(items: int) -> Iterator[Case]:
    """Give the first cases of each op."""
    for path in sorted((CHECKING / "tables").glob("*.jsonl")):
        if path.stem == topic.name:
            yield from (case.model_copy(update={"choices": ()}) for case in _TOPICS[:items])
        else:
            yield from cases_of(path)[:items]


if __name__ == "__main__":
    main()
