"""Options that several commands have, and the checks that belong to them."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from nlpu.processor import Price
    from runtime.budget import Budget

DEFAULT_RUN_DIR = Path(".nlpu") / "runs"
DEFAULT_SERVER = "http://127.0.0.1:8000"
KEY_VARIABLE = "NLPU_API_KEY"

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
RunDir = Annotated[
    Path | None,
    typer.Option(
        "--run-dir",
        metavar="DIR",
        help="Where runs are journaled. Default: $NLPU_RUN_DIR, else .nlpu/runs.",
    ),
]
Engine = Annotated[
    str | None,
    typer.Option("--engine", metavar="local|scripted|URL", help="What runs the model."),
]
Model = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME", help="Which of a server's models, or a directory."),
]
Nlops = Annotated[
    float | None,
    typer.Option("--nlops", metavar="N", help="Most generated tokens, in hundreds."),
]
Calls = Annotated[int | None, typer.Option("--calls", metavar="N", help="Most calls.")]
Seconds = Annotated[
    float | None, typer.Option("--seconds", metavar="S", help="Stop, resumable, after this time.")
]
Prices = Annotated[
    str | None,
    typer.Option(
        "--price",
        metavar="IN,OUT",
        help="Money for a million prompt and generated tokens; IN,CACHED,OUT prices cached apart.",
    ),
]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="A run, or the start of its name.")]


def run_dir_of(given: Path | None) -> Path:
    """The run directory: the option, else the environment, else the default."""
    return given or Path(os.environ.get("NLPU_RUN_DIR") or DEFAULT_RUN_DIR)


def api_key() -> str | None:
    """The key for a server. From the environment alone, so that it is in no process list."""
    return os.environ.get(KEY_VARIABLE) or None


def limits_of(nlops: float | None, calls: int | None, seconds: float | None) -> dict[str, Any]:
    """The limits that were given, checked. Raises Usage."""
    from nlpu.errors import Usage

    given = {"nlops": nlops, "calls": calls, "seconds": seconds}
    for name, most in given.items():
        if most is not None and not (most > 0 and math.isfinite(most)):
            raise Usage(f"--{name} must be more than 0, not {most:g}; leave it out for no limit")
    return {name: most for name, most in given.items() if most is not None}


def budget_of(limits: dict[str, Any], before: dict[str, Any] | None = None) -> Budget:
    """A budget of the limits given now, over those of an earlier start."""
    from runtime.budget import Budget

    return Budget(**{**(before or {}), **limits})


def price_of(given: str | None) -> Price | None:
    """The price table of one processor. Raises Usage."""
    from nlpu.errors import Usage
    from nlpu.processor import Price

    if given is None:
        return None
    try:
        prices = [float(part) for part in given.split(",")]
    except ValueError:
        prices = []
    if len(prices) not in (2, 3) or not all(0 <= price < math.inf for price in prices):
        raise Usage(f"--price takes IN,OUT or IN,CACHED,OUT, such as 0.15,0.60; not {given!r}")
    return Price(prompt=prices[0], cached=prices[-2], completion=prices[-1])


def engine_of(name: str) -> str:
    """The engine's name, if it can be one. Raises Usage."""
    from nlpu.errors import Usage

    if name in ("local", "scripted"):
        return name
    if not name.startswith(("http://", "https://")):
        raise Usage(f"unknown engine {name!r}; use local, scripted, or a server's URL: http://...")
    if "@" in name.partition("://")[2].partition("/")[0]:
        raise Usage(f"a URL with a password would be written down; put the key in {KEY_VARIABLE}")
    return name
