"""``nlpu doctor``: what is here, what is not, and what to do about it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from runtime.terminal import options as o

if TYPE_CHECKING:
    from runtime.terminal.checks import Check

_Offline = Annotated[bool, typer.Option("--offline", help="Ask no server.")]


def doctor(
    engine: o.Engine = None,
    run_dir: o.RunDir = None,
    offline: _Offline = False,
    as_json: o.Json = False,
) -> int:
    """What is installed and reachable, and what to do about what is not."""
    from runtime.terminal.checks import check_all
    from runtime.terminal.output import write_json

    url = o.engine_of(engine) if engine is not None else None
    checks = check_all(url, o.run_dir_of(run_dir), offline)
    ready = any(check.ok for check in checks if check.group == "processors")
    wanted = next((check for check in checks if check.name == url), None)
    if as_json:
        write_json({"ready": ready, "checks": [asdict(check) for check in checks]})
    else:
        _print(checks, ready)
    return 0 if ready and (wanted is None or wanted.ok) else 1


def _print(checks: list[Check], ready: bool) -> None:
    from rich.text import Text

    from runtime.terminal.output import console, safe

    out, group = console(), ""
    for check in checks:
        if check.group != group:
            group = check.group
            out.print(Text(group, style="bold"))
        mark = Text("  ok       " if check.ok else "  missing  ", "green" if check.ok else "yellow")
        out.print(mark.append(safe(f"{check.name}: {check.detail}"), "default"), soft_wrap=True)
        if check.remedy:
            out.print(Text(safe(f"           {check.remedy}")), soft_wrap=True)
    out.print(
        'ready: nlpu run ask "What is a loom?"' if ready else "no processor: see what is missing"
    )
