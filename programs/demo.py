"""The first run: what a small model does right, a kill it survives, and what it cannot do.

    nlpu run demo                                # the embedded model
    nlpu run demo --model qwen2.5-coder-0.5b     # the same with a model that judges better

Forty letters are read into records, one call each, by a process that is killed half-way; another
goes on with its run. The same forty are asked for in one prompt, and then reviews are judged. All
is scored against keys that lie beside this file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Len
from pydantic import BaseModel

from nlpu import ModelError, nlop
from nlpu.errors import DriverFailed
from programs.letters import FIELDS, Letter, Words, forty, record, score
from runtime import driver
from runtime.terminal.archive import Record, records

SHOWN, POLL_S = 3, 0.05
REVIEWS = Path(__file__).with_name("reviews.jsonl")
_NLPU = (sys.executable, "-m", "runtime.terminal")
_DEFAULT = "SmolLM2-135M-Instruct"


@nlop(max_tokens=1500)
def read_all(letters: str) -> Annotated[list[Words], Len(1, 40)]:
    """Copy from each letter, in order, the amount of money, the city, the date and the sender."""


@nlop
def judge(review: str) -> Literal["positive", "negative"]:
    """Is the review positive or negative?"""


class Scores(BaseModel):
    """What was right, and what the run of the forty letters took in both its lives."""

    letters: int
    right: int
    fields: dict[str, int]
    one_prompt: int
    reviews: int
    judged: int
    answered_before_the_kill: int
    made_again: int
    run: str

    def __str__(self) -> str:
        return (
            f"{self.right} of {self.letters} letters right one by one, {self.one_prompt} in one "
            f"prompt; {self.made_again} calls made again; {self.judged} of {self.reviews} reviews"
        )


def demo(engine: str = "", model: str = "", run_dir: str = "") -> Any:
    """Read letters, survive a kill, fail at one big prompt and at judging; count all of it."""
    key = forty()
    print(f"{model or _DEFAULT} on {os.cpu_count()} cores reads 40 letters, one call each:")
    lives = json.loads(str(in_two_lives(engine, model, run_dir or ".nlpu/runs")))
    said = [None if one is None else Letter.model_validate(one) for one in lives["records"]]
    found = score(said)
    for (text, right), one in list(zip(key, said, strict=True))[:SHOWN]:
        print(f"  {text}\n  {'right' if one == right else 'WRONG'}: {one}; the key: {right}")
    print("  right of 40: " + ", ".join(f"{found[name]} {name}" for name in (*FIELDS, "whole")))
    print(f"  forecast from the first half: {lives['forecast']}")
    print(f"  receipt of both lives:        {lives['receipt']}")
    print("The same 40 letters in one prompt:")
    together = score(at_once([text for text, _ in key]))["whole"]
    print(f"  right of 40: {together}. That is why this is a machine of small operations.")
    cases = [json.loads(line) for line in REVIEWS.read_text(encoding="utf-8").splitlines()]
    print(f"{len(cases)} reviews, positive or negative, of which half are either:")
    answers = [judge(case["review"]) for case in cases]
    judged = sum(str(answer) == case["is"] for answer, case in zip(answers, cases, strict=True))
    more = "" if model else "; with --model qwen2.5-coder-0.5b (491 MB) it is another matter:"
    print(f"  right of {len(cases)}: {judged}{more}")
    if not model:
        print("  nlpu run demo --model qwen2.5-coder-0.5b")
    return Scores(
        letters=len(key), right=found["whole"], fields={name: found[name] for name in FIELDS},
        one_prompt=together, reviews=len(cases), judged=judged, run=lives["run"],
        answered_before_the_kill=lives["before"], made_again=lives["again"],
    )  # fmt: skip


def at_once(texts: list[str]) -> list[Letter | None]:
    """Ask for all records in one call; none are there if the reply is cut, or no list of them."""
    numbered = "\n".join(f"{number}. {text}" for number, text in enumerate(texts, 1))
    try:
        return [record(words) for words in read_all(numbered).value]
    except ModelError:
        return []


# -- two lives --------------------------------------------------------------------------------


@driver(effect="read", deadline_s=900.0)
def in_two_lives(engine: str, model: str, run_dir: str) -> str:
    """Read the forty letters in a process, kill it half-way, and go on with its run in another."""
    place = _apart(Path(run_dir))
    machine = [*(("--engine", engine) if engine else ()), *(("--model", model) if model else ())]
    where = ["--run-dir", str(place)]
    began = time.monotonic()
    half = _killed_half_way([*_NLPU, "run", "letters", *machine, *where], place)
    lived, before = time.monotonic() - began, len(half.past.outcomes)
    print(f"  killed with SIGKILL when {before} of 40 were read; another process goes on ...")
    forecast = _told([*_NLPU, "run", "letters", "--dry", "--json", *machine, *where])
    began = time.monotonic()
    ended = _told([*_NLPU, "resume", half.name, "--trust", "--json", *where])
    whole = _told([*_NLPU, "show", half.name, "--json", *where])
    lived += time.monotonic() - began
    _keep(place)
    again = ended["receipt"]["calls"] - (40 - before)
    print(f"  {ended['receipt']['calls']} calls in the second life, {again} calls made again")
    return json.dumps({
        "records": ended["result"], "run": half.name, "before": before, "again": again,
        "forecast": _expected(forecast), "receipt": _taken(whole, ended["receipt"], lived),
    })  # fmt: skip


def _apart(run_dir: Path) -> Path:
    """A run directory of its own, in which there is but one run."""
    run_dir.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="demo-", dir=run_dir))


def _keep(place: Path) -> None:
    """Put the run beside the others, for ``nlpu show`` and ``nlpu replay``."""
    for file in place.iterdir():
        file.rename(place.parent / file.name)
    place.rmdir()


def _killed_half_way(command: list[str], place: Path) -> Record:
    """Start a process and kill it, by its id, when half of the letters have an answer."""
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        while child.poll() is None:
            found = records(place)
            if found and len(found[0].past.outcomes) >= 20:
                break
            time.sleep(POLL_S)
    finally:
        child.kill()
        said = child.communicate()[1].decode(errors="replace").strip()
    if not (found := records(place)):
        raise DriverFailed(said.rpartition("\n")[2] or "the process of the letters ended")
    return found[0]


def _told(command: list[str]) -> Any:
    """What a command says on stdout, as one JSON object. Raises DriverFailed."""
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise DriverFailed(ended.stderr.strip().rpartition("\n")[2])
    return json.loads(ended.stdout)


def _expected(forecast: dict[str, Any]) -> str:
    calls, nlops, tokens, seconds = (
        forecast[name]["expected"] for name in ("calls", "nlops", "completion_tokens", "seconds")
    )
    return f"{calls:.0f} calls, {nlops:.1f} nlops, {tokens:.0f} tokens out, {seconds:.0f} s"


def _taken(whole: dict[str, Any], second: dict[str, Any], seconds: float) -> str:
    tokens = sum(call["completion_tokens"] for call in whole["calls_made"])
    bound = second["lower_bound_s"]
    return (
        f"{whole['calls']} calls, {whole['nlops']:.1f} nlops, {tokens} tokens out, {seconds:.0f} s "
        f"(two starts), parallelism {second['parallelism']:.1f}, "
        + (f"bound {bound:.0f} s" if bound else f"longest call {second['span_s']:.0f} s")
    )
