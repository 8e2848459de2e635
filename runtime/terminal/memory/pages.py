"""Pages and levels as ``nlpu memory`` prints them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from nlpu.runtime.terminal.output import console, one_line, safe

if TYPE_CHECKING:
    from nlpu.memory.firmware import Found
    from nlpu.memory.store.page import Page

_SHOWN = 400  # characters of a page in a list


def facts(page: Page) -> dict[str, Any]:
    from nlpu.memory.store.levels import rough_tokens

    return {
        "address": page.address,
        "text": page.text,
        "source": page.source,
        "start": page.start,
        "stop": page.stop,
        "time": when(page).isoformat(timespec="seconds"),
        "label": str(page.label),
        "importance": page.importance,
        "credit": page.credit,
        "links": list(page.links),
        "tokens": rough_tokens(page.text),
    }


def when(page: Page) -> datetime:
    return datetime.fromtimestamp(page.time_s, UTC)


def heading(page: Page) -> str:

    place = f"{page.source}[{page.start}:{page.stop}]" if page.source else "no source"
    told = facts(page)
    return safe(
        f"{page.address}  {place}  {told['time'][:10]}  {told['tokens']} tokens  {page.label}"
    )


def print_found(found: list[Found]) -> None:

    out = console()
    for each in found:
        out.print(f"{each.score:6.2f}  {heading(each.page)}", soft_wrap=True)
        out.print("        " + one_line(each.page.text, _SHOWN), soft_wrap=True)


def print_stats(rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for place, title in enumerate(rows[0]):
        table.add_column(title.replace("_", " "), justify="right" if place else "left")
    for row in rows:
        table.add_row(*("-" if cell is None else f"{cell}" for cell in row.values()))
    console().print(table)
