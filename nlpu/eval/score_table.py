"""A report as rich draws it.

Theory of operation
-------------------
One line for what was asked and one for each of the others, with the same columns; below it what
differs and which cases flipped; last the wrong answers, with what was expected.

Rules
1. What models wrote is shown on one safe line, cut to its width, and never read as markup.
2. Long lists are cut, and say by how much; all of them are in the report's JSON.
"""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from nlpu.eval.scores import Difference, Report
from nlpu.printing import counted, figure, one_line

_MOST_ROWS = 20
_MOST_TEXT = 60


def drawn(report: Report) -> Group:
    """All of a report."""
    return Group(*_parts(report))


def _parts(report: Report) -> Iterator[RenderableType]:
    if report.stopped:
        yield Text(one_line(f"{report.stopped} {_left(report)}", 400))
    yield _figures(report)
    for difference in report.differences:
        yield Text("")
        yield Text(one_line(str(difference), 400))
        yield from _flips(report, difference)
    if report.wrong:
        yield Text("")
        yield _wrong(report)


def _left(report: Report) -> str:
    return f"{len(report.rows)} of {counted(report.cases, 'case')} are answered."


def _figures(report: Report) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for title in ("right", "of", "accuracy", "95 %", "failed", "calls", "nlops", "p50 s", "p95 s"):
        table.add_column(title, justify="right", no_wrap=True)
    for each in (report, *report.others):
        low, high = each.interval
        middle, late = each.latency_s
        table.add_row(
            Text(one_line(each.name, _MOST_TEXT)),
            str(each.right),
            str(len(each.rows)),
            f"{each.accuracy:.1%}",
            f"{low:.1%} - {high:.1%}",
            str(each.failed),
            str(each.calls),
            figure(each.nlops),
            figure(middle),
            figure(late),
        )
    return table


def _flips(report: Report, difference: Difference) -> Iterator[RenderableType]:
    """Which cases flipped, each way."""
    how = "" if difference.graded else "only "
    for name, ids in ((difference.first, difference.gained), (difference.second, difference.lost)):
        if ids:
            more = f" and {len(ids) - _MOST_ROWS} more" if len(ids) > _MOST_ROWS else ""
            yield Text("  " + one_line(f"{how}{name}: {', '.join(ids[:_MOST_ROWS])}{more}", 1000))


def _wrong(report: Report) -> Table:
    many = len(report.wrong)
    more = f", the first {_MOST_ROWS} of {many}" if many > _MOST_ROWS else ""
    table = Table(box=None, pad_edge=False)
    table.add_column(Text(f"wrong{more}"), no_wrap=True)
    table.add_column("answer", ratio=1, no_wrap=True)
    table.add_column("expected", ratio=1, no_wrap=True)
    for row in report.wrong[:_MOST_ROWS]:
        said = f"failed: {row.error}" if row.error else row.answer
        table.add_row(*(Text(one_line(each, _MOST_TEXT)) for each in (row.id, said, row.expected)))
    return table
