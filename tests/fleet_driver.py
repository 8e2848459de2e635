"""Drives a fleet from Python: ``python fleet_driver.py FILE.py:FUNCTION INPUTS OUT ENGINE [RAY]``.

The store is named by NLPU_RUN_DIR. It ends with 4 where a person is needed.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path

from nlpu import Fleet
from nlpu.runtime.loader import load


def main(spec: str, inputs: str, out: str, engine: str, ray: str | None = None) -> int:
    warnings.simplefilter("ignore")
    texts = [json.loads(line) for line in Path(inputs).read_text().splitlines()]
    fleet = Fleet(
        load(spec).function,
        texts,
        store=os.environ["NLPU_RUN_DIR"],
        name="batch",
        workers=2,
        at_once=8,
        engine=engine,
        ray=ray,
    )
    with fleet:
        lines = [item.line() for item in fleet]
    Path(out).write_text("".join(f"{line}\n" for line in lines))
    return 4 if fleet.counts.needs_person else 1 if fleet.counts.failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
