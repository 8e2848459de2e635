"""The calls of a journaled run, as a tree of the program's parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runtime.history import cost_of
from runtime.terminal.output import one_line

if TYPE_CHECKING:
    from rich.tree import Tree

    from runtime.history import PastCall
    from runtime.terminal.archive import Record

_WIDTH = 46


@dataclass(frozen=True, slots=True)
class Call:
    """One call: where it was issued and how it ended."""

    position: str
    op: str
    state: str
    prompt_tokens: int
    completion_tokens: int
    attempts: int
    text: str

    def details(self) -> dict[str, Any]:
        """As plain data."""
        return {name: getattr(self, name) for name in self.__slots__}

    def line(self) -> str:
        """On one line."""
        tokens = f"{self.prompt_tokens}+{self.completion_tokens} tok"
        return f"{self.op}  {self.state}  {tokens}  {one_line(self.text, _WIDTH)}"


def calls_of(record: Record) -> list[Call]:
    """All calls of a run in the order of their positions."""
    found = [_call(record, past) for past in record.past.calls.values()]
    return sorted(found, key=lambda call: _order(call.position))


def _call(record: Record, past: PastCall) -> Call:
    op = record.past.ops[past.op].name
    outcome = record.past.outcomes.get(past.key)
    if outcome is None:
        open_ = past.number in record.past.under_way
        return Call(past.position, op, "open" if open_ else "stopped", 0, 0, 1, "")
    cost = cost_of(outcome.usage)
    state = "failed" if outcome.fault else "shared" if not past.number else "done"
    text = f"{outcome.fault}: {outcome.message}" if outcome.fault else record.texts[outcome.text]
    return Call(
        past.position, op, state, cost.prompt_tokens, cost.completion_tokens, cost.attempts, text
    )


def _order(position: str) -> list[tuple[int, str]]:
    """Numbers in a position count as numbers."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in position.split("/")]


def tree_of(record: Record, most: int | None) -> Tree:
    """The calls under the parts that issued them; at most ``most`` of one part."""
    from rich.text import Text
    from rich.tree import Tree

    root = Tree(Text("main"))
    branches: dict[str, Tree] = {"main": root}
    hidden: dict[str, int] = {}
    shown: dict[str, int] = {}
    for call in calls_of(record):
        part = call.position.rpartition("/")[0]
        parent = _top(part)
        shown[parent] = shown.get(parent, 0) + 1
        if most is not None and shown[parent] > most:
            hidden[parent] = hidden.get(parent, 0) + 1
            continue
        _branch(branches, part).add(Text(call.line(), no_wrap=True, overflow="ellipsis"))
    for part, count in hidden.items():
        _branch(branches, part).add(Text(f"... and {count} more (see them with --all)"))
    return root


def _top(part: str) -> str:
    """What a part's calls are counted under: itself, or what it grew from if that is nested."""
    return part.rpartition("/")[0] if part.count("/") else part


def _branch(branches: dict[str, Tree], path: str) -> Tree:
    """The branch of a path, with those above it."""
    from rich.text import Text

    found = branches.get(path)
    if found is None:
        above, _, own = path.rpartition("/")
        found = branches[path] = _branch(branches, above).add(Text(own or path))
    return found
