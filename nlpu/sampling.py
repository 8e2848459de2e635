"""Sampling: how the tokens of an answer are chosen, as one value that ops and requests carry whole.

Theory of operation
-------------------
An op is given the fields as keywords (``op("...", temperature=0.7, top_k=40)``). Here they stand
together and are checked; the op's digest is made of them, and engines get them as they are. What
engines call them is in ``nlpu.engines.parameters``; docs/design.md says how to add one.

Rules
1. A field at its default changes no digest: ``parts`` names the first three always, as ever, and of
   the others those that were set.
2. Engines say which fields they take (``Capabilities.sampling``). One that is set and not taken is
   refused before anything is sent, never ignored.
3. ``extra`` holds a server's own fields, as JSON. It names none that the machine writes itself, and
   none that is set beside it.
4. A seed is of the first draw. Others have seeds of their own, made of it and of their place.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any
from zlib import crc32

from nlpu.checks import AMOUNT, RATE, WHOLE, Fit, check, is_number, maybe, takes
from nlpu.errors import NlpuError, Usage

SEEDS = 2**32 - 1  # llama.cpp reads this one as "any"
_MOST = 2**31 - 1  # engines hold a number of tokens in 32 bits
_MACHINES = """
    prompt messages model n best_of echo tools stream stream_options priority request_id id_slot
    max_tokens max_completion_tokens n_predict temperature top_p stop seed extra samplers
    cache_prompt return_progress logprobs top_logprobs n_probs post_sampling_probs
    logprob_token_ids allowed_token_ids return_tokens_as_token_ids use_beam_search grammar
    json_schema response_format structured_outputs guided_choice guided_grammar guided_json
    guided_regex tool_choice include_stop_str_in_output
"""  # fields of requests that engines write, or whose answers they do not read
MACHINES = frozenset(_MACHINES.split())


class Extra(Mapping[str, Any]):
    """A server's own fields, by name. Frozen; compares and hashes by its JSON."""

    __slots__ = ("text",)

    def __init__(self, given: Mapping[str, Any] | None = None) -> None:
        """Take JSON values by name. Raises TypeError or ValueError for what is none."""
        self.text = json.dumps(dict(given or {}), sort_keys=True, allow_nan=False)

    def __getitem__(self, name: str) -> Any:
        return json.loads(self.text)[name]

    def __iter__(self) -> Iterator[str]:
        return iter(json.loads(self.text))

    def __len__(self) -> int:
        return len(json.loads(self.text))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Extra) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return self.text


_NO_EXTRA = Extra()


@dataclass(frozen=True, slots=True)
class Sampling:
    """How an answer's tokens are chosen.

    max_tokens:  most tokens that may be generated (0: the default of the op's result type).
    temperature: 0 takes the likeliest token each time.
    top_p:       draw among the likeliest tokens that together have this share.
    top_k:       draw among so many of the likeliest tokens (0: among all).
    min_p:       draw among tokens with at least this part of the likeliest one's probability.
    frequency_penalty, presence_penalty: make what was generated before less likely to come again,
                 each time it came or once.
    repetition_penalty: above 1 does so for tokens of the prompt, too.
    stop:        texts before which the answer ends; they are not in it.
    seed:        makes draws repeatable (rule 4).
    extra:       a server's own fields (rule 3).
    wanted:      what was set of all these, and what ``extra`` names.
    """

    max_tokens: int = 0
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    repetition_penalty: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    extra: Mapping[str, Any] = _NO_EXTRA
    wanted: frozenset[str] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        check_sampling("Sampling", {name: getattr(self, name) for name in DEFAULTS})
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)
        object.__setattr__(self, "stop", stop)
        object.__setattr__(self, "extra", Extra(self.extra) if self.extra else _NO_EXTRA)
        told = {name for name, usual in DEFAULTS.items() if getattr(self, name) != usual}
        others = {f"extra.{name}" if name in DEFAULTS else name for name in self.extra}
        object.__setattr__(self, "wanted", frozenset(told - {"max_tokens", "extra"} | others))

    def parts(self) -> list[str]:
        """Give what a digest has of it (rule 1), without the bound of tokens."""
        always = [repr(self.temperature), repr(self.top_p), repr(self.repetition_penalty)]
        for name in sorted(DEFAULTS.keys() - _ALWAYS):
            of = getattr(self, name)
            if of != DEFAULTS[name]:
                always.append(f"{name} {float(of) if is_number(of) else of!r}")
        return always

    def drawn(self, sample: int | None, path: str, number: int) -> Sampling:
        """Set the seed of one draw: number ``sample``, or the next in the scope ``path``."""
        if self.seed is None or not self.temperature:
            return self
        place = 0 if path == "main" else crc32(path.encode())
        more = number + place if sample is None else sample
        return replace(self, seed=(self.seed + more) % SEEDS)


def _is_stop(text: Any) -> bool:
    """Whether it is a text that another can hold: nothing holds half a surrogate pair."""
    return isinstance(text, str) and text != "" and text == text.encode(errors="ignore").decode()


def _are_stops(given: Any) -> bool:
    return _is_stop(given) or (isinstance(given, list | tuple) and all(map(_is_stop, given)))


def _is_extra(given: Any) -> bool:
    named = isinstance(given, Mapping) and all(isinstance(name, str) for name in given)
    return named and takes(lambda: Extra(given), TypeError, ValueError, RecursionError)


_PENALTY: Fit = (lambda p: is_number(p) and -2 <= p <= 2, "a number from -2 to 2")
FITS: dict[str, Fit] = {
    "max_tokens": (lambda n: WHOLE[0](n) and n <= _MOST, f"a whole number, 0 to {_MOST}"),
    "temperature": AMOUNT,
    "top_p": (lambda p: is_number(p) and 0 < p <= 1, "a number more than 0 and at most 1"),
    "top_k": (
        lambda n: WHOLE[0](n) and n <= _MOST,
        f"a whole number, 0 to {_MOST} (0: all tokens)",
    ),
    "min_p": (lambda p: is_number(p) and 0 <= p <= 1, "a number from 0 to 1"),
    "frequency_penalty": _PENALTY,
    "presence_penalty": _PENALTY,
    "repetition_penalty": (RATE[0], "a number more than 0 (1: none)"),
    "stop": (_are_stops, "a text or a list of texts, none of them empty"),
    "seed": maybe((lambda n: WHOLE[0](n) and n < SEEDS, f"a whole number, 0 to {SEEDS - 1}")),
    "extra": (_is_extra, "a dict of JSON values by the names of a server's own fields"),
}
DEFAULTS = {each.name: each.default for each in fields(Sampling) if each.init}
_ALWAYS = {"max_tokens", "temperature", "top_p", "repetition_penalty"}


def check_sampling(what: str, given: Mapping[str, Any], error: type[NlpuError] = Usage) -> None:
    """Raise ``error`` for a field that means nothing, and for an ``extra`` that is not (rule 3)."""
    check(what, given, {name: fit for name, fit in FITS.items() if name in given}, error)
    for name in MACHINES.intersection(given.get("extra", ())):
        why = "it is a setting of its own" if name in DEFAULTS else "the machine writes that itself"
        raise error(f"{what}: extra cannot hold {name!r}: {why}")
    for name in DEFAULTS.keys() & given.get("extra", ()):
        if given.get(name, DEFAULTS[name]) != DEFAULTS[name]:
            raise error(f"{what}: {name} is given twice, once in extra: leave one of them out")


USUAL = Sampling()
