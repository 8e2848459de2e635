"""Commands that only look: at values, calls, the window, the costs. Each is named as it is typed.

They read a session between its lines; all that a model wrote is made safe before it is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil
from typing import Any

from rich.table import Table
from rich.text import Text

from nlpu.chat import turns_in
from nlpu.ops.op import Op
from nlpu.printing import columns
from nlpu.runtime.graph.kinds import texts_of
from nlpu.runtime.journal.places import journals
from nlpu.runtime.scheduler.breakpoints import Gate
from nlpu.runtime.terminal.memory import command as memory
from nlpu.runtime.terminal.output import as_text, console, one_line, safe, say
from nlpu.runtime.terminal.repl import actions as acts
from nlpu.runtime.terminal.repl.commands import COMMANDS
from nlpu.runtime.terminal.repl.entries import Entry
from nlpu.runtime.terminal.repl.folding import writer
from nlpu.runtime.terminal.repl.inspecting import graph, inspect, nodes_of, ops_of
from nlpu.runtime.terminal.repl.line_watcher import note, taken_s
from nlpu.runtime.terminal.repl.state import State
from nlpu.runtime.terminal.show import command as listing
from nlpu.runtime.terminal.show.archive import SESSION, changed_s
from nlpu.runtime.terminal.show.run_folder import skimmed

_MOST_HELD = 12
_BAR = 24
LANGUAGE = """A line is said to the model, with the context and the values that it names:
  _  _3  {name}   earlier values, the newest first
  @FILE           the text of a file; {@FILE} if its name has blanks
  name = ...      binds the answer to a line, run ..., "a text", a value or @FILE
unless it is one of these commands (/ before it: always; a blank: never):"""


def runs_of(on: State) -> list[str]:
    """The journals of the directory."""
    return sorted(where.stem for where in journals(on.settings.run_dir))


def welcome(on: State) -> None:
    """What the session is, and where it stands."""
    s, state = on.settings, on.session.state
    assert state is not None
    processor = state.processor(None)
    can = processor.capabilities
    model = one_line(can.model.rsplit("/", 1)[-1], 30)
    say(f"session {on.run.name} on {s.engine} ({model}, window {processor.window:,} tokens)")
    if not can.token_prompts:
        say(f"note: a server with weaker guarantees: {' '.join(can.weaker)}")
    counts, entries = on.run.counts, on.session.entries
    if entries:
        say(f"{len(entries)} values; {counts.reused} calls known, {counts.calls} made again")
        if counts.calls and not on.gate.breakpoints:
            say("breakpoints are not kept: calls that were held or under way have been made")
        _last(entries[-1])


def cut_off(on: State) -> None:
    """Say so if the newest session before this one was killed."""
    own = on.run.name.partition(".")[0]
    others = [where for where in journals(on.settings.run_dir) if where.stem != own]
    for found in skimmed(max(others, key=changed_s))[-1:] if others else ():
        record = found.record
        if (record.program, record.status) == (SESSION, "stopped") and record.past.end is None:
            say(f"the session before was cut off; to go on with it: resume {record.name}")


def _last(entry: Entry) -> None:
    told = entry.error or as_text(entry.content)
    out = console(to_stderr=True)
    out.print(Text(safe(f"{entry.name}> {one_line(entry.line.typed, 72)}"), "dim"))
    out.print(Text(one_line(told, 240), "dim"))


def held(gate: Gate) -> None:
    """What waits at the gate."""
    waiting = gate.held()
    for call in waiting[:_MOST_HELD]:
        told = next(iter(call.texts), call.op.text)
        if call.op.name == "say":
            told = line_of(call.op, call.texts)
        say(f"held: {one_line(call.op.name)} at {call.position}: {one_line(told, 40)}")
    if len(waiting) > _MOST_HELD:
        say(f"and {len(waiting) - _MOST_HELD} more")


def changes(on: State, before: dict[str, str], seconds: float) -> None:
    """What an edit has changed: the answers that were made anew, and what they took."""
    entries = on.session.entries
    other = [entry for entry in entries if before.get(entry.name) != as_text(entry.content)]
    for entry in other:
        took_s = taken_s(entry)
        if took_s is not None and not entry.error:
            writer()(as_text(entry.content) + "\n")
            if on.settings.is_terminal:
                note(entry, took_s)
    counts = on.run.counts
    say(
        f"session {on.run.name}: {counts.reused} calls known, {counts.calls} made in "
        f"{seconds:.1f} s; changed: {', '.join(entry.name for entry in other) or 'nothing'}"
    )


def ops(on: State) -> None:
    """The ops, what they take and give, and how often they were called."""
    called = [node.work_name for node in nodes_of(on).values()]
    rows = [["", "op", "calls", "gives", "instruction"]]
    for name, op in sorted(ops_of(on).items()):
        mark = "held" if name in on.gate.breakpoints else ""
        rows.append([mark, name, str(called.count(name)), one_line(op.result.name, 18), op.text])
    _print(rows, right=(2,))


def mem(on: State) -> None:
    """The memory store's levels. Raises Usage where there is none."""
    memory.stats()


