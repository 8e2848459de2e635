"""Where in which run a request comes from, for servers that can use more than the request.

Rules
1. It changes no answer: it is in no key and no digest, and an engine may pass over all of it.
2. Its ids follow from what the journal holds, so that what is told of a run later (``nlpu show
   --otel``) has the ids that its server was sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from hashlib import blake2b
from typing import Any, NamedTuple, Protocol

from nlpu.label import Label, label_text


class Origin(NamedTuple):
    """A call's place.

    trace:     the run's id, of 32 hexadecimal digits: that of all its lives.
    position:  scope path and number of issue.
    label:     of all that it reads.
    depends:   tokens that wait for it, along the longest path behind it.
    """

    trace: str
    position: str
    label: Label
    depends: int = 0

    @property
    def span(self) -> str:
        """The call's id in its trace, of 16 hexadecimal digits."""
        return span_of(self.trace, self.position)

    @property
    def scope(self) -> str:
        """The path of the scope that issued it."""
        return self.position.rpartition("/")[0]


class Issued(Protocol):
    """A call as its graph knows it."""

    @property
    def issue_scope(self) -> Any: ...
    @property
    def issue_position(self) -> str: ...
    @property
    def call_rank(self) -> int: ...
    def label_read(self) -> Label: ...


class Begun(Protocol):
    """A run as it was begun: its header, and its number in its journal."""

    @property
    def header(self) -> Mapping[str, Any]: ...
    @property
    def number(self) -> int: ...


def origin_of(call: Issued) -> Origin:
    """Where a call comes from."""
    trace = trace_of(call.issue_scope.run)
    return Origin(trace, call.issue_position, call.label_read(), call.call_rank)


class OriginOf(partial[Origin]):
    """Gives a call's place when asked; all are equal, as requests differ by none (rule 1)."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OriginOf)

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "OriginOf(a call)"


def trace_of(run: Begun) -> str:
    """The id of a run."""
    return _trace(run.header.get("own", ""), run.header.get("started_s", 0.0), run.number)


@lru_cache(maxsize=1024)
def _trace(mark: str, started_s: float, number: int) -> str:
    return blake2b(f"{mark}|{started_s!r}|{number}".encode(), digest_size=16).hexdigest()


def span_of(trace: str, position: str) -> str:
    """The id of a call in the trace of its run."""
    return blake2b(f"{trace}|{position}".encode(), digest_size=8).hexdigest()


def salt_of(secret: str, label: Label) -> str:
    """What keeps the cached prompts of one label apart from another's; not to be guessed."""
    whole = label_text(label).encode()
    return blake2b(whole, key=secret.encode()[:64], digest_size=32).hexdigest()
