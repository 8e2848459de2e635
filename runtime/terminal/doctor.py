"""``nlpu doctor``: what works now, what more can be had and how, and what is set."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nlpu.runtime.settings import NAMES, Settings
from nlpu.runtime.terminal import options as o
from nlpu.runtime.terminal.output import console, safe, write_json

if TYPE_CHECKING:
    from nlpu.runtime.terminal.doctor_checks import Check

_Offline = Annotated[bool, typer.Option("--offline", help="Ask no server.")]
Section = tuple[str, list[tuple[str, str]]]  # a title, and lines after their marks
_TRY = {  # by program; "" needs none
    "demo": "nlpu run demo",
    "ask": 'nlpu run ask "What is a loom?"',
    "summarize_book": "nlpu run summarize_book --input FILE",
    "": "nlpu repl",
}


def doctor(
    engine: o.Engine = None,
    model: o.Model = None,
    run_dir: o.RunDir = None,
    offline: _Offline = False,
    as_json: o.Json = False,
) -> int:
    """What works now, what more can be had and how, and what is set by whom."""
    from nlpu.runtime.terminal.doctor_checks import check_all

    now = o.settings(engine=engine, model=model, run_dir=run_dir)
    checks = check_all(now, offline)
    if as_json:
        write_json(_object(checks, now))
    else:
        _print(report(checks, now))
    return 0 if _ready(checks) else 1


def _ready(checks: list[Check]) -> bool:
    """Whether a run can be made: all else is more than that."""
    return all(check.ok for check in checks if check.group == "base")


def _object(checks: list[Check], now: Settings) -> dict[str, Any]:
    values = {name: getattr(now, name) for name in NAMES}
    settings = {
        name: {"value": str(value) if name in ("store", "run_dir") else value, "origin": origin}
        for name, value in values.items()
        for origin in [now.origin(name)]
    }
    told = [asdict(check) for check in checks]
    return {"ready": _ready(checks), "checks": told, "settings": settings}


def report(checks: list[Check], now: Settings) -> Iterator[Section]:
    """What is printed, by sections; those with nothing to tell are left out."""
    yield _first(checks, now)
    titles = {
        "models": "models that need no server (--model NAME)",
        "extras": "extras: each adds something, none is needed for what is above",
    }
    for group, title in titles.items():
        found = sorted((c for c in checks if c.group == group), key=lambda check: not check.ok)
        width = max((len(check.name) for check in found), default=0)
        yield title, [_offered(check, width) for check in found]
    servers = [check for check in checks if check.group == "servers" and check.ok]
    if servers:
        yield "servers (--engine URL)", [("here", f"{c.name}: {c.detail}") for c in servers]
    private = [check for check in checks if check.group == "private"]
    if private:
        told = [("to mend", _joined(c.name, c.detail, c.remedy)) for c in private]
        yield "what others can read", told
    yield "settings", list(_set(now))


def _first(checks: list[Check], now: Settings) -> Section:
    """What can be done now, or what stands in its way."""
    from nlpu.runtime.loader import available

    base = [check for check in checks if check.group == "base"]
    if _ready(checks):
        where = base[-1]  # the engine
        here = ("", *available())
        given = [
            f" --{name} {shlex.quote(str(getattr(now, name)))}"
            for name in ("engine", "model", "run_dir")
            if now.origin(name).startswith("command line")
        ]
        more = "".join(given).replace("run_dir", "run-dir")
        lines = [("", line + more) for program, line in _TRY.items() if program in here]
        return f"this works now, on {where.name} ({where.detail})", lines
    broken = [check for check in base if not check.ok]
    return "no run can be made yet", [
        ("missing", _joined(check.name, check.detail, check.remedy)) for check in broken
    ]


def _offered(check: Check, width: int) -> tuple[str, str]:
    line = f"{check.name:<{width}}  {check.adds}"
    return ("here", line) if check.ok else ("to have", _joined(line, check.remedy))


def _joined(*parts: str) -> str:
    """What is said of one thing as one line: behind a whole sentence begins another."""
    line = ""
    for part in filter(None, parts):
        ends = line.endswith((".", "?"))
        line += f" {part[0].upper()}{part[1:]}" if ends else f": {part}" if line else part
    return line


def _set(now: Settings) -> Iterator[tuple[str, str]]:
    """Engine and model, and what else is set."""
    for name in NAMES:
        value = getattr(now, name)
        if name in ("engine", "model", *now.origins):
            shown = ",".join(f"{part:g}" for part in value) if name == "price" else value
            called = "store (of memories)" if name == "store" else name  # not a run's --store
            yield "", f"{called}: {shown or 'the default of its engine'} ({now.origin(name)})"


def _print(sections: Iterator[Section]) -> None:
    from rich.text import Text

    out = console()
    colours = {"here": "green", "missing": "red", "to have": "yellow", "to mend": "yellow"}
    for title, lines in sections:
        out.print(Text(safe(title), style="bold"), soft_wrap=True)
        for mark, line in lines:
            shown = Text(f"  {mark:<9}" if mark else "  ", colours.get(mark, "default"))
            out.print(shown.append(safe(line), "default"), soft_wrap=True)
