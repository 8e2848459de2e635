"""The programs of ``nlpu bench programs --peers`` as a user of this runtime writes them.

Run as a script, as the peers are: ``python -m benchmarks.peers.ours``. An agent is a
plain function and a fleet many starts; an uneven graph is ops on Values. Nothing is kept on disk,
as with the peers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from benchmarks.peers.harness import Work, main
from nlpu import Computer, Value, lift
from nlpu.engines.http.engine import HttpEngine
from nlpu.prompt.convention import FIRST
from nlpu.runtime.bench.programs_work import NOTE, TURN
from nlpu.wire import Engine, Reply, Request


class Whole:
    """An engine whose replies count as ended, so that forced texts are passed on uncut."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.capabilities = engine.capabilities
        self.cancel, self.close = engine.cancel, engine.close

    async def send(self, request: Request, on_text: Callable[[str], None] | None = None) -> Reply:
        return (await self._engine.send(request, on_text))._replace(finish="stop")


def agent(texts: list[str], tokens: list[int]) -> Value[str]:
    """Asks, appends the reply and the next text, asks again."""
    transcript: Any = texts[0]
    for turn, limit in enumerate(tokens):
        reply = TURN.using(max_tokens=limit)(transcript)
        transcript = lines(transcript, reply, *texts[turn + 1 : turn + 2])
    return reply


def uneven(nodes: list[dict[str, Any]]) -> list[Value[str]]:
    """A call for each node; it starts when what it reads is there."""
    made: list[Value[str]] = []
    for spec in nodes:
        parents = [made[parent] for parent in spec["parents"]]
        before: Any = lines(*parents) if parents else ""
        made.append(NOTE.using(max_tokens=spec["tokens"])(spec["text"], before))
    return made


@lift
def lines(*texts: str) -> str:
    """Texts below each other."""
    return "\n".join(texts)


async def do(work: Work) -> None:
    """Either program, on a computer of its own."""
    engine = Whole(HttpEngine(work["url"], work["model"], work["key"]))
    with Computer(engine, convention=FIRST) as computer:
        if "agents" in work:
            runs = [computer.start(agent, **each) for each in work["agents"]]
        else:
            runs = [computer.start(uneven, work["nodes"])]
        await asyncio.gather(*(run_ended(run) for run in runs))


async def run_ended(run: Any) -> None:
    """Wait; raise what went wrong."""
    await run
    if run.error is not None:
        raise run.error


if __name__ == "__main__":
    main(do)
