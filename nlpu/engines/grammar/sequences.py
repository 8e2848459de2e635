"""What stands between brackets: items and members with commas between those that are there.

Theory of operation
-------------------
Of n members that may be left out there are 2**n lists, and where the first that is there stands is
known only when it comes. One rule for each member says what may follow it, so the grammar grows
with n only:

    object ::= "{" (a tail-1 | b tail-2 | c)? "}"
    tail-1 ::= ("," b)? tail-2
    tail-2 ::= ("," c)?

Rules
1. A body here may be empty; what is repeated or named by others never is.
2. Order is that of the arguments; what is not listed follows.
"""

from __future__ import annotations

from collections.abc import Sequence

from nlpu.engines.grammar.gbnf import Rules, either, joined


def items(rules: Rules, first: Sequence[str], rest: str | None, low: int, high: int | None) -> str:
    """Write from low to high items: those with rules of their own, then any number of ``rest``."""
    first = first if high is None else first[:high]
    body, count = "", len(first)
    if rest is not None and (high is None or high > count):
        least, most = max(low - count, 0), None if high is None else high - count
        body = _alike(rules, rest, least, most, bool(first))
    for at in range(count - 1, -1, -1):
        body = joined('","' if at else "", first[at], body)
        body = body if at < low else rules.add("items", body) + "?"
    return body


def _alike(rules: Rules, item: str, low: int, high: int | None, follows: bool) -> str:
    more = rules.add("item", f'"," {item}')
    if follows:
        return rules.many(more, low, high)
    body = joined(item, rules.many(more, max(low - 1, 0), None if high is None else high - 1))
    return body if low else f"({body})?"


def members(rules: Rules, listed: Sequence[tuple[str, bool]], more: str | None) -> str:
    """Write members in order, each with whether it must be there, then any number of ``more``."""
    tail = "" if more is None else rules.add("more", f'"," {more}') + "*"
    options = [] if more is None else [joined(more, tail)]
    for at, (member, needed) in reversed(list(enumerate(listed))):
        options = [joined(member, tail), *([] if needed else options)]
        if at:
            body = f'"," {member}'
            tail = rules.add("tail", joined(body if needed else f"({body})?", tail))
    if not options:
        return ""
    return f"({either(options)})" + ("" if any(needed for _, needed in listed) else "?")
