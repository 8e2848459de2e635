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

TITLES = ("right", "of", "accuracy", "95 %", "failed", "calls", "nlops", "p50 s", "p95 s")
_MOST_ROWS = 20
_MOST_TEXT = 60


def drawn(report: Report) -> Group:
    """All of a report."""
    return Group(*_parts(report))


def _parts(report: Report) -> Iterator[RenderableType]:
    if report.stopped:
        told = f"{len(report.rows)} of {counted(report.cases, 'case')} are answered."
        yield Text(one_line(f"{report.stopped} {told}", 400))
    yield _figures(report)
    for difference in report.differences:
        yield Text("")
        yield Text(one_line(str(difference), 400))
        yield from _flips(report, difference)
    if report.wrong:
        yield Text("")
        yield _wrong(report)


def figures(report: Report) -> tuple[str, ...]:
    """Give what ``TITLES`` name."""
    low, high = report.interval
    return (
        str(report.right),
        str(len(report.rows)),
        f"{report.accuracy:.1%}",
        f"{low:.1%} - {high:.1%}",
        str(report.failed),
        str(report.calls),
        figure(report.nlops),
        *map(figure, report.latency_s),
    )


def _figures(report: Report) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for title in TITLES:
        table.add_column(title, justify="right", no_wrap=True)
    for each in (report, *report.others):
        table.add_row(Text(one_line(each.name, _MOST_TEXT)), *figures(each))
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
