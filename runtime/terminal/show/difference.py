"""Where two runs first differ, and what followed.

Theory of operation
-------------------
Two runs are compared position by position: what was asked there (op, operands, model) and what came
of it (status, result); what the program got from outside (drivers' results, time, chance, which
came first, lifted functions) counts as well. Positions are compared in their order, in which
nothing comes before what it depends on, so the first difference is a cause and the others may be
its consequences.

Rules
1. Texts are compared by content: numbers of texts mean nothing outside their journal.
2. A call without an outcome (stopped, or the loser of a race) is no step: chance decided on it.
3. Where one run was edited from the other, the edits are the causes, and come first.
4. What differs at a position is named in the order of cause: op, model, operands, status, result.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from difflib import unified_diff
from itertools import islice
from typing import Any

from nlpu.printing import one_line
from nlpu.runtime.terminal.show.archive import Record
from nlpu.runtime.terminal.show.calltree import Call, calls_of, in_order
from nlpu.sentences import parts as sentences

_DIFF_LINES = 40
_UNDECIDED = ("open", "stopped")
_ASPECTS = ("op", "model", "operands", "status", "result")
_SAME = {True: "the same", False: "different", None: "neither has any on record"}


@dataclass(frozen=True, slots=True)
class Step:
    """What is known of one position, its aspects comparable between runs."""

    op: str
    facts: dict[str, Any]

    def differs_in(self, other: Step) -> list[str]:
        """The aspects in which they differ (rule 4)."""
        return [name for name in _ASPECTS if self.facts.get(name) != other.facts.get(name)]


def steps_of(record: Record) -> dict[str, Step]:
    """All positions of a run that its journal knows."""
    past = record.past
    outside = [("lift", past.lifts), ("pick", past.picks), ("clock", past.clocks)]
    steps = {
        position: Step(kind, {"op": kind, "result": str(content)})
        for kind, known in outside
        for position, content in known.items()  # type: ignore[attr-defined]
    }
    calls = [call for call in calls_of(record) if call.state not in _UNDECIDED]
    return steps | _driven(record) | {call.position: _step(record, call) for call in calls}


def _driven(record: Record) -> dict[str, Step]:
    """Drivers' calls that came to an end (rule 2). What they were given is compared by digest."""
    past, found = record.past, dict[str, Step]()
    for position, digest in past.driven.items():
        made = past.intents.get(digest)
        if made is not None and (made.text or made.message):
            status = "failed" if made.message else "done"
            result = made.message or record.texts[made.text]
            facts = {"op": "driver", "operands": digest, "status": status, "result": result}
            found[position] = Step("driver", facts)
    return found


def _step(record: Record, call: Call) -> Step:
    op = record.past.ops[call.past.op]
    status = "done" if call.state in ("shared", "taken") else call.state
    facts = {
        "op": (op.name, op.digest),
        "model": call.past.identity,
        "operands": [record.texts[number] for number in call.past.texts],
        "status": status,
        "result": call.text,
    }
    return Step(op.name, facts)


def difference_of(one: Record, other: Record) -> dict[str, Any]:
    """The comparison as plain data; ``first`` is None where no position differs."""
    before, after = steps_of(one), steps_of(other)
    differing: list[dict[str, Any]] = []
    edited = _edits(one, other)
    for position in sorted(
        before.keys() | after.keys(), key=lambda at: (at not in edited, in_order(at))
    ):
        found = _compared(before.get(position), after.get(position))
        if found is not None:
            differing.append({"position": position, **found})
    first = None
    if differing:
        place = differing[0]["position"]
        first = {**differing[0], "diff": _diff(one, other, before.get(place), after.get(place))}
    return {
        "runs": [_run(one), _run(other)],
        "same": len(before.keys() | after.keys()) - len(differing),
        "same_arguments": _same(_arguments(one), _arguments(other)),
        "same_result": _same(_result(one), _result(other)),
        "first": first,
        "followed": differing[1:],
    }


def _edits(one: Record, other: Record) -> set[str]:
    """Where a person edited one of them, if it comes from the other (rule 3)."""
    for descendant, origin in ((other, one), (one, other)):
        if descendant.origin == origin.name:
            return set(descendant.past.header["from"].get("results", {}))
    return set()


def _run(record: Record) -> dict[str, Any]:
    facts = {"id": record.name, "program": record.program, "status": record.status}
    return {**facts, "calls": len(record.past.calls), "from": record.origin or None}


def _same(one: str | None, other: str | None) -> bool | None:
    """None where there is nothing to compare."""
    return None if one is None and other is None else one == other


def _result(record: Record) -> str | None:
    end = record.past.end
    return record.texts.get(end.text) if end is not None else None


def _arguments(record: Record) -> str | None:
    return record.texts.get(record.past.header.get("args", 0))


def _compared(before: Step | None, after: Step | None) -> dict[str, Any] | None:
    if before is None or after is None:
        there = before or after
        assert there is not None
        return {"op": there.op, "change": "appeared" if before is None else "vanished"}
    aspects = before.differs_in(after)
    return {"op": after.op, "change": "changed", "differs": aspects} if aspects else None


def _diff(one: Record, other: Record, before: Step | None, after: Step | None) -> list[str]:
    """The first aspect that differs, as the first lines of a unified diff."""
    if before is None or after is None:
        return []
    aspect = before.differs_in(after)[0]
    lines = unified_diff(
        _shown(one, before, aspect),
        _shown(other, after, aspect),
        one.name,
        other.name,
        lineterm="",
        n=2,
    )
    return list(islice(lines, _DIFF_LINES))


def _shown(record: Record, step: Step, aspect: str) -> list[str]:
    fact = step.facts.get(aspect)
    if aspect == "op" and isinstance(fact, tuple):
        texts = {op.digest: op.text for op in record.past.ops.values()}
        return [step.op, *record.texts[texts[fact[1]]].splitlines()]
    parts = fact if isinstance(fact, list) else [str(fact)]
    lines = (line for part in parts for line in part.split("\n"))
    return [each for line in lines for each in sentences(line)]  # models write long lines


def lines_of(difference: dict[str, Any], most: int | None) -> list[str]:
    """The comparison in words; of what followed, at most ``most`` positions."""
    one, other = difference["runs"]
    lines = [_told(one), _told(other), f"{difference['same']} positions are the same"]
    for what in ("arguments", "result"):
        lines.append(f"their {what}: {_SAME[difference[f'same_{what}']]}")
    first, followed = difference["first"], difference["followed"]
    if first is None:
        return [*lines, "no position differs"]
    lines += [f"first difference: {_place(first)}", *(f"  {line}" for line in first["diff"])]
    if followed:
        counts = Counter(found["change"] for found in followed)
        lines.append("what followed: " + ", ".join(f"{n} {what}" for what, n in counts.items()))
        lines += [f"  {_place(found)}" for found in followed[:most]]
        if most is not None and len(followed) > most:
            lines.append(f"  ... and {len(followed) - most} more (see them with --all)")
    return lines


def _told(run: dict[str, Any]) -> str:
    edited = f", edited from {run['from']}" if run["from"] else ""
    title = one_line(run["program"])
    return f"run {run['id']}: {title}, {run['status']}, {run['calls']} calls{edited}"


def _place(found: dict[str, Any]) -> str:
    what = f"other {', '.join(found['differs'])}" if "differs" in found else found["change"]
    return f"{one_line(found['position'])}  {one_line(found['op'])}  {what}"
