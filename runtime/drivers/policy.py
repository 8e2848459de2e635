"""The policy: what labels permit a driver to do. Pure; no model has a say in it.

Theory of operation
-------------------
A call is weighed by what the driver declares and by the labels of what decides about it: those of
its arguments, and that of the scope it is issued in, which knows every untrusted content that the
program has looked at before. Each rule that the call breaks is an objection; a call without
objections is made, one with objections only if a person approves of exactly this call.

    effect             scope      authority   selector   content
    pure               any        any         any        any
    read               any        trusted     any        any
    write, external    trusted    trusted     trusted    any; but see rule 2

Rules
1. Trusted is what the user or the system vouches for.
2. What has readers may be carried only to an audience that is among them: by an argument, or by
   the fact that the call is made.
3. Trust is never gained here: an approval is of one call, and changes no label.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from nlpu.label import Integrity, Label
from nlpu.runtime.drivers.driver import Driver, Effect, Role

_NEEDS_TRUST: Mapping[Effect, frozenset[Role]] = {
    "pure": frozenset(),
    "read": frozenset({"authority"}),
    "write": frozenset({"authority", "selector"}),
    "external": frozenset({"authority", "selector"}),
}
_NEEDS_SCOPE: frozenset[Effect] = frozenset({"write", "external"})


class Objection(NamedTuple):
    """A rule that a call breaks: by an argument, or by the scope it is issued in.

    breaks: whether a label breaks this rule; it holds of ``label``.
    """

    argument: str | None
    role: Role | None
    label: Label
    why: str
    breaks: Callable[[Label], bool]


def is_trusted(label: Label) -> bool:
    """Rule 1."""
    return label.integrity >= Integrity.SYSTEM


def objections(driver: Driver, labels: Mapping[str, Label], scope: Label) -> list[Objection]:
    """What stands against the call, the scope first, then arguments in order."""
    found: list[Objection] = []

    def untrusted(label: Label) -> bool:
        return not is_trusted(label)

    def carried_too_far(label: Label) -> bool:
        return driver.effect in _NEEDS_SCOPE and not _may_read(driver.audience, label)

    if driver.effect in _NEEDS_SCOPE and untrusted(scope):
        why = "the program has acted on untrusted content before it"
        found.append(Objection(None, None, scope, why, untrusted))
    if carried_too_far(scope):
        why = f"the program has acted on what {_readers(scope)} alone may read"
        found.append(Objection(None, None, scope, why, carried_too_far))
    for name, label in labels.items():
        role = driver.role_of(name)
        if role in _NEEDS_TRUST[driver.effect] and untrusted(label):
            why = f"{name!r} decides what it does ({role}) and is untrusted"
            found.append(Objection(name, role, label, why, untrusted))
        if carried_too_far(label):
            why = f"{name!r} may be read by {_readers(label)} alone, and would be carried further"
            found.append(Objection(name, role, label, why, carried_too_far))
    return found


def _may_read(audience: frozenset[str] | None, label: Label) -> bool:
    """Rule 2. No audience is anyone; no readers are everyone."""
    if label.readers is None:
        return True
    return audience is not None and audience <= label.readers


def _readers(label: Label) -> str:
    return ", ".join(sorted(label.readers or ())) or "nobody"
