"""Which options of ``nlpu run`` do not go together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nlpu.errors import Usage

_OF_A_BATCH = ("out", "at_once", "as_they_come", "retry", "workers", "ray", "changed")
_OF_ONE_RUN = {"origin": "--from", "dry": "--dry", "trace": "--trace"}


def check_together(asked: Mapping[str, Any]) -> None:
    """Raise Usage for the first that means nothing beside the others; ``asked``: all by name."""
    given = {name for name, content in asked.items() if content not in (None, False)}
    _check_each(asked, given)
    if asked["origin"] is None:
        _check_new(asked)
        return
    if any(asked[name] for name in ("program", "args", "inputs", "reliability")):
        raise Usage(
            "--from takes program, arguments and --reliability from the run; leave them out"
        )
    if asked["dry"]:
        raise Usage("--dry forecasts a program from its start; leave --from out")
    if asked["vouch"] and not asked["sets"]:
        raise Usage("--vouch is about --set: name what differs, with --from RUN --set WHAT=FILE")


def _check_each(asked: Mapping[str, Any], given: set[str]) -> None:
    many = [f"--{name.replace('_', '-')}" for name in _OF_A_BATCH if name in given]
    if asked["each"] is None and many:
        raise Usage(f"{many[0]} goes with --each INPUTS, which runs a program once for each")
    one = [option for name, option in _OF_ONE_RUN.items() if name in given]
    if asked["each"] is not None and one:
        raise Usage(f"{one[0]} is about one run; leave it out, or --each")
    if asked["retry"] not in (None, "failed"):
        raise Usage("--retry takes 'failed': the inputs whose run failed are run again")


def _check_new(asked: Mapping[str, Any]) -> None:
    """Raise Usage for what belongs to a run that there is, and where no program is named."""
    if asked["vouch"]:
        raise Usage("--vouch is about --set: name what differs, with --from RUN --set WHAT=FILE")
    if asked["program"] is None:
        from nlpu.runtime.loader import available

        raise Usage(
            f"name a PROGRAM to run: {', '.join(available())}, or one in a file: "
            "my_file.py:function (see: nlpu run --help); or --from RUN"
        )
    if asked["sets"]:
        raise Usage("--set changes a run: name it with --from RUN")
    if asked["file"] is not None:
        raise Usage("--file is about a run: name it with --from RUN")
    if asked["trust"]:
        raise Usage("--trust is about a journal: name its run with --from RUN")
