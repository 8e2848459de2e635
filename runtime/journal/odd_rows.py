"""What rows must look like before anything is made of them: a journal may come from anybody.

Theory of operation
-------------------
Checksums that hold say that a journal is as it was written, not that a run wrote it. Who reads the
rows of a run (``archive``, ``resume``) gets them through here: each is of a form that ``writer``
writes (``row_checks``), and each text that a row names is there. What only several rows together
can tell (a result without a call) shows when they are folded.

Rules
1. Whatever is odd is JournalDamaged, and names the row.
2. Kinds that are not known here are not looked at: a later version may write them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nlpu.errors import JournalDamaged
from nlpu.runtime.journal.file import damaged
from nlpu.runtime.journal.records import OddRow, Past, fold, past_of
from nlpu.runtime.journal.row_checks import FORMS, Texts
from nlpu.runtime.journal.store import Row, RunLog
from nlpu.runtime.journal.where import Where


def checked(log: RunLog, after: int = 0) -> list[Row]:
    """Give the rows of a run after one, which have been looked at. Raises JournalDamaged."""
    for at, row in enumerate(log.rows[after:], after + 1):
        check(log.path, at, row, log.texts, log.run, first=at == 1)
    return log.rows[after:]


def check(path: Where | None, at: int, row: Any, texts: Texts, run: int, *, first: bool) -> None:
    """Hold a row of a run against its form: the first is its header. Raises JournalDamaged."""
    whole = isinstance(row, list) and len(row) > 1 and isinstance(row[0], str)
    if not whole or type(row[1]) is not int or row[1] != run or (row[0] == "run") != first:
        raise odd(path, at, row)
    form = FORMS.get(row[0], ())
    if len(row) - 2 < len(form):
        raise odd(path, at, row)
    for test, content in zip(form, row[2:], strict=False):
        if not test(content, texts):
            raise odd(path, at, row)
    if first and row[2].get("from", {"number": 0})["number"] >= run:  # that is no older run
        raise odd(path, at, row)


def past_in(log: RunLog, *, keep_host_failures: bool = False) -> Past:
    """Fold the rows of a run as ``past_of`` does. Raises JournalDamaged."""
    try:
        return past_of(log.rows, keep_host_failures=keep_host_failures)
    except OddRow as error:
        raise _odd_in(log, error) from error


def fold_in(log: RunLog, past: Past, rows: Iterable[Row]) -> None:
    """Extend a past as ``fold`` does. Raises JournalDamaged."""
    try:
        fold(past, rows)
    except OddRow as error:
        raise _odd_in(log, error) from error


def _odd_in(log: RunLog, error: OddRow) -> JournalDamaged:
    at = next((at for at, row in enumerate(log.rows, 1) if row is error.row), 0)
    return odd(log.path, at, error.row)


def odd(path: Where | None, at: int, row: Any) -> JournalDamaged:
    """Make the error that names a row."""
    kind = row[0] if isinstance(row, list) and row else row
    what = f" ({kind!r:.20})" if isinstance(kind, str) else ""
    return damaged(path or Path(), f"row {at}{what} is none that a run writes")
