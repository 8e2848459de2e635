"""Print the report: ``PYTHONPATH=tests python -m dojo`` in the environment of AgentDojo."""

from __future__ import annotations

from functools import reduce
from operator import add

from dojo.harness import SCRIPTS, Suite, measure


def main() -> None:
    """Measure all suites."""
    parts = {name: measure(Suite(name)) for name in SCRIPTS}
    columns = {**parts, "all": reduce(add, parts.values())}
    print("\t".join(["", *columns]))
    for rows in zip(*(figures.table() for figures in columns.values()), strict=True):
        print("\t".join([rows[0][0], *(row[1] for row in rows)]))


if __name__ == "__main__":
    main()
