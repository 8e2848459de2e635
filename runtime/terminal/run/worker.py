"""``nlpu worker``: lend a batch in a database a hand, from this machine."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from nlpu.runtime.terminal import options as o


def worker(
    batch: Annotated[str, typer.Argument(metavar="BATCH", help="A batch's name: see nlpu runs.")],
    run_dir: o.RunDir = None,
    trust: o.Trust = False,
) -> int:
    """Work at a batch that `nlpu run --each --workers` began, until nothing of it is left.

    Its program must be here, too, at the same place. The key for its server is this machine's.
    """
    from nlpu.errors import Usage
    from nlpu.printing import counted
    from nlpu.runtime.journal.where import Database
    from nlpu.runtime.terminal.output import say
    from nlpu.runtime.terminal.stdout import lead_prints_to_stderr

    lead_prints_to_stderr()
    place = o.run_dir_of(run_dir)
    if not isinstance(place, Database):
        raise Usage("a worker's batch is in a database: --store postgresql://USER@HOST/NAME")
    from nlpu.runtime.fleet.workers.worker import work
    from nlpu.runtime.journal.postgres.database import reach

    reach(place)  # nothing is begun: it is not waited for
    name = f"{os.uname().nodename}-{os.getpid()}"
    told = work(place, batch, name, seal="" if trust else "own")
    say(f"batch {batch}: {counted(told, 'outcome')} told by this worker")
    return 0
