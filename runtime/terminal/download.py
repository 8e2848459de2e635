"""A model that is not here yet is fetched in sight of the person, before the run begins."""

from __future__ import annotations

from typing import Any

from nlpu.engines.models import Progress, fetch_model, installed_model
from nlpu.errors import NlpuError
from nlpu.runtime.terminal.output import console, say

_ENGINES = ("local", "transformers")


def have_model(engine: Any, model: str | None) -> None:
    """Download what ``engine`` runs unless it is here, with a bar on stderr; Ctrl-C ends it.

    Raises what ``fetch_model`` raises.
    """
    if engine not in _ENGINES or model is None:
        return
    from nlpu.engines.hub_engine import check_kind  # here: few commands fetch

    try:
        installed_model(model)
    except NlpuError:
        check_kind(engine, model)
        with _Bar() as tell:
            fetch_model(model, tell)


class _Bar:
    """A progress bar in a terminal; in a pipe a line for each thing that is fetched."""

    def __enter__(self) -> _Bar:
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
        from rich.progress import TimeRemainingColumn as Left

        to = console(to_stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), Left())
        self._shown = Progress(*columns, console=to, transient=True, disable=not to.is_terminal)
        self._shown.start()
        self._tasks: dict[str, Any] = {}
        return self

    def __call__(self, now: Progress) -> None:

        if now.what not in self._tasks:
            if self._shown.disable:
                say(f"{now.what}: {now.total_bytes / 1e6:,.0f} MB ...")
            self._tasks[now.what] = self._shown.add_task(now.what)
        self._shown.update(
            self._tasks[now.what], completed=now.done_bytes, total=now.total_bytes or None
        )

    def __exit__(self, *_: object) -> None:
        self._shown.stop()
