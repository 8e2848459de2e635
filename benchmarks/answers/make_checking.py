"""Writes the checking set's generated families, one file of cases each, the same at every run.

The cases judge what was tuned on another set, so the words and sentence shapes here are shared with
nothing else. Run without arguments to write `checking/families/`, with `--check` to compare with
what is there.
"""

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path

import checking_found as found
import checking_judged as judged
from checking_draws import Case

PLACE = Path(__file__).parent / "checking" / "families"
COUNT = 200
FAMILIES: tuple[Callable[[random.Random, int], Case], ...] = (
    judged.contains,
    judged.missing,
    judged.larger,
    judged.mood,
    judged.supported,
    judged.topic,
    judged.intent,
    found.nearer,
    found.lookup,
    found.counting,
    found.among,
    found.pick,
    found.order,
    found.chain,
)


def family(make: Callable[[random.Random, int], Case]) -> list[Case]:
    """Return the cases of a family, shuffled and numbered; one that is already there is redrawn."""
    name = make.__name__
    rng = random.Random(f"checking {name}")
    seen: set[str] = set()
    drawn = []
    for i in range(COUNT):
        made = make(rng, i)
        while json.dumps(made["operands"]) in seen:
            made = make(rng, i)
        seen.add(json.dumps(made["operands"]))
        drawn.append(made)
    rng.shuffle(drawn)
    return [{"id": f"{name}-{n:03}", "family": name, **made} for n, made in enumerate(drawn, 1)]


def main() -> None:
    """Write the files or, with --check, compare them with what would be written."""
    PLACE.mkdir(parents=True, exist_ok=True)
    for make in FAMILIES:
        lines = [json.dumps(made, ensure_ascii=False) + "\n" for made in family(make)]
        path = PLACE / f"{make.__name__}.jsonl"
        if "--check" not in sys.argv:
            path.write_text("".join(lines), encoding="utf-8")
        elif path.read_text(encoding="utf-8") != "".join(lines):
            raise SystemExit(f"{path.name} is not what this script writes")


if __name__ == "__main__":
    main()
