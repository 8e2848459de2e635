"""Judgements: yes or no with its probability.

Theory of operation
-------------------
The probability is what a model's first token says of yes, as a share of what it says of both; the
*mass* is what both have of the whole. A model that wants to say something else has little mass on
its choices, and what it would say under a constraint is not its answer. How both are read off a
first token is the engines' matter (``nlpu.engines.first_token``).

Rules
1. Probabilities and mass are the model's own: before any constraint, at temperature 1 and without
   penalties, whatever was sampled.
2. They are kept to four decimals: what is beyond them depends on what else was in the batch.
3. At temperature 0 the answer is the likelier of both, which need not begin with the most likely
   token. A draw is what was drawn.
4. A yes or no that somebody wrote in a model's place is certain.
5. A mass that is not known (of results of former versions, of servers that tell only what a
   constraint left) is None and is not written: such a judgement reads and is written as before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer
from pydantic.json_schema import SkipJsonSchema

from nlpu.types.json_text import check_once

LITTLE_MASS = 0.85  # below it a model is off its choices (docs/log.md)
DECIMALS = 4


class PoorJudge(UserWarning):
    """A model's judgements are worth little: at chance, or off its choices."""


class Judgement(BaseModel):
    """What was answered, and the probability of yes. It is true where the answer is."""

    model_config = ConfigDict(frozen=True)
    answer: bool
    probability: float = Field(ge=0, le=1)
    mass: SkipJsonSchema[float | None] = Field(default=None, ge=0, le=1)

    def __bool__(self) -> bool:
        return self.answer

    @property
    def off_choices(self) -> bool:
        """True if the model would rather have said what is neither yes nor no."""
        return self.mass is not None and self.mass < LITTLE_MASS

    @model_serializer(mode="wrap")
    def _written(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        said: dict[str, Any] = write(self)
        if self.mass is None:  # rule 5
            said.pop("mass", None)
        return said

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return [(name, of) for name, of in super().__repr_args__() if of is not None]


def read(text: str) -> Judgement:
    """A judgement from its JSON, or from a bare yes or no (rule 4). Raises ValueError."""
    certain = {"yes": True, "no": False}.get(text.lower())
    if certain is None:
        check_once(text)
        return Judgement.model_validate_json(text)
    return Judgement(answer=certain, probability=float(certain))


def weighed(
    said: Judgement, probabilities: Sequence[float], greedy: bool, mass: float | None = None
) -> Judgement:
    """The judgement with the engine's probabilities, that of yes being the first (rule 3)."""
    yes, no = probabilities
    answer = said.answer if yes == no or not greedy else yes > no
    kept = None if mass is None else round(min(1.0, mass), DECIMALS)
    return Judgement(answer=answer, probability=round(yes, DECIMALS), mass=kept)