def ctx(on: State) -> None:
    """The window: how full its regions are, and what is in them."""
    context, state = on.session.context, on.session.state
    assert context is not None and state is not None
    window = context.window
    processor = state.processor(None)
    rows = {region.name: region for region in window.regions()}
    fixed = processor.codec.overhead(acts.said(), processor.convention)
    rows["protected"] = rows["protected"]._replace(tokens=fixed, capacity=fixed)
    rows["operands"] = rows["operands"]._replace(tokens=_said_tokens(on))
    table = [["region", "", "tokens", "of", "holds"]]
    parts = {"pinned": window.pinned, "working": window.working}
    names = {
        name: ", ".join(context.told.get(part.text, ("", "a note"))[1] for part in entries)
        for name, entries in parts.items()
    }
    names["protected"] = "rules and chat frame"
    names["operands"] = "the newest line"
    for name, region in rows.items():
        filled = min(_BAR, ceil(_BAR * region.tokens / max(1, region.capacity)))
        bar = "█" * filled + "░" * (_BAR - filled)
        table.append([name, bar, f"{region.tokens:,}", f"{region.capacity:,}", names[name]])
    _print(table, right=(2, 3))


def _said_tokens(on: State) -> int:
    """Tokens of the newest line and of the values it names."""
    node = next((e.node for e in reversed(on.session.entries) if e.line.verb == "say"), None)
    if node is None:
        return 0
    op = node.node_work.op
    texts = texts_of(node)
    count = node.issue_scope.run.processor(op.processor).count
    named = (
        text for place, text in zip(op.operands, texts, strict=True) if place.name != "context"
    )
    return int(count(line_of(op, texts)) + sum(map(count, named)))


def line_of(op: Op[Any], texts: Sequence[str]) -> str:
    """The line of a call of ``say``."""
    return op.text if op.chat < 0 else turns_in(texts[op.chat])[-1][1]


def cost(on: State) -> None:
    """The session's receipt."""
    receipt = on.run.receipt.model_copy(update={"forced": ()})  # the session waits for lines
    for line in receipt.table().splitlines():
        console().print(Text(safe(line)))


def runs(on: State) -> None:
    """All runs of the directory."""
    listing.list_runs(on.settings.run_dir)


def help(on: State, command: str = "") -> None:
    """The commands, or one of them."""
    if not command:
        console().print(Text(LANGUAGE))
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, (usage, does) in COMMANDS.items():
        if command in ("", name):
            table.add_row(Text(usage), Text(does))
    console().print(table)


def _print(rows: list[list[str]], right: Sequence[int]) -> None:
    for line in columns(rows, right=right, most=console().width):
        console().print(Text(line), soft_wrap=True)


LOOKS: dict[str, Callable[..., None]] = {
    "ops": ops,
    "mem": mem,
    "ctx": ctx,
    "graph": graph,
    "cost": cost,
    "runs": runs,
    "inspect": inspect,
    "help": help,
}
