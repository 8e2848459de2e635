"""From a reply to a result. Pure.

Rules
1. ``decode`` returns a content of the op's result type or raises a ModelError.
2. Nothing is cut silently: only ``at_limit="trim"`` shortens a text; ``Decoded.trimmed`` says so.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from nlpu.checks import takes
from nlpu.errors import BadOp, Declined, EmptyReply, Malformed, Truncated
from nlpu.judgement import weighed
from nlpu.ops.op import Op
from nlpu.sentences import last_end
from nlpu.wire import Reply


class Decoded(NamedTuple):
    """A result, its canonical text, and whether it was shortened at its limit."""

    content: Any
    text: str
    trimmed: bool = False


def decode(op: Op[Any], reply: Reply) -> Decoded:
    """The result of a reply. Raises Declined, Truncated, EmptyReply or Malformed."""
    if reply.declined:
        raise Declined(f"{op.name}: {reply.declined}; ask in other words, or ask another model")
    result = op.result
    text = reply.text.strip()
    if not text.isascii():
        text = _encodable(op, text)
    cut = reply.finish != "stop"
    # An empty text is nothing that could be a result, or be trimmed to it.
    if cut and not (
        text and (op.at_limit == "trim" if result.kind == "text" else _complete(op, text))
    ):
        raise Truncated(_limit_message(op, text, reply))
    if not text:  # and no result type is written so
        raise EmptyReply(f"{op.name}: the model returned no text; rephrase the instruction")
    if result.kind != "text":
        return _typed(op, reply, text)
    return Decoded(*result.own(to_last_sentence(text) if cut else text), trimmed=cut)


def _encodable(op: Op[Any], text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Malformed(
            f"{op.name}: the reply has a lone surrogate (U+{ord(text[error.start]):04X}) at "
            f"character {error.start} and is no text; another draw or another model may help"
        ) from error
    return text


def _typed(op: Op[Any], reply: Reply, text: str) -> Decoded:
    content, kept = op.result.read(text)
    if op.result.kind == "json":
        _check_again(op, content, kept)
    if reply.probabilities:
        content = weighed(content, reply.probabilities, op.sampling.temperature == 0, reply.mass)
        if op.calibration is not None:
            content = op.calibration.of(content)
        kept = op.result.render(content)
    return Decoded(content, kept)


def _check_again(op: Op[Any], content: Any, kept: str) -> None:
    """Raise BadOp for a type that reads one text in two ways: later lives would see another."""
    again = op.result.parse(kept)
    if again == content or op.result.render(again) == op.result.render(content):
        return
    raise BadOp(
        f"{op.name}: {op.result.name} reads the same reply as another value each time (a "
        "default_factory, or a validator that looks at the time or draws): each life of a run "
        "must read the same, so give it a fixed default"
    )


def _complete(op: Op[Any], text: str) -> bool:
    """Whether a text that ended at its limit is a whole result all the same.

    Numbers are not: one more digit may have been on its way. A choice that begins another is not.
    """
    kind, end = op.result.kind, text.rstrip()[-1:]
    if kind in ("int", "float") or (kind == "json" and end.isdigit()):
        return False
    if kind == "choice" and op.result.begins_another(text.strip()):
        return False
    return takes(lambda: op.result.read(text, cut=True), Exception)


def _limit_message(op: Op[Any], text: str, reply: Reply) -> str:
    if reply.thinking and not text:
        return (
            f"{op.name}: the model was still thinking at its limit of {op.max_tokens} tokens and "
            "had answered nothing; raise max_tokens, or let it think less"
        )
    shown = text if len(text) <= 60 else "..." + text[-57:]
    less = ", or accept a shortened text with at_limit='trim'" if op.result.kind == "text" else ""
    what, remedy = (
        ("only repeated itself", "set repetition_penalty")
        if reply.finish == "repetition"
        else (f"was still writing at its limit of {op.max_tokens} tokens", "raise max_tokens")
    )
    if op.result.kind != "text" and len(text) > 9 and not text.strip("-.0123456789"):
        less = ", or for the words as they stand (str), as a number without end is none"
    return f"{op.name}: the model {what} (it ended with {shown!r}); {remedy}, or ask for less{less}"


def to_last_sentence(text: str) -> str:
    """The text up to its last sentence end; all of it, less a last part word, if it has none."""
    if end := last_end(text):
        return text[:end]
    head, _, _ = text.rpartition(" ")
    return head or text
