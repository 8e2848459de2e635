"""Choices that a model weighs with one token: what begins them, and what that token says of them.

Theory of operation
-------------------
A model that is asked for one of a few choices settles on one with its first token. It spells it as
it likes: for yes, most chat models begin with ``Yes``. So the probability of a choice is the sum
over the tokens that begin it in any of its spellings (as it is, with a capital, in capitals; each
with and without a blank before it), as a share of what all the choices have; the *mass* is what all
of them have of the whole.

Which tokens those are, a tokenizer says once (``beginnings``). An engine asked for probabilities
(``Request.probabilities``) looks them up in the distribution of the first token (``shares``), and
``odds`` says what that makes of the reply.

Rules
1. A token that begins two choices counts for none.
2. At temperature 0 the answer is the likeliest choice, which need not begin with the most likely
   token. A draw is what was drawn.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from math import inf
from typing import NamedTuple

from nlpu.errors import ConstraintRejected
from nlpu.wire import Reply, Request

Begun = tuple[tuple[int, ...], ...]  # for each choice the ids of the tokens that begin it
_MOST_KNOWN = 512


def choices_of(request: Request) -> list[str]:
    """The choices whose probabilities are asked for; none where they are not."""
    constraint = request.constraint
    asked = request.probabilities and constraint is not None and constraint.kind == "choice"
    return json.loads(constraint.spec) if asked and constraint is not None else []


class Odds(NamedTuple):
    """What an answer tells of its choices. ``text``: the choice, where its first token says it."""

    probabilities: tuple[float, ...]
    mass: float | None = None
    text: str | None = None

    def of(self, reply: Reply) -> Reply:
        """The reply with what it tells of its choices, and one of them as its text."""
        reply = reply._replace(probabilities=self.probabilities, mass=self.mass)
        return reply if self.text is None else reply._replace(text=self.text, finish="stop")


def odds(
    choices: Sequence[str], begun: Begun, likely: Mapping[int, float], drawn: int | None
) -> Odds:
    """The odds from first tokens' probabilities by id; ``drawn`` is the token, if one was (rule 2).

    There are no probabilities where none of the tokens begins a choice. Raises ValueError where
    what was drawn begins none.
    """
    found, mass = shares(begun, likely)
    if not found:
        return Odds(())
    text = likeliest(choices, found) if drawn is None else chosen(choices, begun, drawn)
    return Odds(found, mass, text)


class Beginnings:
    """The tokens that begin choices, of one model; each choices' are looked for once."""

    def __init__(self, encode: Callable[[str], Sequence[int]]) -> None:
        self._encode = encode
        self._known: dict[tuple[str, ...], Begun] = {}

    def of(self, choices: Sequence[str]) -> Begun:
        """Find the tokens of each choice. Raises ConstraintRejected where there are none."""
        found = self._known.get(tuple(choices)) or beginnings(choices, self._encode)
        if not found:
            raise ConstraintRejected(
                f"of the choices {', '.join(choices)} two begin with the same token of this model: "
                "name them with other words"
            )
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[tuple(choices)] = found
        return found


def spellings(choice: str) -> tuple[str, ...]:
    """The ways in which a model may begin to write a choice."""
    ways = dict.fromkeys((choice, choice[:1].upper() + choice[1:], choice.upper()))
    return tuple(blank + way for blank in ("", " ") for way in ways)


def beginnings(choices: Sequence[str], encode: Callable[[str], Sequence[int]]) -> Begun:
    """The ids of the tokens that begin each choice; () where one of them has none (rule 1).

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
    """As ``shares``, from the texts of tokens that a constraint left, if the server heeds one."""
    begun = [(token.strip(), share) for token, share in first]
    sums = [
        sum(
            share
            for token, share in begun
            if token and any(way.startswith(token) for way in spellings(choice))
        )
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
