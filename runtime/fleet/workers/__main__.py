"""One worker, as a process: see ``worker.main``."""

from __future__ import annotations

import sys

from nlpu.runtime.fleet.workers.worker import main

if __name__ == "__main__":
    sys.exit(main(lambda text: print(text, file=sys.stderr)))
