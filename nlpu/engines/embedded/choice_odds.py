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

from math import exp
from typing import Any

from nlpu.engines.first_token import Begun, odds, shares
from nlpu.errors import ConstraintRejected, ServerFault
from nlpu.wire import Reply

_LIKELY = 1000  # tokens asked for first
_OPEN = 1e-3
_LIFT = 1000.0  # logits are some tens


def check_choices(choices: list[str]) -> None:
    """Raise ConstraintRejected for choices of which llama.cpp tells nothing (rule 2)."""
    if not all(choice.isascii() for choice in choices):
        raise ConstraintRejected(
            "the embedded processor tells the probabilities of choices in ASCII only; "
            "name the choices with plain letters"
        )


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
    found = odds(choices, begun, _likely(first), drawn)
    if not found.probabilities:
        raise ServerFault("the embedded processor did not tell how likely the choices were")
    return found.of(reply)


def _likely(first: list[dict[str, Any]]) -> dict[int, float]:
    return {one["id"]: exp(one["logprob"]) for one in first}
