"""Judgements: yes or no with its probability, and how that is read off a model's first token.

Theory of operation
-------------------
A model that is asked for one of a few choices settles on one with its first token. It spells it as
it likes: for yes, most chat models begin with ``Yes``. So the probability of a choice is the sum
over the tokens that begin it in any of its spellings (as it is, with a capital, in capitals; each
with and without a blank before it), as a share of what all the choices have; the *mass* is what all
of them have of the whole. A model that wants to say something else has little mass on its choices,
and what it would say under a constraint is not its answer.

Which tokens those are, a tokenizer says once (``beginnings``). An engine asked for probabilities
(``Request.probabilities``) looks them up in the distribution of the first token (``shares``).

Rules
1. Probabilities and mass are the model's own: before any constraint, at temperature 1 and without
   penalties, whatever was sampled.
2. They are kept to four decimals: what is beyond them depends on what else was in the batch.
3. At temperature 0 the answer is the likelier of both, which need not begin with the most likely
   token. A draw is what was drawn.
4. A yes or no that somebody wrote in a model's place is certain.
5. A mass that is not known (of results of former versions, of servers that tell only what a
   constraint left) is None and is not written: such a judgement reads and is written as before.
6. A token that begins two choices counts for none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from math import inf
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer
from pydantic.json_schema import SkipJsonSchema

LITTLE_MASS = 0.85  # below it a model is off its choices (docs/log.md)
DECIMALS = 4

Begun = tuple[tuple[int, ...], ...]  # for each choice the ids of the tokens that begin it


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


# -- first tokens --------------------------------------------------------------------------------


def spellings(choice: str) -> tuple[str, ...]:
    """The ways in which a model may begin to write a choice."""
    ways = dict.fromkeys((choice, choice[:1].upper() + choice[1:], choice.upper()))
    return tuple(blank + way for blank in ("", " ") for way in ways)


def beginnings(choices: Sequence[str], encode: Callable[[str], Sequence[int]]) -> Begun:
    """The ids of the tokens that begin each choice; () where one of them has none (rule 6).

    Of spellings that are one token, these; of a choice that is longer in all of them, the first.
    """
    firsts = [_firsts([encode(way) for way in spellings(choice)]) for choice in choices]
    met = Counter(chain.from_iterable(firsts))
    begun = tuple(tuple(sorted(one for one in each if met[one] == 1)) for each in firsts)
    return begun if all(begun) else ()


def _firsts(cuts: Sequence[Sequence[int]]) -> set[int]:
    whole = {cut[0] for cut in cuts if len(cut) == 1}
    return whole or {cut[0] for cut in cuts if cut}


def shares(begun: Begun, likely: Mapping[int, float]) -> tuple[tuple[float, ...], float]:
    """(each choice's probability, their mass) from first tokens' probabilities by id.

    There are no probabilities where none of the tokens begins a choice.
    """
    sums = [sum(likely.get(one, 0.0) for one in each) for each in begun]
    return _parts(sums), sum(sums)


def probabilities(choices: Sequence[str], first: Iterable[tuple[str, float]]) -> tuple[float, ...]:
    """As ``shares``, from the texts of tokens that a constraint left: choices as they are."""
    begun = [(token.strip(), share) for token, share in first]
    sums = [
        sum(share for token, share in begun if token and choice.startswith(token))
        for choice in choices
    ]
    return _parts(sums)


def _parts(sums: Sequence[float]) -> tuple[float, ...]:
    whole = sum(sums)
    return tuple(one / whole for one in sums) if 0 < whole < inf else ()  # nor for a NaN


def likeliest(choices: Sequence[str], probabilities: Sequence[float]) -> str:
    """The choice that has the most, the first of equal ones."""
    return choices[probabilities.index(max(probabilities))]


def chosen(choices: Sequence[str], begun: Begun, token: int) -> str:
    """The choice that a token begins. Raises ValueError where it begins none."""
    return choices[[token in ids for ids in begun].index(True)]
