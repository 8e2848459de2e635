"""What a call and a node cost in two checkouts: medians of pairs, with intervals.

    git worktree add /tmp/before COMMIT
    .venv/bin/python -m benchmarks.pairs --against /tmp/before [--pairs 15]
    .venv/bin/python -m benchmarks.pairs --against /tmp/before --tokens 2000 [--repeats 5]

Each pair runs `nlpu bench overhead --quick` in both, the one and then the other first; a ratio is
that of the processor time now to before in one pair. With --tokens it is its calls alone, with
prompts of so many; each side's time is the median of --repeats then, in one process: one chain of
200 calls is a quarter of a second, and differs by a twelfth from the next. The interval of the
median of the ratios holds it with at least 95 %, from their own order (binomial), whatever their
distribution.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from math import comb
from pathlib import Path
from statistics import median

OLD = "runtime.terminal"  # of commits that had their packages at the root
CALLS = """
import json, sys
try:
    from benchmarks.overhead.requests import measure_shape
    from benchmarks.overhead.shapes import SHAPES
    from benchmarks.servers import instant_server, tokenizer
except ImportError:  # of commits that installed their benchmarks
    from nlpu.runtime.bench.overhead import tokenizer
    from nlpu.runtime.bench.requests import measure_shape
    from nlpu.runtime.bench.servers import instant_server
    from nlpu.runtime.bench.shapes import SHAPES
with tokenizer() as (directory, _), instant_server("yes", window=32768) as url:
    found = [measure_shape(each, url, directory, *map(int, sys.argv[1:])) for each in SHAPES]
json.dump({"shapes": found, "graphs": []}, sys.stdout)
"""
HERE = Path(__file__).resolve().parents[1]


def main() -> None:
    """Run the pairs and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--against", required=True, help="a checkout to compare with")
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--tokens", type=int, help="of prompts; calls alone are compared then")
    parser.add_argument("--repeats", type=int, default=1, help="of each shape, with --tokens")
    options = parser.parse_args()
    ratios: dict[str, list[float]] = {}
    for number in range(options.pairs):
        sides = {"before": Path(options.against), "now": HERE}
        found = {
            side: _costs(sides[side], options.tokens, options.repeats)
            for side in sorted(sides, reverse=bool(number % 2))
        }
        for shape, cost in found["now"].items():
            ratios.setdefault(shape, []).append(cost / found["before"][shape])
        print(f"pair {number + 1} of {options.pairs}", file=sys.stderr)
    print(f"{'now over before':24}{'median':>8}{'from':>8}{'to':>8}   (at most 1.05)")
    for shape, measured in ratios.items():
        low, high = interval(measured)
        verdict = "met" if high <= 1.05 else "NOT met"
        print(f"{shape:24}{median(measured):8.3f}{low:8.3f}{high:8.3f}   {verdict}")


def _costs(checkout: Path, tokens: int | None, repeats: int) -> dict[str, float]:
    """Microseconds a call and a node, by shape."""
    terminal = "nlpu.runtime.terminal" if (checkout / "nlpu" / "runtime").exists() else OLD
    quick = ["-m", terminal, "bench", "overhead", "--quick", "--json"]
    # What is imported late is compiled once, as where it is installed, and not within the timing.
    env = {name: of for name, of in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    ended = subprocess.run(
        [sys.executable, *(quick if tokens is None else ["-c", CALLS, str(tokens), str(repeats)])],
        env=env | {"PYTHONPATH": str(checkout)},
        cwd=checkout,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    told = json.loads(ended.stdout)
    costs = {row["shape"]: row["cpu_us_per_call"] for row in told["shapes"]}
    for row in told["graphs"]:
        costs[f"graph {row['nodes']:,}"] = row["us_per_node"]
        costs[f"graph {row['nodes']:,} journaled"] = row["journal_us_per_node"]
    return costs


def interval(ratios: list[float]) -> tuple[float, float]:
    """The narrowest pair of order statistics that holds the median with at least 95 %."""
    ordered, number = sorted(ratios), len(ratios)
    cut, tail = 0, 0.0
    while cut < number // 2 and tail + comb(number, cut) / 2**number <= 0.025:
        tail += comb(number, cut) / 2**number
        cut += 1
    cut = max(cut - 1, 0)
    return ordered[cut], ordered[number - 1 - cut]


if __name__ == "__main__":
    main()
