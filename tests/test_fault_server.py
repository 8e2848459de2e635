"""Whole runs against a server that fails in every way a server can: right or typed, and in time.

The server is real HTTP on loopback (``nlpu.engines.fault_server``) on a loop of its own, its
answers follow from the prompt, so a wrong result shows. Time is real: backoff and patience are
made small by ``Limits``. What needs no server is in ``test_faults``, on the fake clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any
from urllib.request import urlopen

import pytest
from pydantic import BaseModel

from nlpu import Limits, nlop
from nlpu import errors as e
from nlpu.engines import fault_answers
from nlpu.engines.fault_gpu import Gpu
from nlpu.engines.fault_plan import FAULTS, Fault, Plan, Seen, mix, script
from nlpu.engines.fault_server import FaultServer
from nlpu.engines.openai_http import HttpEngine
from runtime import Budget, Computer, Run
from runtime.faults import Health
from runtime.kernel import Kernel

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
BY_KIND = {None: tell, "choice": even, "regex": same, "json": record}


def prompt_text(body: dict[str, Any]) -> str:
    prompt = fault_answers.prompt_of(body)
    if prompt and isinstance(prompt[0], int):
        return "".join(map(chr, prompt))
    return "\n".join(message["content"] for message in prompt)


def operand(seen: Seen) -> str:
    return re.findall(r"```\n(.*?)\n```", prompt_text(seen.body), re.DOTALL)[-1]


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
    url: str, *args: Any, program: Any = each, limits: Limits = LIMITS, stream: bool = False,
    seconds: float | None = HANG_S / 2, seed: int = 0, run_dir: Path | None = None,
) -> Run:  # fmt: skip
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
    Case("schema", tuple((kind, "not supported by")
                         for kind in (e.ConstraintRejected, e.RequestRefused)), final=True),
    Case("400", ((e.RequestRefused, r"refuses the request \(400\)"),), final=True),
    Case("401", ((e.Unauthorized, "refuses the API key"),), final=True),
    Case("html", ((e.NotAModelServer, "web page"),), final=True),
]  # fmt: skip


def test_every_fault_is_a_case() -> None:
    assert {case.spec.split(":")[0] for case in CASES} == set(FAULTS)


def asked(server: FaultServer) -> Counter[str]:
    """How often each prompt was sent."""
    return Counter(seen.prompt_hash for seen in server.seen)


def check(case: Case, server: FaultServer, run: Run) -> list[e.NlpuError]:
    """All results are right or name the fault; the engine sent nothing by itself."""
    assert run.status == "done", run.error
    faults = wrong(run.result)
    unnamed = [repr(error) for error in faults if not case.names(error)]
    assert not unnamed, unnamed
    sent, attempts = len(server.seen), run.receipt.attempts
    assert sent <= attempts
    if not case.spec.startswith(("refused", "restart")) and case.limits.timeout_s > 1:
        assert sent == attempts  # where none was refused or out of time before it was seen
    if not case.dies and case.spec not in ("429:0.01", "503"):  # those wait for room
        assert max(asked(server).values()) <= case.limits.attempts
    return faults


# -- each fault ----------------------------------------------------------------------------------


def once(case: Case) -> Plan:
    """Every prompt meets the fault once; a death is met by the first of all."""
    met: set[str] = set()

    def plan(seen: Seen) -> str | None:
        new = not met if case.dies else seen.prompt_hash not in met
        met.add(seen.prompt_hash)
        return case.spec if new else None

    return plan


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_fault_that_every_call_meets_once(case: Case, servers: Servers, tokenizer: str) -> None:
    """It is overcome, or each call has an error with its name; streamed and whole."""
    for seed, stream in enumerate((False, True)):
        with servers.serve(once(case), tokenizer=tokenizer) as server:
            run = execute(server.url, [7], limits=case.limits, stream=stream, seed=seed)
            faults = check(case, server, run)
            if not case.final:
                assert faults == []
                assert run.receipt.attempts > 4 or (stream and case.spec == "null")
            elif case.errors and case.spec != "length":  # half a text may be a whole answer
                assert len(faults) == 4


@pytest.mark.parametrize("case", [case for case in CASES if case.errors], ids=str)
def test_a_fault_that_stays(case: Case, servers: Servers) -> None:
    """Every call ends, with its name, after so many attempts and no more; and so does the run."""
    limits = replace(case.limits, attempts=3, patience_s=0.5)
    with servers.serve(lambda _: case.spec) as server:
        run = execute(server.url, [4, 7], limits=limits)
        faults = check(replace(case, limits=limits), server, run)
        assert len(faults) == 8 or case.spec == "length"
        assert run.receipt.seconds < 10


def sweep(case: Case, seeds: Iterable[int], servers: Servers, tokenizer: str) -> None:
    """Runs of all shapes, a third of whose requests meet the fault."""
    for seed in seeds:
        random = Random(seed)
        served = random.choice([{"tokenizer": tokenizer}, {}, {"vllm": False}])
        ops = tuple(op for op in OPS if op is not same or "vllm" not in served)
        limits = replace(case.limits, max_in_flight=random.choice([1, 3, 8, 32]))
        if case.limits is IMPATIENT:
            limits = replace(limits, timeout_s=0.12)
        with servers.serve(mix(seed, {case.spec: 0.35}), **served) as server:
            run = execute(server.url, range(random.choice([1, 5])), ops,
                          limits=limits, stream=random.random() < 0.5, seed=seed)  # fmt: skip
            check(replace(case, limits=limits), server, run)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_fault_now_and_then(case: Case, servers: Servers, tokenizer: str) -> None:
    sweep(case, [101], servers, tokenizer)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_fault_now_and_then_with_many_seeds(case: Case, servers: Servers, tokenizer: str) -> None:
    sweep(case, range(20), servers, tokenizer)


# -- what the model says -------------------------------------------------------------------------


def test_an_answer_that_does_not_keep_to_its_type(servers: Servers) -> None:
    """A server that takes a constraint and ignores it: broken JSON, a word for a number."""
    broken = {"json": '{"name":"number 7","cou', "regex": "about seven", "choice": "perhaps"}

    def answer(seen: Seen) -> str:
        kind, _ = fault_answers.constraint_of(seen.body) or ("", None)
        return broken.get(kind) or right(seen)

    for stream in (False, True):
        with servers.serve(answer=answer) as server:
            run = execute(server.url, [7], stream=stream)
        faults = wrong(run.result)
        assert [type(fault) for fault in faults] == [e.Malformed] * 3
        assert all(said in str(fault) for said, fault in
                   zip(["'perhaps'", "'about seven'", "cou'"], faults, strict=True))  # fmt: skip


def test_endless_repetition_can_be_accepted_cut(servers: Servers) -> None:
    brief = replace(tell, at_limit="trim", max_tokens=9)
    with servers.serve(lambda _: "repeat") as server:
        run = execute(server.url, program=lambda: brief("7"))
    assert run.result == " ".join(["again"] * 8)  # the last word may not have been whole
    assert run.receipt.trimmed == 1


# -- deadlines -----------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("kind", ["no_answer", "refused", "restart", "429:3600", "engine_dead"])
def test_a_run_ends_at_its_deadline(kind: str, stream: bool, servers: Servers) -> None:
    """Whatever it waits for: an answer, a server that is gone, a time it was told to wait."""
    with servers.serve(lambda _: kind) as server:
        limits = Limits(timeout_s=600, patience_s=600, max_in_flight=4)
        run = execute(server.url, range(3), seconds=0.4, limits=limits, stream=stream)
        assert isinstance(run.error, e.DeadlineExceeded)
        assert "0.4 seconds ran out; it can be resumed" in str(run.error)
        assert run.receipt.seconds < 3
        servers.idle(server)  # and nothing goes on at the server


def test_no_server_makes_us_wait_for_ever(servers: Servers) -> None:
    with servers.serve(lambda _: "429:3600") as server:
        limits = Limits(patience_s=0.1, attempts=3, backoff_s=0.01)
        run = execute(server.url, [7], limits=limits)
        assert len(wrong(run.result)) == 4
        assert run.receipt.seconds < 5
        assert len(server.seen) <= 4 * 3


def test_healthy_to_look_at_and_dead_inside(servers: Servers) -> None:
    """The front says that all is well; only a completion shows that the engine is dead."""
    with servers.serve() as server:
        server.dead = True
        run = execute(server.url, range(5), limits=replace(LIMITS, patience_s=0.3))
        with urlopen(server.url + "/health") as answer:
            assert answer.status == 200
        faults = wrong(run.result)
        assert len(faults) == 20
        assert {type(fault) for fault in faults} == {e.EngineDied}
        assert all("EngineDeadError" in str(fault) for fault in faults)
        assert run.receipt.seconds < 5
        assert len(server.seen) == run.receipt.attempts <= 8 + 15  # one at a time knocked


# -- a server that is killed and comes back ------------------------------------------------------


def restarts(servers: Servers, seed: int) -> None:
    """A server killed at a random moment, with many in flight; back a little later."""
    random = Random(seed)
    at, wide = random.randrange(80), random.choice([1, 8, 48])
    gone_s = random.choice([0.001, 0.02, 0.2])
    gpu = Gpu(slots=32, tokens_per_s=4000, prefill_per_s=1e7)
    plan = [None] * at + [f"restart:{gone_s}"]
    with servers.serve(script(plan), gpu=gpu) as server:
        run = execute(server.url, range(100), (tell,), stream=seed % 2 == 1, seed=seed,
                      limits=replace(LIMITS, max_in_flight=wide, backoff_s=0.02))  # fmt: skip
        assert run.status == "done", run.error
        assert wrong(run.result) == []
        assert max(asked(server).values()) <= 3
        assert run.receipt.attempts <= 100 + 2 * wide + 20


def test_a_server_killed_and_restarted_in_the_middle(servers: Servers) -> None:
    for seed in range(2):
        restarts(servers, seed)


@pytest.mark.slow
def test_a_server_killed_and_restarted_at_many_moments(servers: Servers) -> None:
    for seed in range(2, 26):
        restarts(servers, seed)


def poisoned(servers: Servers, seed: int, gone_s: float) -> tuple[e.NlpuError, int]:
    """One prompt kills the server whenever it arrives, and a supervisor starts it again.

    All other calls succeed. Gives the poison's error and the number of deaths.
    """
    random = Random(seed)
    items = [str(n) for n in range(40)]
    items.insert(random.randrange(40), "poison 77")

    def plan(seen: Seen) -> Fault | None:
        return Fault("restart", gone_s) if "poison" in operand(seen) else None

    gpu = Gpu(slots=16, tokens_per_s=1000, prefill_per_s=1e7)
    limits = replace(LIMITS, max_in_flight=random.choice([4, 16]))
    with servers.serve(plan, gpu=gpu) as server:
        run = execute(
            server.url, items, (tell,), seed=seed, stream=seed % 2 == 1, limits=limits
        )  # fmt: skip
        assert run.status == "done", run.error
        faults = wrong(run.result)
        assert faults == [run.result[tell, "poison 77"]]
        return faults[0], sum(seen.fault == "restart" for seen in server.seen)


def quarantined(servers: Servers, seed: int) -> None:
    error, deaths = poisoned(servers, seed, gone_s=Random(seed).choice([0.05, 0.3]))
    assert isinstance(error, e.Quarantined)
    assert "two deaths of the server" in str(error)
    assert 2 <= deaths <= 4  # more than two only where nobody saw that it was gone


def test_a_request_that_kills_the_server_is_quarantined(servers: Servers) -> None:
    for seed in range(2):
        quarantined(servers, seed)


@pytest.mark.slow
def test_a_request_that_kills_the_server_is_quarantined_wherever_it_is(servers: Servers) -> None:
    for seed in range(2, 26):
        quarantined(servers, seed)


@pytest.mark.parametrize("seed", [1, 2, pytest.param(3, marks=pytest.mark.slow)])
def test_a_server_back_before_anyone_sees_it_gone(seed: int, servers: Servers) -> None:
    """As one behind a balancer: its deaths look like cut connections, and take nobody along."""
    error, deaths = poisoned(servers, seed, gone_s=0.0001)
    assert isinstance(error, e.Quarantined | e.ConnectionLost)
    assert deaths <= LIMITS.attempts + 3  # knocks are free


def test_a_suspect_that_waits_for_the_others_costs_nothing(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is sent when they are back; until then the loop sleeps."""
    turns = Counter[str]()
    turn = Kernel.turn

    def counted(kernel: Kernel) -> None:
        turns["all"] += 1
        turn(kernel)

    def chains() -> list[Any]:
        return [tell(tell(str(n))) for n in range(100, 104)]

    monkeypatch.setattr(Kernel, "turn", counted)
    gpu = Gpu(slots=16, tokens_per_s=100, prefill_per_s=1e7)
    plan = script([None, None, None, "restart:0.1"])
    with servers.serve(plan, gpu=gpu, answer=lambda _: "word " * 30) as server:
        limits = replace(LIMITS, max_in_flight=6)
        with Computer(HttpEngine(server.url), limits=limits) as computer:
            suspects = computer.start(lambda: tell.map([str(n) for n in range(4)]))
            servers.call(server.until(lambda s: len(s.seen) == 4))
            others = computer.start(chains)  # on longer paths: sent before the suspects
            assert others.wait(HANG_S).status == suspects.wait(HANG_S).status == "done"
    assert turns["all"] < 300


