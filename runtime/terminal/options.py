"""Options that several commands have; what is not given is as it is set (``runtime.settings``)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nlpu.errors import BadOperand, Usage
from nlpu.runtime.settings import ENGINES, NAMES, Settings, read

if TYPE_CHECKING:
    from nlpu.processor import Price
    from nlpu.reliability import Reliability
    from nlpu.runtime.journal.where import Place
    from nlpu.runtime.scheduler.budget import Budget

DEFAULT_SERVER = "http://127.0.0.1:8000"


def _default(name: str, built_in: str) -> str:
    """Where an option's default comes from, for its help."""
    return f"Default: $NLPU_{name.upper()}, else nlpu.toml, else {built_in}."


Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
RunDir = Annotated[
    str | None,
    typer.Option(
        "--run-dir",
        "--store",
        metavar="DIR|URL",
        help=f"Where runs are journaled, or postgresql://. {_default('run_dir', '.nlpu/runs')}",
    ),
]
Engine = Annotated[
    str | None,
    typer.Option(
        "--engine",
        metavar="NAME|URL",
        help=f"{', '.join(ENGINES)}, or a server. {_default('engine', 'local')}",
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help=f"Which of the engine's models, or a directory. {_default('model', 'its own')}",
    ),
]
Nlops = Annotated[
    float | None,
    typer.Option("--nlops", metavar="N", help="Most generated tokens, in hundreds."),
]
Calls = Annotated[int | None, typer.Option("--calls", metavar="N", help="Most calls.")]
Tokens = Annotated[
    int | None, typer.Option("--tokens", metavar="N", help="Most tokens, read and written.")
]
Money = Annotated[
    float | None, typer.Option("--money", metavar="X", help="Most money, by --price.")
]
Seconds = Annotated[
    float | None, typer.Option("--seconds", metavar="S", help="Stop, resumable, after this time.")
]
AtOnce = Annotated[
    int | None,
    typer.Option(
        "--at-once",
        metavar="N",
        help="With --each: most runs at once. Default: what keeps it busy.",
    ),
]
Prices = Annotated[
    str | None,
    typer.Option(
        "--price",
        metavar="IN,OUT",
        help="Money for a million prompt and generated tokens; IN,CACHED,OUT prices cached apart.",
    ),
]
Share = Annotated[
    float | None,
    typer.Option("--reliability", metavar="T", help="How often all its calls must be right: 0.95."),
]
Steps = Annotated[
    int, typer.Option("--steps", metavar="N", help="With --reliability: of at most so many calls.")
]
Abstain = Annotated[
    float,
    typer.Option("--abstain", metavar="SHARE", help="With --reliability: left unanswered at most."),
]
Table = Annotated[
    bool,
    typer.Option("--table", help="With --reliability: the datasheets' cases are all there are."),
]
Sheets = Annotated[
    Path | None,
    typer.Option(
        "--sheets",
        metavar="PATH",
        help=f"A datasheet, or a folder of them. {_default('sheets', 'none')}",
    ),
]
System = Annotated[
    str | None,
    typer.Option("--system", metavar="TEXT", help="System text of each op that has none itself."),
]
Layout = Annotated[
    str,
    typer.Option(
        "--convention", metavar="1|2|3|4", help="How prompts are laid out: 1 is as at first."
    ),
]
Html = Annotated[
    Path | None,
    typer.Option("--html", metavar="FILE", help="Write a page that any browser opens."),
]
Trust = Annotated[
    bool,
    typer.Option("--trust", help="Run what a journal names though it is not yours or has changed."),
]
File = Annotated[
    str | None,
    typer.Option(
        "--file", metavar="FILE[:FUNCTION]", help="Where the run's program is now, if it was moved."
    ),
]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="A run, or the start of its name.")]


def settings(only: Collection[str] = NAMES, **given: Any) -> Settings:
    """What was given on the command line, over what is set. Raises Usage.

    only: the settings that apply to the command; an option of another has no default.
    """
    return read(only).over(given, lambda name: f"command line: --{name.replace('_', '-')}")


def settings_in(options: Mapping[str, Any], only: Collection[str] = NAMES) -> Settings:
    """What of a command's options are settings, over what is set. Raises Usage."""
    return settings(only, **{name: options[name] for name in NAMES if name in options})


def run_dir_of(given: str | Place | None) -> Place:
    """Where runs are journaled."""
    return settings(("run_dir",), run_dir=given).run_dir


def budget_of(now: Settings, before: dict[str, Any] | None = None) -> Budget:
    """A budget of the limits of now, over those of an earlier start."""
    from nlpu.runtime.scheduler import budget

    return budget.budget_of(now, before)


def reliability_of(
    share: float | None, steps: int, abstain: float, table: bool
) -> Reliability | None:
    """What a run is asked for. Raises Usage."""
    from nlpu.reliability import Reliability

    try:
        if share is not None:
            return Reliability(share, abstain, steps, table)
    except BadOperand as error:
        raise Usage(str(error)) from None
    if steps != 1 or abstain or table:
        raise Usage("--steps, --abstain and --table are of --reliability: give that, too")
    return None


def price_of(now: Settings) -> Price | None:
    """The price table of one processor."""
    from nlpu.processor import Price

    return None if now.price is None else Price(*now.price)
