"""What makes a call the same call, in this run and when it is gone on with.

Rules
1. A key is of all that decides an answer: op, model, texts, which draw it is, and the convention
   where it is not the first. Journals hold keys: what goes into one never changes.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from nlpu.ops.op import Op
from nlpu.processor import Processor
from nlpu.prompt import convention
from nlpu.runtime.run import RunState


def key_of(
    run: RunState, op: Op[Any], processor: Processor, draw: str, texts: tuple[str, ...]
) -> bytes:
    """Give a call's key, 12 bytes. draw: which sample it is."""
    names = b"".join(map(run.journal.name, texts))
    whole = b"%b|%b|%b|%b" % (op.digest, processor.identity.encode(), draw.encode(), names)
    if run.convention is not convention.FIRST:
        whole += run.convention.digest
    return blake2b(whole, digest_size=12).digest()
