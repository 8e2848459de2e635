"""What whole runs against a failing server share: ops and their right answers, servers, cases.

The server is real HTTP on loopback (``benchmarks.fake_vllm.server``) on a loop of its own, its
answers follow from the prompt, so a wrong result shows. Time is real: backoff and patience are
made small by ``Limits``. What needs no server is in ``test_faults``, on the fake clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from benchmarks.fake_vllm import answers as fault_answers
from benchmarks.fake_vllm.faults import Plan, Seen
from benchmarks.fake_vllm.server import FaultServer
from nlpu import Limits, nlop
from nlpu import errors as e
from nlpu.engines.http.engine import HttpEngine
from nlpu.runtime import Budget, Computer, Run

HANG_S = 60  # real seconds after which a run that should have ended is a failure
LIMITS = Limits(timeout_s=10.0, patience_s=5.0, backoff_s=0.005, max_in_flight=8)


# -- ops whose right answers are known -----------------------------------------------------------


class Record(BaseModel):
    name: str
    count: int


@nlop
def tell(n: str) -> str:
    """Tell something about the number."""


@nlop
def even(n: str) -> bool:
    """Is the number even?"""


@nlop
def same(n: str) -> int:
    """Which number is it?"""


@nlop
def record(n: str) -> Record:
    """Describe the number."""


OPS = (tell, even, same, record)
RIGHT: dict[Any, Callable[[int], Any]] = {
    tell: lambda n: f"The number {n} is a number like every other one.",
    even: lambda n: n % 2 == 0,
    same: lambda n: n,
    record: lambda n: Record(name=f"number {n}", count=n),
}
BY_KIND = {None: tell, "choice": even, "regex": same, "json": record, "grammar": record}


def prompt_text(body: dict[str, Any]) -> str:
    prompt = fault_answers.prompt_of(body)
    if prompt and isinstance(prompt[0], int):
        return "".join(map(chr, prompt))
    return "\n".join(message["content"] for message in prompt)


def operand(seen: Seen) -> str:
    return re.findall(r"^\w+: (.*)$", prompt_text(seen.body), re.MULTILINE)[-1]


def right(seen: Seen) -> str:
    """What a good server says."""
    n = int(operand(seen).split()[-1])
    kind, spec = fault_answers.constraint_of(seen.body) or (None, None)
    if kind == "json" and "answer" in spec.get("properties", {}):  # a choice, on a common server
        return json.dumps({"answer": "yes" if n % 2 == 0 else "no"})
    op = BY_KIND[kind]
    return str(op.result.render(RIGHT[op](n)))


# -- a server on a loop of its own ---------------------------------------------------------------


class Servers:
    """Runs fault servers on one thread of their own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def call(self, work: Awaitable[Any]) -> Any:
        async def bounded() -> Any:
            async with asyncio.timeout(HANG_S):
                return await work

        return asyncio.run_coroutine_threadsafe(bounded(), self.loop).result()

    @contextlib.contextmanager
    def serve(self, plan: Plan | None = None, **options: Any) -> Iterator[FaultServer]:
        server = FaultServer(plan=plan, **{"answer": right} | options)
        self.call(server.__aenter__())
        try:
            yield server
        finally:
            self.call(server.__aexit__())

    def idle(self, server: FaultServer) -> None:
        """Wait until the server has nothing in flight."""
        self.call(server.until(lambda s: s.in_flight == 0))

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    made = Servers()
    yield made
    made.close()


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tokenizer of ASCII characters: an id is a character."""
    from tokenizers import Tokenizer, models

    home = tmp_path_factory.mktemp("tokenizer")
    vocabulary = {chr(n): n for n in range(128)}
    Tokenizer(models.BPE(vocab=vocabulary, merges=[])).save(str(home / "tokenizer.json"))
    return str(home)


# -- runs ----------------------------------------------------------------------------------------


def settled(part: Any) -> Any:
    """The content of a Value, or why it has none."""
    try:
        return part.value
    except e.NlpuError as error:
        return error


def each(numbers: Any, ops: tuple[Any, ...] = OPS) -> dict[tuple[Any, str], Any]:
    """A program: every op on every number, all at once; what failed is its error."""
    texts = [str(n) for n in numbers]
    mapped = {op: op.map(texts) for op in ops}
    return {
        (op, text): settled(part)
        for op, whole in mapped.items()
        for text, part in zip(texts, whole.each(), strict=True)
    }


def execute(
    url: str,
    *args: Any,
    program: Any = each,
    limits: Limits = LIMITS,
    stream: bool = False,
    seconds: float | None = HANG_S / 2,
    seed: int = 0,
    run_dir: Path | None = None,
) -> Run:
    with Computer(HttpEngine(url), limits=limits, seed=seed, run_dir=run_dir) as computer:
        run = computer.start(program, *args, budget=Budget(seconds=seconds), stream=stream)
        return run.wait(HANG_S)


def wrong(outcomes: dict[tuple[Any, str], Any]) -> list[Any]:
    """The errors among the outcomes; a result that is not right fails here."""
    faults = []
    for (op, text), outcome in outcomes.items():
        if isinstance(outcome, e.NlpuError):
            faults.append(outcome)
        else:
            assert outcome == RIGHT[op](int(text.split()[-1])), (op.name, text, outcome)
    return faults


@dataclass(frozen=True)
class Case:
    """A fault of the server, and the errors that name it.

    final: it is the call's own and not tried again. dies: the server goes away with it.
    """

    spec: str
    errors: tuple[tuple[type[e.NlpuError], str], ...]
    final: bool = False
    dies: bool = False
    limits: Limits = LIMITS

    def names(self, error: e.NlpuError) -> bool:
        told = str(error)
        return any(type(error) is kind and re.search(words, told) for kind, words in self.errors)

    def __str__(self) -> str:
        return self.spec


IMPATIENT = Limits(timeout_s=0.3, attempts=3, patience_s=5.0, backoff_s=0.005, max_in_flight=32)
LOST = (e.ConnectionLost, "connection to .* broke before the whole answer had come")
TWICE = (e.Quarantined, "two deaths of the server")
GONE = (e.Unreachable, "Nothing accepts connections")
CASES = [
    Case("refused:0.03", (LOST, GONE, TWICE), dies=True),
    Case("restart:0.03", (LOST, GONE, TWICE), dies=True),
    Case("engine_dead:0.03", ((e.EngineDied, "The engine .* is dead"), TWICE), dies=True),
    Case("429:0.01", ((e.Overloaded, r"overloaded \(429\)"),)),
    Case("503", ((e.Overloaded, r"overloaded \(503\)"),)),
    Case("500", ((e.ServerFault, r"failed \(500\)"),)),
    Case("reset", (LOST,)),
    Case("no_answer", ((e.TimedOut, r"no answer within 0\.\d+ s"),), limits=IMPATIENT),
    Case("slow:0.02", (), final=True),
    Case("slow:30", ((e.TimedOut, r"no answer within 0\.\d+ s"),), limits=IMPATIENT),
    Case("cut", (LOST,)),
    Case("cut_politely", (LOST, (e.ConnectionLost, "stream .* ended before the answer did"))),
    Case("error_chunk", ((e.ServerFault, r"failed \(500\): Internal server error"),)),
    Case("broken_json", ((e.ServerFault, "something that is not a completion"),)),
    Case("null", ((e.ServerFault, "without text"), (e.EmptyReply, "no text"))),
    Case("empty", ((e.EmptyReply, "returned no text"),), final=True),
    Case("length", ((e.Truncated, "still writing at its limit"),), final=True),
    Case("repeat", ((e.Truncated, "still writing at its limit"),), final=True),
    Case("too_long", ((e.DoesNotFit, "maximum context length"),), final=True),
    Case(
        "schema",
        tuple((kind, "not supported by") for kind in (e.ConstraintRejected, e.RequestRefused)),
        final=True,
    ),
    Case("400", ((e.RequestRefused, r"refuses the request \(400\)"),), final=True),
    Case("401", ((e.Unauthorized, "refuses the API key"),), final=True),
    Case("html", ((e.NotAModelServer, "web page"),), final=True),
]


def asked(server: FaultServer) -> Counter[str]:
    """How often each prompt was sent."""
    return Counter(seen.prompt_hash for seen in server.seen)


def once(case: Case) -> Plan:
    """Every prompt meets the fault once; a death is met by the first of all."""
    met: set[str] = set()

    def plan(seen: Seen) -> str | None:
        new = not met if case.dies else seen.prompt_hash not in met
        met.add(seen.prompt_hash)
        return case.spec if new else None

    return plan
