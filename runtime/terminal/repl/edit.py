"""``edit``: what a person wants to be different, as edits of the session's run."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from nlpu.errors import Malformed, Usage
from nlpu.runtime.graph.node import Node
from nlpu.runtime.journal.edits import Edits
from nlpu.runtime.terminal.inputs import read_file
from nlpu.runtime.terminal.repl.inspecting import node_of, ops_of, text_of
from nlpu.runtime.terminal.repl.state import State
from nlpu.value import peek_error


def edits_of(on: State, what: str, text: str | None) -> Edits:
    """Another result for a value or position, or another text for an op. Raises Usage."""
    node, is_value = node_of(on, what), what in on.session.names
    if node is not None and node.call_cost is not None:
        return Edits(results={node.issue_position: _result(on, node, text)})
    if not is_value and what in ops_of(on) and what != "say":  # each line is its own text
        return Edits(ops={what: _edited(on, ops_of(on)[what].text, text)})
    if node is None:
        raise Usage(f"{what} is a text: bind it anew, and say again what read it")
    raise Usage(
        f"{what} is not the result of one call: edit one of its calls by its position "
        f"(see: graph {what})"
    )


def _result(on: State, node: Node, text: str | None) -> str:
    """Another result of that call, of the type of its op. Raises Usage."""
    old = text_of(node) if node.ready and peek_error(node) is None else ""
    new = _edited(on, old, text)
    try:
        node.node_work.op.result.parse(new)
    except Malformed as error:
        raise Usage(f"not edited: {error}".replace("the reply", "the text")) from None
    return new


def _edited(on: State, old: str, text: str | None) -> str:
    """The text given, else what a person makes of the old one in their editor."""
    if text is not None:
        return text
    if not on.settings.is_terminal:
        raise Usage("no terminal for an editor: give the new text after the name")
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "value.txt"
        path.write_text(old, encoding="utf-8")
        try:
            ended = subprocess.run([*shlex.split(editor), str(path)], check=False)
        except (OSError, ValueError) as error:
            raise Usage(
                f"the editor {editor!r} cannot be started ({error}): set EDITOR, or give the new "
                "text after the name"
            ) from None
        new = read_file(path, may_be_empty=True).rstrip("\n")
    if ended.returncode or new == old:
        raise Usage("nothing was changed")
    return new
