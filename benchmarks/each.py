"""``benchmarks.each``: ten thousand short documents by ``nlpu run --each``, on a fake GPU server.

Theory of operation
-------------------
The server (``fake_vllm --gpu``) has slots that give tokens at a GPU's rate, so how many calls it
can answer a second is known: slots x tokens a second / tokens of an answer. The command runs as a
process of its own, twice over the same documents:

    undisturbed    its share of the server's rate, from the start of the process to its end, and
                   from the first result to the last; memory at the first result and at most
    killed         SIGKILL after a third and after two thirds, and started again; then its results
                   are held against those of the first, line by line, and what the server was sent
                   is counted

Rules
1. What was sent more than once must have been in flight at a kill: at most that many, each kill.
2. On a machine whose cores the server and others use too, a share is a lower bound.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.command import carry_out, printing
from benchmarks.gates import at_least, at_most
from benchmarks.overhead.requests import bodies_of
from benchmarks.saturation import bare
from benchmarks.servers import environment, scripted_server, tokenizer
from nlpu import Computer, nlop
from nlpu.engines.http.engine import HttpEngine
from nlpu.runtime.bench.report import circumstances
from nlpu.runtime.bench.servers import Served
from nlpu.wire import Request

SHARE, MEMORY_MB = 0.95, 200
SLOTS = 128
IN_FLIGHT = 256  # calls at most, on vLLM
_PROGRAM = '''
from nlpu import nlop

@nlop(max_tokens={tokens}, at_limit="trim")
def sort(note: str) -> str:
    """Say which office the note is for, and why."""

def office(note: str) -> str:
    return str(sort(note))
'''
_TEXT = (
    "The tenant of house {0} writes that the water came through the roof again on day {1}, that "
    "nobody had answered the letter of last month, and that the rent of {2} will be held back "
    "until somebody has looked at it. "
)


def measure(documents: int = 10_000, calls_per_s: int = 200, tokens: int = 32) -> dict[str, Any]:
    """The share of a server's rate that nlpu run --each reaches, its memory, and kills on the way.

    calls_per_s: what the server can answer. tokens: of an answer.
    """
    facts = circumstances()
    with tempfile.TemporaryDirectory() as made, tokenizer() as (directory, _):
        place = Path(made)
        place.joinpath("notes.py").write_text(_PROGRAM.format(tokens=tokens))
        lines = (json.dumps({"id": str(at), "note": _text(at)}) for at in range(documents))
        place.joinpath("notes.jsonl").write_text("\n".join(lines) + "\n")
        gpu = f"{SLOTS},{calls_per_s * tokens / SLOTS},1e9"
        options = ("--gpu", gpu, "--full", "--tokenizer", directory)
        log = str(place / "sent")
        with scripted_server(*options) as url:
            whole = _run(place, url, "whole")
            bare_share = documents / _bare_seconds(url, directory, tokens, documents) / calls_per_s
        with scripted_server(*options, "--log", log) as url:
            parts = [_run(place, url, "killed", documents * part // 3) for part in (1, 2, 0)]
        lost = sum(part["in_flight"] for part in parts[:2])
        sent = Counter(
            json.loads(line)["prompt_hash"] for line in Path(log).read_text().splitlines()
        )
        results = [place.joinpath(f"{name}.jsonl").read_text() for name in ("whole", "killed")]
        same = [[{**json.loads(line), "run": ""} for line in each.splitlines()] for each in results]
    share = documents / whole["seconds"] / calls_per_s
    steady = (documents - whole["first"]) / whole["steady_s"] / calls_per_s
    grown = max(part["most_mb"] for part in (whole, *parts)) - whole["start_mb"]
    return {
        "documents": documents,
        "server_calls_per_s": calls_per_s,
        "seconds": round(whole["seconds"], 1),
        "share": at_least(round(share, 3), SHARE),
        "bare_client_s_share": round(bare_share, 3),
        "share_from_first_to_last_result": at_least(round(steady, 3), SHARE),
        "memory_mb_at_first_result": round(whole["start_mb"], 1),
        "memory_mb_grown": at_most(round(grown, 1), MEMORY_MB),
        "killed_at": [part["lines"] for part in parts[:2]],
        "killed_results_are_the_same": same[0] == same[1] and len(same[0]) == documents,
        "sent_again": at_most(sum(sent.values()) - documents, lost),
        "never_sent": documents - len(sent),
        "memory_mb_most_of_the_lives": [round(part["most_mb"], 1) for part in (whole, *parts)],
        "seconds_of_the_lives": [round(part["seconds"], 1) for part in parts],
        **facts,
    }


def _bare_seconds(url: str, directory: str, tokens: int, documents: int) -> float:
    """What a bare client takes for as many calls, which does nothing else."""
    op = nlop(max_tokens=tokens, at_limit="trim")(sort)
    with Computer(HttpEngine(url, tokenizer=directory)) as computer:
        processor = computer.processors["main"]
    asked = (
        Request(str(at), processor.prompt(op, (_text(at),)), op.sampling) for at in range(documents)
    )
    seconds, _, _ = asyncio.run(bare(Served(url, None), bodies_of(list(asked)), IN_FLIGHT))
    return seconds


def sort(note: str) -> str:
    """Say which office the note is for, and why."""
    return note


def _text(number: int) -> str:
    return _TEXT.format(number, number % 31, 900 + number % 77)


def _run(place: Path, url: str, name: str, until: int = 0) -> dict[str, Any]:
    """Run the command, and kill it when it has given so many lines, unless it is at its end."""
    command = [
        sys.executable,
        "-m",
        "nlpu.runtime.terminal",
        "run",
        "notes.py:office",
        "--each",
        "notes.jsonl",
        "--out",
        f"{name}.jsonl",
        "--engine",
        url,
    ]
    part, begun = place / f"{name}.jsonl.part", time.perf_counter()
    figures: dict[str, Any] = {"start_mb": 0.0, "most_mb": 0.0, "lines": 0, "in_flight": IN_FLIGHT}
    with (
        (place / f"{name}.err").open("ab") as told,
        subprocess.Popen(command, cwd=place, stderr=told, env=environment()) as process,
    ):
        first_s = 0.0
        counted = _Lines(part)
        while process.poll() is None:
            time.sleep(0.02)
            figures["lines"] = counted.now()
            figures["most_mb"] = max(figures["most_mb"], _memory_mb(process.pid))
            if figures["lines"] and not first_s:
                first_s, figures["first"] = time.perf_counter(), figures["lines"]
                figures["start_mb"] = _memory_mb(process.pid)
            if until and counted.lines >= until and part.exists():
                os.kill(process.pid, signal.SIGKILL)
        if process.returncode not in (0, -signal.SIGKILL):
            raise RuntimeError((place / f"{name}.err").read_text()[-2000:])
    ended = time.perf_counter()
    return {**figures, "seconds": ended - begun, "steady_s": ended - first_s}


class _Lines:
    """How many lines a file has that grows."""

    def __init__(self, path: Path) -> None:
        self._path, self._at, self.lines = path, 0, 0

    def now(self) -> int:
        """Count those that came."""
        try:
            with self._path.open("rb") as file:
                if os.fstat(file.fileno()).st_size < self._at:  # it is written anew
                    self._at = self.lines = 0
                file.seek(self._at)
                came = file.read()
        except FileNotFoundError:
            return self.lines
        self._at += len(came)
        self.lines += came.count(b"\n")
        return self.lines


def _memory_mb(process: int) -> float:
    try:
        text = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0.0
    found = [line.split()[1] for line in text.splitlines() if line.startswith("VmRSS")]
    return int(found[0]) / 1024 if found else 0.0


app = printing(measure)
if __name__ == "__main__":
    carry_out(app)
