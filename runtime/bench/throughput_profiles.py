"""The four profiles of ``nlpu bench throughput``: what is asked, how long it is, how it is forced.

    prose    512 tokens in, 100 out          free text
    judge  4,000 tokens in, yes or no
    record 1,000 tokens in, about 100 out    JSON under a schema
    agent  10 turns of 300 in, 50 out        each turn reads all turns before it

Theory of operation
-------------------
A profile is measured in *sessions*: lists of texts, one for each turn. A text is filler, cut so
that the prompt as sent has exactly as many tokens as the profile says, frame and instruction
included. Free text is decoded under ``ENDLESS``, an expression whose end no model writes, and so is
as long as ``max_tokens`` allows; a record has a fixed number of items.

Rules
1. A profile that does not fit the window is halved, in and out alike, until it does, and is then
   named by its size: ``judge/2000``, ``agent/150``. Where a turn would be shorter than its
   instruction the turns are halved instead: ``agent/75x5``.
2. Cold: a prompt's own words come first, so only the op's instruction is shared. Warm: they come
   last, and everything before them has been sent before.
3. Where an engine takes no expressions free text ends where the model ends it, and ``forced`` says
   so. Where the tokenizer is not known, four bytes count as a token, in texts and frames alike; and
   as the runtime counts each byte of a request there, a profile has a sixth of the window.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from itertools import cycle, islice
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, Field, create_model

from nlpu import Usage
from nlpu.ops.op import Op, Operand
from nlpu.processor import Processor
from nlpu.types.result import ResultType, result_type
from nlpu.wire import Constraint

ENDLESS = Constraint("regex", r"[^~]*~{9}")
PROFILES = {"prose": (512, 100, 1), "judge": (4000, 1, 1), "record": (1000, 100, 1)}
PROFILES["agent"] = (300, 50, 10)
_SPARE = 16  # tokens of the window for the names of calls, and for how joined texts are cut
_ITEM_TOKENS = 20
_TRIES = 30
FILLER = "the quick brown fox jumps over the lazy dog near the bank of a river "
_WORDS = FILLER.split()
_TOKEN_BYTES, _MOST_TOKEN_BYTES = 4, 6  # of our texts; of what a model adds to them, too (rule 3)


class Profile(NamedTuple):
    """One profile at the size that fits: tokens of a turn, in and out."""

    name: str
    op: Op[Any]
    tokens_in: int
    tokens_out: int
    turns: int
    forced: bool


class Item(BaseModel):
    """One line of a record; about twenty tokens of JSON."""

    what: str = Field(min_length=8, max_length=16)
    kind: Literal["bought", "sold", "lent"]
    pieces: int = Field(ge=100, le=999)


def profile(name: str, processor: Processor, room: int, at_least: int = 1) -> Profile:
    """The profile, halved until it fits ``room`` tokens, at least as small as asked. Raises Usage.

    room: tokens of the window to use; at_least: the least divisor, for a quick look.
    """
    size, length, turns = known(name)
    forced = "regex" in processor.capabilities.constraints
    parts, op = at_least, _op(name, length, None)
    least = _overhead(processor, op) + _SPARE
    if not processor.codec.tokenizer.exact:
        room = min(room, processor.window // _MOST_TOKEN_BYTES)
    while turns * (size + length) // parts + _SPARE > room:
        if size // (2 * parts) >= least:
            parts *= 2
        elif turns > 1:
            turns //= 2
        else:
            raise Usage(f"the profile {name} does not fit {room} tokens; use a larger window")
    return Profile(
        _name(name, size // parts, turns),
        op=_op(name, max(1, length // parts), ENDLESS if forced else None),
        tokens_in=size // parts,
        tokens_out=max(1, length // parts),
        turns=turns,
        forced=forced or name in ("judge", "record"),
    )


def known(name: str) -> tuple[int, int, int]:
    """A profile's tokens in and out, and turns. Raises Usage."""
    if name not in PROFILES:
        raise Usage(f"no profile is called {name!r}; there are: {', '.join(PROFILES)}")
    return PROFILES[name]


def _name(name: str, size: int, turns: int) -> str:
    whole_size, _, whole_turns = PROFILES[name]
    if turns != whole_turns:
        return f"{name}/{size}x{turns}"
    return name if size == whole_size else f"{name}/{size}"


def _op(name: str, tokens_out: int, endless: Constraint | None) -> Op[Any]:
    text = ResultType("text", "text", "", endless, str)
    whole: dict[str, Any] = {"max_tokens": tokens_out, "at_limit": "trim"}
    if name == "judge":
        return _asking("judge", "Is this text about animals?", result_type(bool))
    if name == "record":
        count = max(1, round(tokens_out / _ITEM_TOKENS))
        items: Any = (list[Item], Field(min_length=count, max_length=count))
        record = result_type(create_model("Record", items=items))
        return _asking("record", "List what was bought, sold and lent.", record)
    if name == "agent":
        return _asking("agent", "Write the next step of this work.", text, **whole)
    return _asking("prose", "Continue the story with many details.", text, **whole)


def _asking(name: str, text: str, result: ResultType, **settings: Any) -> Op[Any]:
    return Op(f"bench_{name}", text, (Operand("text", result_type(str)),), result).using(**settings)


def sessions(
    chosen: Profile, processor: Processor, name: str, count: int, *, warm: bool
) -> list[list[str]]:
    """``count`` sessions whose texts have the profile's length; ``name`` makes them new."""
    counted = counter(processor)
    first = chosen.tokens_in
    for _ in range(2):  # where a text stands depends on its length
        like = filled(counted, max(0, first))
        first = chosen.tokens_in - _overhead(processor, chosen.op, like)
    if first <= 0:
        raise Usage(
            f"{chosen.name} is too small for this model: the instruction and the chat frame alone "
            f"are {chosen.tokens_in - first} tokens"
        )

    def text(own: str, turn: int) -> str:
        own_first = turn > 0 or not warm
        head, tail = (own, "") if own_first else ("", own)
        return filled(counted, chosen.tokens_in if turn else first, head, tail)

    return [
        [text(f"{name} {number} {turn}:", turn) for turn in range(chosen.turns)]
        for number in range(count)
    ]


def counter(processor: Processor) -> Callable[[str], int]:
    """Counts a text's tokens (rule 3)."""
    if processor.codec.tokenizer.exact:
        return processor.count
    return lambda text: -(-processor.count(text) // _TOKEN_BYTES)


def _overhead(processor: Processor, op: Op[Any], text: str = "") -> int:
    """Tokens of a prompt that are not its text, laid out as with ``text`` (rule 3)."""
    codec = processor.codec
    count = len(codec.encode(op, (text,))) - codec.count(text)
    return count if processor.codec.tokenizer.exact else -(-count // _TOKEN_BYTES)


def nonce() -> str:
    """What makes a run's texts new to a server that others have filled; of one length always."""
    return f"{secrets.randbelow(10**6):06d}"


def filled(count: Callable[[str], int], tokens: int, head: str = "", tail: str = "") -> str:
    """A text of that many tokens, between head and tail; at most a few off where words differ."""
    per_word = count(FILLER) / len(_WORDS)
    words = int(tokens / per_word)
    text = ""
    for _ in range(_TRIES):
        text = " ".join([head, *islice(cycle(_WORDS), words), tail]).strip()
        off = count(text) - tokens
        if not off or words <= 0:
            break
        step = round(off / per_word) or (1 if off > 0 else 0)
        if not step:  # less than a word is missing
            break
        words = max(0, words - step)
    return text
