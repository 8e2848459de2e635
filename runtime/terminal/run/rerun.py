"""``nlpu run --from RUN --set WHAT=FILE``: what was asked to differ, read and checked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nlpu.errors import Usage
from nlpu.runtime.journal.edits import Edits
from nlpu.runtime.terminal.inputs import Stdin, read_file
from nlpu.runtime.terminal.show.archive import Record


def edits_of(record: Record, sets: Sequence[str], *, vouched: bool = False) -> Edits:
    """The edits of ``WHAT=FILE`` words: WHAT is the position of a call or an op's name.

    A final line end is the editor's and no part of a result. Texts of files and of stdin are
    nobody's word, as those of ``--input``, unless they are ``vouched`` for. Raises Usage.
    """
    results: dict[str, str] = {}
    ops: dict[str, str] = {}
    stdin = Stdin()
    for word in sets:
        what, sign, file = word.partition("=")
        if not (what and sign and file):
            raise Usage(f"--set takes POSITION=FILE or OP=FILE, not {word!r}")
        if what in results or what in ops:
            raise Usage(f"--set {what} is given twice")
        is_result = what in record.past.calls
        text = stdin.text() if file == "-" else read_file(Path(file), may_be_empty=is_result)
        if is_result:
            results[what] = text.removesuffix("\n").removesuffix("\r")
        else:  # what fits neither is told by the computer, which knows both kinds
            (results if "/" in what else ops)[what] = text.strip()
    return Edits(results, ops, frozenset() if vouched else frozenset([*results, *ops]))
