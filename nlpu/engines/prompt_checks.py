"""Whether an engine can take a prompt of token ids: what is asked before any work is done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from nlpu.errors import BadOperand, DoesNotFit
from nlpu.wire import Request


def check_ids(request: Request) -> None:
    """Raise BadOperand for a prompt that is not token ids, and for an answer of no token."""
    if not request.prompt or not all(type(one) is int for one in request.prompt):
        raise BadOperand("this processor takes a prompt of token ids that is not empty")
    if request.sampling.max_tokens < 1:
        raise BadOperand("max_tokens must be at least 1")


def check_known(request: Request, tokens: int) -> None:
    """Raise BadOperand for ids that a model of so many tokens does not have."""
    ids = cast("Sequence[int]", request.prompt)
    if min(ids) < 0 or max(ids) >= tokens:
        raise BadOperand(f"token ids of this model are 0 to {tokens - 1}")


def check_room(request: Request, window: int) -> None:
    """Raise DoesNotFit where prompt and answer do not fit the window."""
    size, most = len(request.prompt), request.sampling.max_tokens
    if size + most > window:
        raise DoesNotFit(
            f"the request needs {size + most} tokens ({size} of prompt, {most} to generate) and "
            f"the window has {window}: split the text, or ask for less",
            needed=size + most,
            available=window,
        )
