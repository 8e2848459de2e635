"""How likely each choice was to the embedded model: asked for, and read off its first token.

Theory of operation
-------------------
llama.cpp tells the likeliest tokens of the model's own distribution (``n_probs``): at temperature
1, before the grammar and every sampler. So a judgement has no grammar: ``logit_bias`` lifts the
tokens that begin its choices above all others, by so much that one of them is said, and one token
is generated.

Rules
1. A token that is not told is less likely than all that are. Where what that leaves open is more
   than ``_OPEN`` of the choices' mass, the whole vocabulary is asked for, which takes ten times as
   long.
2. Choices that are not ASCII are refused: of a token that ends within a character llama.cpp tells
   nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from math import exp
from typing import Any

from nlpu.errors import ConstraintRejected, ServerFault
from nlpu.judgement import Begun, beginnings, chosen, likeliest, shares
from nlpu.wire import Reply, Request

_LIKELY = 1000  # tokens asked for first
_OPEN = 1e-3
_LIFT = 1000.0  # logits are some tens
_MOST_KNOWN = 512


class Beginnings:
    """The tokens that begin choices, of one model; each choices' are looked for once."""

    def __init__(self, encode: Callable[[str], Sequence[int]]) -> None:
        self._encode = encode
        self._known: dict[tuple[str, ...], Begun] = {}

    def of(self, choices: list[str]) -> Begun:
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


def choices_in(request: Request) -> list[str]:
    """The choices whose probabilities are asked for; none where they are not.

    Raises ConstraintRejected (rule 2).
    """
    constraint = request.constraint
    if not request.probabilities or constraint is None or constraint.kind != "choice":
        return []
    choices: list[str] = json.loads(constraint.spec)
    if not all(choice.isascii() for choice in choices):
        raise ConstraintRejected(
            "the embedded processor tells the probabilities of choices in ASCII only; "
            "name the choices with plain letters"
        )
    return choices


def choosing(body: dict[str, Any], begun: Begun) -> dict[str, Any]:
    """The body of a request as it is for one whose choices are weighed."""
    lifted = [[one, _LIFT] for each in begun for one in each]
    asked = {name: of for name, of in body.items() if name not in ("grammar", "stop")}
    return asked | {"n_probs": _LIKELY, "max_tokens": 1, "logit_bias": lifted}


def open_share(begun: Begun, first: list[dict[str, Any]]) -> float:
    """The part of the choices' mass that tokens may have which were not told (rule 1)."""
    likely, wanted = _likely(first), [one for ids in begun for one in ids]
    mass = shares(begun, likely)[1]
    missing = sum(one not in likely for one in wanted)
    if not missing:
        return 0.0
    return missing * min(likely.values(), default=1.0) / mass if mass else 1.0


def is_settled(begun: Begun, first: list[dict[str, Any]]) -> bool:
    """Whether the tokens that were told say enough (rule 1)."""
    return open_share(begun, first) <= _OPEN


def weighed_reply(
    reply: Reply, choices: list[str], begun: Begun, first: list[dict[str, Any]], drawn: int | None
) -> Reply:
    """The reply with what its first token says of the choices, and one of them as its text.

    ``drawn`` is the token that was drawn, if the answer is.
    """
    chances, mass = shares(begun, _likely(first))
    if not chances:
        raise ServerFault("the embedded processor did not tell how likely the choices were")
    text = likeliest(choices, chances) if drawn is None else chosen(choices, begun, drawn)
    return reply._replace(text=text, finish="stop", probabilities=chances, mass=mass)


def _likely(first: list[dict[str, Any]]) -> dict[int, float]:
    return {one["id"]: exp(one["logprob"]) for one in first}
