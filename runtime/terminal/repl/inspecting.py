"""Looking at calls: which ops there are, what a value was made from, what was sent for it."""

from __future__ import annotations

from collections import Counter
from functools import cache
from textwrap import indent
from typing import Any

from rich.text import Text
from rich.tree import Tree

from nlpu.errors import NlpuError, Usage
from nlpu.ops.op import Op
from nlpu.printing import cut
from nlpu.runtime.graph.kinds import texts_of
from nlpu.runtime.graph.node import Node
from nlpu.runtime.loader import load
from nlpu.runtime.terminal.output import as_text, console, one_line, write
from nlpu.runtime.terminal.repl import actions as acts
from nlpu.runtime.terminal.repl.entries import Entry, File
from nlpu.runtime.terminal.repl.state import State
from nlpu.runtime.terminal.show.calltree import in_order
from nlpu.runtime.terminal.show.edges import reader
from nlpu.value import peek_content, peek_error
from nlpu.wire import Message

_INDENT = 4  # of what is below a tree's root
_MOST_CALLS = 12  # of one program, shown in its tree


def ops_of(on: State) -> dict[str, Op[Any]]:
    """The ops that can be named: of lines, of the programs there are, and those called so far."""
    called = {
        node.work_name: node.node_work.op
        for node in nodes_of(on).values()
        if node.work_name != "say"
    }
    return {**_defined(on.programs), **called, "say": acts.said()}


@cache
def _defined(programs: tuple[str, ...]) -> dict[str, Op[Any]]:
    found: dict[str, Op[Any]] = {}
    for name in programs:
        try:
            space = load(name).function.__globals__
        except NlpuError:
            continue  # whoever runs it is told why
        found |= {item.name: item for item in space.values() if isinstance(item, Op)}
    return found


def nodes_of(on: State) -> dict[str, Node]:
    """The calls by position."""
    state = on.session.state
    nodes = state.root.subtree() if state is not None else ()
    return {node.issue_position: node for node in nodes if node.call_cost is not None}


def node_of(on: State, what: str) -> Node | None:
    """The call or program behind a value's name or a position."""
    entry = on.session.names.get(what)
    return entry.node if entry is not None else nodes_of(on).get(what)


def was_edited(node: Node) -> bool:
    """Whether its result is a person's, in this run or one that it comes from."""
    ancestor = node.issue_scope.run.replay.ancestor
    return ancestor is not None and ancestor.was_edited(node.issue_position)


def text_of(node: Node) -> str:
    """The text of a call's result. Raises Usage."""
    if not node.ready or peek_error(node) is not None:
        raise Usage(f"the call at {node.issue_position} has no result")
    rendered: str = node.node_work.op.result.render(peek_content(node))
    return rendered


def graph(on: State, name: str = "") -> None:
    """The values and what each was made from; with a name, that value's calls."""
    if name:
        console().print(_tree(on.session.found(name)))
        return
    tree = Tree(Text(f"session {on.run.name}"))
    for entry in on.session.entries:
        read = [
            f"@{source.path}" if isinstance(source, File) else name
            for name, source in entry.operands.items()
        ]
        made = [*read, *(["context"] if entry.parts else [])]
        calls = list(entry.calls())
        kinds = ", ".join(f"{op} x{n}" for op, n in Counter(c.work_name for c in calls).items())
        facts = [f"from {', '.join(made)}" if made else "", kinds, entry.error and "failed"]
        line = f"{entry.name}  {one_line(entry.line.typed, 40)}"
        tree.add(Text(cut("  ".join([line, *filter(None, facts)]), console().width - _INDENT)))
    console().print(tree)


def _tree(entry: Entry) -> Tree:
    tree = Tree(Text(f"{entry.name}  {one_line(entry.line.typed, 60)}"))
    calls = sorted(entry.calls(), key=lambda call: in_order(call.issue_position))
    for call in calls[:_MOST_CALLS]:
        state = "failed" if peek_error(call) is not None else one_line(str(peek_content(call)), 34)
        line = f"{call.issue_position}  {one_line(call.work_name)}  {state}"
        tree.add(Text(cut(line, console().width - _INDENT), no_wrap=True))
    if len(calls) > _MOST_CALLS:
        tree.add(f"and {len(calls) - _MOST_CALLS} more (nlpu show)")
    return tree


def inspect(on: State, what: str) -> None:
    """A value's content, label and source, and the prompt exactly as it was sent."""
    entry, node = on.session.names.get(what), node_of(on, what)
    if entry is not None:
        label = entry.value.label if entry.value is not None else ""
        _fact("line", entry.line.typed)
        _fact("label", str(label))
        _fact("content", as_text(entry.content))
    elif node is not None and node.ready:
        _fact("label", str(node.label))
        _fact("content", str(peek_error(node) or text_of(node)))
    if node is None:
        _fact("source", "a file or text; no call made it")
    elif node.call_cost is None:
        _fact("source", f"the program at {node.issue_position} (its calls: graph {what})")
    else:
        cost = node.call_cost
        how = "edited" if was_edited(node) else cost.how
        _fact("source", f"{node.work_name} at {node.issue_position}: {how}")
        cached = f" ({cost.cached_tokens} cached)" if cost.cached_tokens else ""
        tokens = f"{cost.prompt_tokens} in{cached}, {cost.completion_tokens} out"
        times = cost.again - cost.unsent
        again = f", asked again {times} times" if times else ""
        _fact("cost", f"{tokens}, {cost.service_s:.1f} s, attempts {cost.attempts}{again}")
        _fact("prompt, as first asked" if cost.again else "prompt", prompt_of(node))


def _fact(name: str, text: str) -> None:
    console().print(Text(name, "bold"))
    write(indent(text, "  ") + "\n")


def prompt_of(node: Node) -> str:
    """What was sent for a call, special tokens included."""
    op, processor = node.node_work.op, node.issue_scope.run.processor(node.node_work.op.processor)
    texts = texts_of(node)
    if not processor.capabilities.token_prompts:
        turns = processor.wire_prompt(op, texts, ())
        return "\n\n".join(
            f"{turn.role}: {turn.content}" for turn in turns if isinstance(turn, Message)
        )
    return reader(processor.capabilities.tokenizer)(processor.prompt(op, texts))
