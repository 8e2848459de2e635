"""Lifted functions: plain Python on contents, outside of any program.

Rules
1. A function gets contents of its own; what it does to them is in no Value.
2. What it gives is noted by digest: a resumed run whose function gives something else is told so.
   What can be read only once would be empty then, for the digest reads it: it is refused. So is a
   record that reads back as another: what differs in it between lives would be in no digest.
3. Whatever it raises is its node's failure, SystemExit too.
"""

from __future__ import annotations

from typing import Any

from pydantic_core import PydanticSerializationError

from nlpu.errors import BadOperand, NlpuError, ProgramError, described
from nlpu.lifting import Lift, contains_value
from nlpu.printing import one_line
from nlpu.runtime.graph.label_gaps import check_given, given
from nlpu.runtime.graph.node import Node
from nlpu.runtime.journal.store import text_hash
from nlpu.runtime.ports import GraphPort
from nlpu.types.holding import held_records
from nlpu.types.json_text import canonical
from nlpu.types.result import adapter
from nlpu.value import CURRENT, Value, own, peek_content

_PREFIX = "Error serializing to JSON: "


def lift_issued(graph: GraphPort, node: Node) -> None:
    """It waits for its operands; what can be changed among them is noted."""
    taken = given(each for each in node.work_operands if not isinstance(each, list | dict | set))
    if taken is not None:
        node.issue_scope.run.given[node.issue_seq] = taken
    graph.wait_for(node, node.work_operands)


def lift_ready(graph: GraphPort, node: Node) -> None:
    """Call the function: here, or on a thread if it blocks."""
    work: Lift = node.node_work
    run = node.issue_scope.run
    check_given(node.work_name, run.given.pop(node.issue_seq, None), lowered=run.lowered)
    contents = [
        own(peek_content(value)) if isinstance(value, Value) else value
        for value in node.work_operands
    ]
    split = len(contents) - len(work.named)
    named = dict(zip(work.named, contents[split:], strict=True))
    if work.blocking:
        node.run_ports.outside.run_blocking(
            node, lambda: work.function(*contents[:split], **named), finish_lift
        )
        return
    token = CURRENT.set(None)  # it is outside the program: an op in it has nowhere to go
    try:
        content = work.function(*contents[:split], **named)
    except NlpuError:
        raise
    except BaseException as error:  # SystemExit too: it must not end the loop
        raise ProgramError(f"{work.name} raised {described(error)}") from error
    finally:
        CURRENT.reset(token)
    finish_lift(node, content)


def finish_lift(node: Node, content: Any) -> None:
    """Check a lifted function's result against the journal, note it, and settle the node."""
    run, name = node.issue_scope.run, node.node_work.name
    try:
        if isinstance(content, set | frozenset):
            raise ValueError("the order of a set differs from process to process")
        digest = text_hash(canonical(content).encode("utf-8", "surrogatepass")).hex()
        contains_value(content)
        held_records(f"what {name} gave", content, adapter)
    except (PydanticSerializationError, ValueError) as error:
        raise BadOperand(
            f"{name} gave {type(content).__name__}: a lifted function's result must be text, "
            "a number, a list (sorted, for a set), a dict or a pydantic model"
            f" ({one_line(str(error).removeprefix(_PREFIX), 120)})"
        ) from error
    past = run.replay.past.lifts.get(node.issue_position)
    if past is None:
        run.replay.check_kind("lifted function", node.issue_position, f"lifts {name}")
    if past is None or run.replay.lenient:
        run.history.lift(node.issue_position, name, digest)
    elif past != digest:
        run.replay.diverge(
            f"{node.issue_position} ({name})",
            f"the lifted function {name} gave another result before",
        )
    node.run_ports.graph.settle(node, content)
