"""``python -m benchmarks.fake_vllm``: the scripted server as a process (see ``command``)."""

import sys

from benchmarks.fake_vllm.command import main

if __name__ == "__main__":
    sys.exit(main())
