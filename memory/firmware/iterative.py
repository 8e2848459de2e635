"""``iterative``: what was found steers the next look, until there is enough.

Theory of operation
-------------------
The first look is ``hybrid``'s. An op reads what was found and says what is still missing; that text
is the next question. Looks are fused by reciprocal ranks. At the end another op judges the best
pages one by one, all at once, and those that help come first, in their order.

Rules
1. It runs inside a run: its ops are calls of that run and stand on its receipt.
2. No more than ``ROUNDS`` looks, and no reply of a model can make it fail: what is not valid is no
   help, nor is a page that fits no window.
"""

from __future__ import annotations

from collections import defaultdict

from nlpu.errors import DoesNotFit, ModelError
from nlpu.memory.firmware import Base, Found
from nlpu.memory.firmware.hybrid import Firmware as Hybrid
from nlpu.memory.store.levels import Levels
from nlpu.ops.op import nlop
from nlpu.value import Value

ROUNDS = 2
_READ = 6  # pages an op reads to say what is missing
_JUDGED = 12
_EACH = 50
_RANK_OFFSET = 60  # of reciprocal rank fusion


@nlop
def is_enough(question: str, notes: str) -> bool:
    """Do the notes answer the question completely?"""


@nlop(max_tokens=32, at_limit="trim")
def missing(question: str, notes: str) -> str:
    """Write one short question that asks for what the notes lack to answer the question."""


@nlop
def helps(question: str, note: str) -> bool:
    """Does the note help to answer the question?"""


class Firmware(Base):
    """Looks again, then judges."""

    def __init__(self) -> None:
        self.base = Hybrid()

    def search(self, levels: Levels, question: str, most: int, now_s: float) -> list[Found]:
        """The fused looks, what helps first."""
        each = max(most, _EACH)
        looks = [self.base.search(levels, question, each, now_s)]
        for _ in range(ROUNDS - 1):
            notes = _notes(looks[-1][:_READ])
            if _said(is_enough(question, notes)):
                break
            try:
                wanted = missing(question, notes).value
            except (ModelError, DoesNotFit):
                break
            looks.append(self.base.search(levels, wanted, each, now_s))
        fused = _fused(looks)
        judged = [helps(question, found.page.text) for found in fused[:_JUDGED]]
        good = [found for found, verdict in zip(fused, judged, strict=False) if _said(verdict)]
        kept = {found.number for found in good}
        return [*good, *(found for found in fused if found.number not in kept)][:most]


def _notes(found: list[Found]) -> str:
    return "\n".join(each.page.text for each in found)


def _said(verdict: Value[bool]) -> bool:
    try:
        return verdict.value
    except (ModelError, DoesNotFit):
        return False


def _fused(looks: list[list[Found]]) -> list[Found]:
    scores: dict[int, float] = defaultdict(float)
    pages = {}
    for look in looks:
        for rank, found in enumerate(look, 1):
            scores[found.number] += 1 / (_RANK_OFFSET + rank)
            pages[found.number] = found.page
    return [Found(n, pages[n], scores[n]) for n in sorted(scores, key=lambda n: (-scores[n], n))]