LOSS, REFUSAL = e.ConnectionLost("lost"), e.Unreachable("refused")


def node(seq: int) -> Any:
    return SimpleNamespace(seq=seq)


def test_what_is_sent_to_a_dying_server_is_not_to_blame() -> None:
    """The next suspect goes out a moment after the last was lost, and is lost as well."""
    health = Health(Random(1), 60.0)
    for seq in (1, 2):
        health.fault(node(seq), LOSS, sent_s=0.0, now_s=1.0)
    health.fault(node(3), REFUSAL, sent_s=1.0, now_s=1.1)
    health.answer(sent_s=2.0)
    assert health.suspect(node(1)) and health.suspect(node(2)) and not health.suspect(node(3))
    health.fault(node(1), LOSS, sent_s=3.0, now_s=4.0)
    health.fault(node(2), LOSS, sent_s=4.001, now_s=4.002)
    health.fault(node(3), REFUSAL, sent_s=4.003, now_s=4.004)
    assert health.quarantined(node(1)) and not health.quarantined(node(2))


def test_a_reply_from_before_the_death_is_no_sign_of_life() -> None:
    health = Health(Random(1), 60.0)
    health.fault(node(1), e.EngineDied("dead"), sent_s=1.0, now_s=2.0)
    health.answer(sent_s=1.5)
    assert health.down
    health.answer(sent_s=2.5)
    assert not health.down
    health.fault(node(2), LOSS, sent_s=3.0, now_s=4.0)
    health.answer(sent_s=3.5)
    health.fault(node(3), e.TimedOut("nothing"), sent_s=3.5, now_s=4.5)
    health.fault(node(4), REFUSAL, sent_s=4.6, now_s=4.6)
    assert health.suspect(node(2))


