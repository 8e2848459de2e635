"""Tuning from a terminal: better words and examples for an op, as a file that a program loads.

    nlpu tune mine.py:colour --data cases.jsonl --nlops 50 --output colour.json

It is a run like any other: stopped or killed, ``nlpu resume`` goes on with it and writes the file.
What is sought, and how, is in ``nlpu.runtime.eval.tuning``; a program says ``variant(colour,
"colour.json")`` to ask in the words of the file.
"""

from __future__ import annotations

from pathlib import Path

from nlpu import Op, Usage
from nlpu.owner_only import make_file
from nlpu.runtime.eval.tuning import Tuned
from nlpu.runtime.eval.tuning import tune as tuned
from nlpu.runtime.terminal.eval.subjects import score_of, subject_of


def tune(
    op: str,
    data: str,
    nlops: float,
    output: str = "",
    by: str = "",
    examples: int = 4,
    metric: str = "",
    seed: int = 0,
) -> Tuned:
    """Tune an op on the cases of a file, and write the variant to another, if one is named."""
    subject = subject_of(op)
    if not isinstance(subject.found, Op):
        raise Usage(f"{op} is no op: what is tuned is the words of one")
    path = Path(output)
    if output and (path.is_dir() or not path.absolute().parent.is_dir()):  # before it is paid for
        raise Usage(f"{output} cannot be written: name a file in a folder that is there")
    found = tuned(
        subject.found,
        Path(data),
        nlops=nlops,
        by=by or None,
        examples=examples,
        metric=score_of(metric).found,
        seed=seed,
    )
    if output:
        try:
            make_file(path)
            path.write_text(found.variant.written(), encoding="utf-8")
        except OSError as error:
            raise Usage(f"{output} cannot be written: {error.strerror}") from None
    return found
