"""An evaluation's report as one HTML file: no script, nothing loaded, wrong answers first.

Whatever models and cases hold is escaped text. The page's policy allows its one style by hash and
nothing else, so even markup that slipped through could do nothing.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from hashlib import sha256
from html import escape

from nlpu.eval.score_table import TITLES, figures
from nlpu.eval.scores import Difference, Report, Row
from nlpu.printing import safe

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 1.5rem auto;
  padding: 0 1rem; }
header { position: sticky; top: 0; background: Canvas; padding: .5rem 0; }
section { scroll-margin-top: 4.5rem; }
h1 { font-size: 1.25rem; margin: 0; } h2 { font-size: 1rem; margin: 1.6rem 0 .4rem; }
p { margin: .3rem 0; }
table { border-collapse: collapse; }
th, td { text-align: left; padding: .2rem .9rem .2rem 0; vertical-align: top; }
th { font-weight: 400; opacity: .7; }
td.number, th.number { text-align: right; white-space: nowrap; }
details { border-top: 1px solid color-mix(in srgb, currentColor 20%, transparent);
  padding: .4rem 0; }
summary { cursor: pointer; overflow-wrap: anywhere; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font: .85rem/1.45 ui-monospace, monospace;
  margin: .1rem 0 .6rem; max-height: 22rem; overflow: auto; }
.name { opacity: .7; margin-top: .4rem; }
.bad { color: #c0392b; }
section:focus { outline: none; }
"""


def page_of(report: Report, run: str) -> str:
    """The whole file."""
    digest = base64.b64encode(sha256(_STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return "\n".join(
        (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{_text(report.name)}: {report.accuracy:.1%}</title>",
            f"<style>{_STYLE}</style>\n</head>\n<body>",
            f"<header><h1>{_text(report.name)}</h1>{_summary(report)}</header>",
            *_body(report, run),
            "</body>\n</html>\n",
        )
    )


def _summary(report: Report) -> str:
    """What stays in sight, wherever the page is."""
    low, high = report.interval
    share = f"{report.accuracy:.1%} ({low:.1%} - {high:.1%})"
    return f"<p>{report.right} of {len(report.rows)} right, {share}</p>"


def _body(report: Report, run: str) -> Iterator[str]:
    yield f"<p>run {_text(run)}, {len(report.rows)} of {report.cases} cases answered"
    yield f"{' - ' + _text(report.stopped) if report.stopped else ''}</p>"
    yield from _figures(report)
    for difference, other in zip(report.differences, report.others, strict=True):
        yield from _flips(report, other, difference)
    yield f'<section id="wrong" tabindex="-1" autofocus><h2>Wrong: {len(report.wrong)}</h2>'
    yield from _rows(report.wrong, opened=True)
    yield "</section>"
    right = [row for row in report.rows if row.right]
    yield f'<section id="right"><h2>Right: {len(right)}</h2>'
    yield from _rows(right, opened=False)
    yield "</section>"


def _figures(report: Report) -> Iterator[str]:
    heads = "".join(f'<th class="number">{title}</th>' for title in TITLES)
    yield f"<table><tr><th></th>{heads}</tr>"
    for each in (report, *report.others):
        numbers = "".join(f'<td class="number">{cell}</td>' for cell in figures(each))
        yield f"<tr><td>{_text(each.name)} <small>{_text(each.model)}</small></td>{numbers}</tr>"
    yield "</table>"


def _flips(report: Report, other: Report, difference: Difference) -> Iterator[str]:
    """What differs, and the cases that flipped with both answers."""
    yield f"<p>{_text(str(difference))}</p>"
    mine, its = ({row.id: row for row in each.rows} for each in (report, other))
    flipped = [*difference.lost, *difference.gained]
    if flipped:
        yield f"<h2>Flipped: {len(flipped)}</h2>"
    for name in flipped:
        better = difference.first if name in difference.gained else difference.second
        how = "better with" if difference.graded else "only"
        yield f"<details><summary>{_text(name)}: {how} {_text(better)}</summary>"
        for title, row in ((difference.first, mine[name]), (difference.second, its[name])):
            yield _block(title, row.error or row.answer)
        yield f"{_block('expected', mine[name].expected)}</details>"


def _rows(rows: Iterable[Row], opened: bool) -> Iterator[str]:
    for row in rows:
        said = f'<span class="bad">failed: {_text(row.error)}</span>' if row.error else ""
        yield f"<details{' open' * opened}><summary><b>{_text(row.id)}</b> {said}</summary>"
        if not row.error:
            yield _block("answer", row.answer)
        yield _block(f"expected ({row.metric})", row.expected)
        for name, operand in row.asked.items():
            yield _block(name, operand)
        tags = ", ".join(f"{name}: {value}" for name, value in row.tags.items())
        took = f"score {row.score:g}, {row.seconds:g} s, {row.tokens_out} tokens"
        yield f"<p>{took}. {_text(tags)}</p>"
        yield "</details>"


def _block(name: str, text: str) -> str:
    return f'<div class="name">{_text(name)}</div><pre>{_text(text)}</pre>'


def _text(text: str) -> str:
    """A text as text: no markup, and nothing that reorders what is around it."""
    return escape(safe(text), quote=True)