def test_knocking_takes_no_attempts(servers: Servers) -> None:
    """However often it knocked, a call has all its attempts when the server is back."""
    with servers.serve() as server:
        limits = Limits(attempts=2, patience_s=20, backoff_s=0.002)
        with Computer(HttpEngine(server.url), limits=limits) as computer:
            assert computer.processors
            servers.call(server.kill())
            run = computer.start(each, [7], (tell,))
            while run.counts.attempts < 6:
                pass
            server.plan = once(Case("500", ()))
            servers.call(server.listen())
            assert wrong(run.wait(HANG_S).result) == []
            assert len(server.seen) == 2


# -- a server that is a process of its own, and really dies --------------------------------------


class Supervisor:
    """Starts a server whenever it has ended, always at the same port."""

    def __init__(self, last: int = -1) -> None:
        self.started = 0
        self.open = True
        self.url = self._start(0, last)
        self.thread = threading.Thread(target=self._supervise)
        self.thread.start()

    def _start(self, port: int, last: int = -1) -> str:
        script_file = Path(__file__).with_name("mortal_server.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script_file), str(port), str(last)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.started += 1
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def _supervise(self) -> None:
        while self.process.wait() != 0 and self.open:
            self._close_pipes()
            self._start(int(self.url.rsplit(":", 1)[1]))

    def _close_pipes(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *_: object) -> None:
        self.open = False
        if self.process.stdin is not None:
            self.process.stdin.close()  # the sign to end
        self.thread.join(HANG_S)
        self._close_pipes()


def told(url: str, items: list[str]) -> Run:
    limits = Limits(timeout_s=20, patience_s=30, backoff_s=0.1, max_in_flight=8)
    return execute(url, items, (tell,), limits=limits, seconds=HANG_S)


@pytest.mark.slow
def test_a_process_that_a_prompt_kills_twice(servers: Servers) -> None:
    items = [str(n) for n in range(30)]
    with servers.serve(answer=None) as server:
        expected = told(server.url, items).result
    with Supervisor() as supervisor:
        run = told(supervisor.url, [*items[:9], "poison", *items[9:]])
        assert isinstance(run.result.pop((tell, "poison")), e.Quarantined)
        assert run.result == expected
        assert supervisor.started == 3


@pytest.mark.slow
@pytest.mark.parametrize("last", [0, 20, 33])
def test_a_process_killed_in_the_middle(last: int, servers: Servers) -> None:
    items = [str(n) for n in range(40)]
    with servers.serve(answer=None) as server:
        expected = told(server.url, items).result
    with Supervisor(last) as supervisor:
        run = told(supervisor.url, items)
        assert run.result == expected
        assert supervisor.started == 2
        assert run.receipt.attempts <= 40 + 2 * 8 + 20


# -- one owner of retries ------------------------------------------------------------------------


@pytest.mark.parametrize("calls", [200, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["500", "reset"])
def test_a_server_that_always_fails_is_not_flooded(calls: int, kind: str, servers: Servers) -> None:
    """Not one call is answered: one attempt each, and the free ones."""
    (case,) = (case for case in CASES if case.spec == kind)
    with servers.serve(lambda _: kind) as server:
        run = execute(server.url, range(calls), (tell,), limits=replace(LIMITS, max_in_flight=16))
        faults = wrong(run.result)
        assert len(faults) == calls
        assert all(case.names(fault) for fault in faults)
        lost_together = 15 if kind == "reset" else 0
        assert len(server.seen) == run.receipt.attempts <= calls + 20 + lost_together


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_retries_have_a_budget_whatever_the_share_of_faults(share: float, servers: Servers) -> None:
    with servers.serve(mix(3, {"500": share / 2, "reset": share / 2})) as server:
        run = execute(server.url, range(150), (tell,), limits=replace(LIMITS, max_in_flight=16))
        faults = wrong(run.result)
        assert len(server.seen) == run.receipt.attempts <= 150 * 1.2 + 20 + 15
        assert {type(fault) for fault in faults} <= {e.ServerFault, e.ConnectionLost}


def test_waits_are_spread_evenly_over_all_of_their_range() -> None:
    """Full jitter: for every seed and attempt the wait is uniform, from nothing to its bound."""
    n = 1000
    for seed in range(20):
        for attempts in range(1, 9):
            health = Health(Random(seed), patience_s=60.0, backoff_s=0.25)
            bound = min(15.0, 0.25 * 2**attempts)
            waits = sorted(health.delay_s(attempts, e.ServerFault("")) / bound for _ in range(n))
            distance = max(abs(wait - k / n) for k, wait in enumerate(waits))
            assert distance < 2.2 / math.sqrt(n)  # Kolmogorov: one in 10,000 is above
            busy = e.Overloaded("", retry_after_s=5.0)
            waits = sorted(health.delay_s(attempts, busy) - 5 for _ in range(n))
            assert min(waits) >= 0 and max(waits) > 0.9 * bound


def test_a_crowd_that_is_told_to_wait_does_not_come_back_as_one(servers: Servers) -> None:
    plan: Plan = lambda seen: "429:0.2" if seen.occurrence == 0 else None  # noqa: E731
    with servers.serve(plan) as server:
        limits = replace(LIMITS, max_in_flight=32, backoff_s=0.2)
        run = execute(server.url, range(20), (tell,), limits=limits)
        assert wrong(run.result) == []
        first = {seen.prompt_hash: seen.at for seen in server.seen[:20]}
        waits = [seen.at - first[seen.prompt_hash] for seen in server.seen[20:]]
        assert min(waits) >= 0.19
        assert max(waits) - min(waits) > 0.15  # of 0.4


MIXED = {
    "429:0.05": 0.015, "503": 0.01, "500": 0.01, "reset": 0.01, "cut": 0.01, "cut_politely": 0.005,
    "error_chunk": 0.005, "broken_json": 0.005, "null": 0.005, "no_answer": 0.004,
    "slow:0.05": 0.005, "empty": 0.003, "length": 0.003, "repeat": 0.003, "too_long": 0.003,
    "schema": 0.003, "restart:0.05": 0.0006, "engine_dead:0.05": 0.0004,
}  # fmt: skip


def mixed(servers: Servers, calls: int, tokenizer: str, run_dir: Path) -> None:
    limits = Limits(timeout_s=1.0, patience_s=20.0, backoff_s=0.02, max_in_flight=32)
    with servers.serve(mix(11, MIXED), tokenizer=tokenizer) as server:
        run = execute(server.url, range(calls // 4), limits=limits, run_dir=run_dir,
                      seconds=150.0)  # fmt: skip
        assert run.status == "done", run.error
        faults = wrong(run.result)
        named = {pair for case in CASES for pair in case.errors}
        any_case = Case("", (*named, (e.TimedOut, "no answer within 1 s")))
        assert [repr(fault) for fault in faults if not any_case.names(fault)] == []
        assert len(faults) <= 0.04 * calls
        met = sum(seen.fault != "" for seen in server.seen)
        assert 0.08 * calls < met
        assert run.receipt.calls == calls
        assert len(server.seen) <= run.receipt.attempts <= 1.3 * calls


def test_a_mixed_run(servers: Servers, tokenizer: str, tmp_path: Path) -> None:
    mixed(servers, 240, tokenizer, tmp_path)


@pytest.mark.slow
def test_a_mixed_run_of_five_thousand_calls(
    servers: Servers, tokenizer: str, tmp_path: Path
) -> None:
    mixed(servers, 5000, tokenizer, tmp_path)
