"""What a model's yes and no are worth on cases with known answers, and what calibrating adds.

    .venv/bin/python -m benchmarks.judging CASES.jsonl ... [--others OTHER.jsonl ...]
        [--model MODEL] [--threads N] [--first 60] [--neutral]

A case is a line of JSON: {"family", "op": "judge", "operands": {"question", "text"}, "expected"};
other ops are passed over. Of each family: how much of its probability the model puts on yes and no
at all (the mass: least, middle), how often it says yes, the area under the curve with its interval,
and how many are right before and after a calibration that has not seen them. ``--others`` are
judged by the calibration of all CASES. ``--neutral`` judges "N/A" in the place of each text, too,
and takes its log-odds off (contextual calibration, Zhao et al. 2021).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from nlpu import BadOperand
from nlpu.calibration import Calibration, logit
from nlpu.engines.embedded.engine import EmbeddedEngine
from nlpu.eval.calibrate import area_under_curve, calibrate
from nlpu.eval.intervals import wilson
from nlpu.isa import judge
from nlpu.judgement import Judgement, PoorJudge
from nlpu.processor import Processor, open_processor
from nlpu.wire import Reply, Request

NEUTRAL = "N/A"
HEAD = "{:<12}{:>6}{:>6}{:>12}{:>9}  {}"


class Case(NamedTuple):
    family: str
    question: str
    text: str
    truth: bool


class Judged(NamedTuple):
    case: Case
    judgement: Judgement
    neutral: float | None


def read(paths: Sequence[Path], first: int) -> list[Case]:
    """The first cases of each file."""
    found = []
    for path in paths:
        lines = map(json.loads, path.read_text("utf-8").splitlines())
        judged = [line for line in lines if line["op"] == "judge"][:first]
        for line in judged:
            asked = line["operands"]
            found.append(Case(line["family"], asked["question"], asked["text"], line["expected"]))
    return found


async def judge_all(
    model: str, threads: int | None, cases: Sequence[Case], neutral: bool = False
) -> list[Judged]:
    """Judge each case by the model, two at once."""
    engine = EmbeddedEngine(model, max_in_flight=2, threads=threads)
    processor = await open_processor("judge", engine)
    gate = asyncio.Semaphore(2)

    async def one(case: Case) -> Judged:
        async with gate:
            reply = await ask(processor, case.question, case.text)
            plain = (await ask(processor, case.question, NEUTRAL)) if neutral else None
        yes = reply.probabilities[0]
        assert reply.mass is not None
        made = Judgement(answer=yes > 0.5, probability=round(yes, 4), mass=round(reply.mass, 4))
        return Judged(case, made, plain.probabilities[0] if plain else None)

    try:
        return list(await asyncio.gather(*map(one, cases)))
    finally:
        await processor.engine.close()


async def ask(processor: Processor, question: str, text: str) -> Reply:
    """One judgement, as ``judge`` asks for it."""
    ids = tuple(processor.prompt(judge, (question, text)))
    request = Request(
        str(id(ids)), ids, judge.sampling, judge.result.constraint, probabilities=True
    )
    return await processor.engine.send(request)


def row(name: str, judged: Sequence[Judged]) -> str:
    """What one family's judgements are worth."""
    truths = [each.case.truth for each in judged]
    said = [each.judgement for each in judged]
    masses = [each.mass for each in said if each.mass is not None]
    share = f"{min(masses):.2f} {median(masses):.2f}"
    try:
        worth = str(calibrate(said, truths))
    except BadOperand as error:
        worth = str(error)
    return HEAD.format(name, len(said), sum(truths), share, sum(map(bool, said)), worth)


def neutral_row(judged: Sequence[Judged]) -> str:
    """What taking the neutral text's log-odds off gives."""
    odds = [
        (logit(each.judgement.probability) - logit(each.neutral), each.case.truth)
        for each in judged
        if each.neutral is not None
    ]
    right = sum((each > 0) == truth for each, truth in odds) / len(odds)
    area = area_under_curve(odds)
    return f"  less the neutral text's odds: area {area:.2f}, right {right:.0%}"


def on_others(calibration: Calibration, judged: Sequence[Judged]) -> str:
    """How many other cases are right by a calibration."""
    right = sum(calibration.of(each.judgement).answer == each.case.truth for each in judged)
    before = sum(each.judgement.answer == each.case.truth for each in judged)
    low, high = wilson(right, len(judged))
    return (
        f"others: right {right / len(judged):.0%} ({low:.0%} to {high:.0%}) of {len(judged)}, "
        f"{before / len(judged):.0%} before"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("cases", type=Path, nargs="+")
    parser.add_argument("--others", type=Path, nargs="*", default=[])
    parser.add_argument("--model", default="qwen2.5-coder-0.5b")
    parser.add_argument("--first", type=int, default=60, help="cases of each file")
    parser.add_argument("--threads", type=int, help="of the model; all cores without it")
    parser.add_argument("--neutral", action="store_true")
    return parser.parse_args()


def main() -> None:
    """Judge and print."""
    given = _options()
    warnings.simplefilter("ignore", PoorJudge)  # the rows say it
    cases = read(given.cases, given.first)
    judged = asyncio.run(judge_all(given.model, given.threads, cases, given.neutral))
    print(given.model)
    print(HEAD.format("family", "cases", "yes", "mass", "said yes", ""))
    families = list(dict.fromkeys(case.family for case in cases))
    groups = [(name, [each for each in judged if each.case.family == name]) for name in families]
    for name, group in [*groups, ("all", judged)]:
        print(row(name, group))
        if given.neutral:
            print(neutral_row(group))
    others = read(given.others, given.first)
    if others:
        fit = calibrate([each.judgement for each in judged], [case.truth for case in cases])
        told = asyncio.run(judge_all(given.model, given.threads, others))
        print(on_others(fit.calibration, told))


if __name__ == "__main__":
    main()
