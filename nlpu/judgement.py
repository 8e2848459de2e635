"""Judgements: yes or no with its probability, and how that is read off a model's first token.

Theory of operation
-------------------
Under a constraint to a few choices, the model settles on one of them with its first token, if no
two begin with the same letter. So the probability of a choice is the sum over the tokens that begin
it, as a share of what all the choices have: yes against no at the answer position. An engine asked
for it (``Request.probabilities``) gives one number for each choice.

Rules
1. Probabilities are the model's own, at temperature 1 and without penalties, whatever was sampled.
2. They are kept to four decimals: what is beyond them depends on what else was in the batch.
3. At temperature 0 the answer is the likelier of both: where a choice can begin with one of several
   tokens, the most likely token need not be the beginning of the most likely choice. A draw is
   what was drawn.
4. A yes or no that somebody wrote in a model's place is certain.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf

from pydantic import BaseModel, ConfigDict, Field

_DECIMALS = 4


class Judgement(BaseModel):
    """What was answered, and the probability of yes. It is true where the answer is."""

    model_config = ConfigDict(frozen=True)
    answer: bool
    probability: float = Field(ge=0, le=1)

    def __bool__(self) -> bool:
        return self.answer


def read(text: str) -> Judgement:
    """A judgement from its JSON, or from a bare yes or no (rule 4). Raises ValueError."""
    certain = {"yes": True, "no": False}.get(text.lower())
    if certain is None:
        return Judgement.model_validate_json(text)
    return Judgement(answer=certain, probability=float(certain))


def weighed(said: Judgement, probabilities: Sequence[float], greedy: bool) -> Judgement:
    """The judgement with the engine's probabilities, that of yes being the first (rule 3)."""
    yes, no = probabilities
    answer = said.answer if yes == no or not greedy else yes > no
    return Judgement(answer=answer, probability=round(yes, _DECIMALS))


def probabilities(choices: Sequence[str], first: Iterable[tuple[str, float]]) -> tuple[float, ...]:
    """Each choice's probability, from (text, probability) of first tokens; () if none begins one"""
    begun = [(token.strip(), share) for token, share in first]
    sums = [
        sum(share for token, share in begun if token and choice.startswith(token))
        for choice in choices
    ]
    whole = sum(sums)
    return tuple(one / whole for one in sums) if 0 < whole < inf else ()  # nor for a NaN
