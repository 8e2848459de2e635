"""Judges that are worth little: said once a run of each model, and counted in its receipt.

Theory of operation
-------------------
A judgement, and a bool, looks the same from a model that cannot judge. Three things tell: its mass
(the model would rather have said something that is neither yes nor no; a bool has none), a
calibration whose cases showed nothing, and for models known by name what was measured of them
(``nlpu.engines.models.known``).

Rules
1. A calibration from cases that showed something counts for more than what is known of a model.
2. What is said is a ``PoorJudge``, when a run's first such judgement of a model arrives; judgements
   that are taken from a journal are counted, not warned of again.
3. It is a warning: the program may know better. As an error it is its program's.
"""

from __future__ import annotations

from typing import Any

from nlpu.engines.models.known import known_model
from nlpu.judgement import Judgement
from nlpu.ops.op import Op
from nlpu.processor import Processor

JUDGED = (Judgement, bool)


def poverty(op: Op[Any], processor: Processor, content: Any) -> str:
    """Why a content is a yes or no that is worth little; "" where it is none, or is not."""
    if not isinstance(content, JUDGED):
        return ""
    measured = _measured(op, processor)
    if measured:
        return f"judges at chance ({measured}): use another model"
    if isinstance(content, Judgement) and content.off_choices:
        return (
            f"is off its choices: of what it would say to {op.name}, {content.mass:.0%} begins with"
            " yes or no; ask what yes or no answers, or use another model"
        )
    return ""


def _measured(op: Op[Any], processor: Processor) -> str:
    """By what a model is known to judge at chance (rule 1)."""
    if op.calibration is not None:
        return "on the cases it is calibrated with" if op.calibration.at_chance else ""
    known = known_model(processor.capabilities.model)
    return known.judging if known is not None else ""
