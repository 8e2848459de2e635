"""The first run: what a small model does right, a kill that loses nothing, and what it cannot do.

    nlpu run demo                                # on the embedded model
    nlpu run demo --model qwen2.5-coder-0.5b     # on one that judges better

Forty letters become records, one call each, in a process that is killed half-way; another process
goes on with its run. Then the same is asked in one big prompt, and reviews are to be judged. All of
it is scored against keys that lie beside this file. What happens is told while it happens; the
result is what was counted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from textwrap import fill
from typing import Annotated, Literal

from annotated_types import Len
from pydantic import BaseModel

from nlpu import DoesNotFit, ModelError, driver, nlop
from nlpu.engines.models.known import DEFAULT_MODEL, known_models
from nlpu.programs.calling import nested
from nlpu.programs.letters import (
    FIELDS,
    Amount,
    City,
    Day,
    Letter,
    Letters,
    Sender,
    Words,
    forty,
    letters,
    record,
    score,
)
from nlpu.programs.two_lives import Lives, in_two_lives
from nlpu.runtime.settings import Settings
from nlpu.runtime.terminal.output import say
from nlpu.runtime.terminal.show.archive import Record

HALF, SHOWN_AT = 20, (1, 12, 30)  # letters read: at the kill, and when one of them is shown
REVIEWS = Path(__file__).with_name("reviews.jsonl")
GOOD_ENOUGH = 0.8  # of the reviews
ROWS, ALONE = 0.96, 1.1  # the one call: its tokens and its seconds, of what the forty took

# Rows, not records: the names need not be written, and no less of it is right.
Forty = Annotated[list[tuple[Amount, City, Day, Sender]], Len(40, 40)]


@nlop(max_tokens=1900, repetition_penalty=0.9)
def read_letters(letters: str) -> Forty:
    """Copy from each numbered letter the amount of money, the city, the date and the sender."""


@nlop
def judge(review: str) -> Literal["positive", "negative"]:
    """Is the review positive or negative?"""


class Scores(BaseModel):
    """What was right of the letters and reviews, and what the run in two lives took."""

    lives: Lives
    one_by_one: dict[str, int]
    one_prompt: dict[str, int]
    one_prompt_valid: bool
    reviews: int
    judged: int

    def __str__(self) -> str:
        return "\n".join([*_letters_told(self), *_lives_told(self.lives), *_reviews_told(self)])


def demo(engine: str = "", model: str = "", run_dir: str = "") -> Scores:
    """Read letters through a kill, ask for them in one prompt, judge reviews, and count it all.

    The terminal says what engine, model and run directory it was given.
    """
    lives = kill_and_resume(engine, model, run_dir).value
    say(_one_call_told(lives))
    cases = [json.loads(line) for line in REVIEWS.read_text(encoding="utf-8").splitlines()]
    at_once = all_at_once("\n".join(f"{n}. {text}" for n, (text, _) in enumerate(forty(), 1)))
    opinions = [opinion(case["review"]) for case in cases]
    return Scores(
        lives=lives,
        one_by_one=score(Letters.model_validate(lives.result).root),
        one_prompt=score(at_once.value),
        one_prompt_valid=len(at_once.value) == len(forty()),
        reviews=len(cases),
        judged=sum(said.value == case["is"] for said, case in zip(opinions, cases, strict=True)),
    )


@nested
def all_at_once(numbered: str) -> list[Letter]:
    """All records by one call; none if it does not fit, is cut, or is no list of records."""
    try:
        rows = read_letters(numbered).value
        return [record(Words(**dict(zip(FIELDS, row, strict=True)))) for row in rows]
    except (ModelError, DoesNotFit):
        return []


@nested
def opinion(review: str) -> str:
    """What the model makes of a review, by one call."""
    try:
        return judge(review).value
    except ModelError:
        return "(no valid reply)"


@driver(effect="write", idempotent=True, deadline_s=3600.0)
def kill_and_resume(engine: str, model: str, run_dir: str) -> Lives:
    """Read the forty letters in a process, kill it half-way, and go on with its run in another."""
    say(f"{_who(engine, model)} reads forty letters into records, one call for each:")
    given = (("--engine", engine), ("--model", model))
    options = [word for pair in given if pair[1] for word in pair]
    return in_two_lives(
        letters, options, Path(run_dir or str(Settings().run_dir)), HALF, Narrator()
    )


# -- what is told ------------------------------------------------------------------------------


class Narrator:
    """Tells of a run that goes on: some letters as they are answered, and its kill."""

    def __init__(self) -> None:
        self._key, self._shown = dict(forty()), 0

    def lives(self, run: Record) -> None:
        """Show a letter, if it is time for one."""
        answered = list(run.past.outcomes)
        if self._shown < len(SHOWN_AT) and len(answered) >= SHOWN_AT[self._shown]:
            self._show(run, answered[SHOWN_AT[self._shown] - 1])
            self._shown += 1

    def killed(self, run: Record) -> None:
        """Say what is on the disk and what is lost."""
        say(
            f"SIGKILL, with {len(run.past.outcomes)} letters answered and "
            f"{len(run.past.under_way)} under way. Another process goes on ..."
        )

    def _show(self, run: Record, key: str) -> None:
        call = next(call for call in run.past.calls.values() if call.key == key)
        text, outcome = run.texts[call.texts[0]], run.past.outcomes[key]
        if outcome.fault or text not in self._key:
            return
        said = record(Words.model_validate_json(run.texts[outcome.text]))
        say(fill(f'"{text}"', 80, initial_indent="  ", subsequent_indent="   "))
        right = self._key[text]
        say(f"   ✓ {said}" if said == right else f"   ✗ {said} (key: {right})")


def _who(engine: str, model: str) -> str:
    """The model, as far as it is known before anything was asked."""
    default = DEFAULT_MODEL if engine in ("", "local") else f"the model of {engine}"
    return model.rpartition("/")[2] or default


def _one_call_told(lives: Lives) -> str:
    """What comes now, and how long it may take, by what the letters took."""
    took = f"about {round(ROWS * lives.receipt.completion_tokens, -1):,.0f} tokens"
    if lives.model == DEFAULT_MODEL and lives.receipt.seconds:
        took += f", some {ALONE * lives.receipt.seconds:.0f} s"
    return f"Now all forty in one prompt ({took}), and reviews ..."


def _letters_told(found: Scores) -> Iterator[str]:
    """How many letters were right."""
    columns = (*FIELDS, "whole")
    heads = "".join(f"{name:>9}" for name in columns)
    yield f"{'Right of 40:':<15}{heads} key: letters.jsonl"
    for how, right in (("a call each", found.one_by_one), ("one prompt", found.one_prompt)):
        yield f"  {how:<13}" + "".join(f"{right[name]:>9}" for name in columns)
    if not found.one_prompt_valid:
        yield "  (The one prompt did not fit, or its answer was cut or no list of records.)"


def _lives_told(lives: Lives) -> Iterator[str]:
    """What the run took, beside what it was thought to take when it was killed."""
    made = f"{lives.first} calls before the kill, {lives.second} after it"
    if not lives.killed:
        made = f"{lives.first} calls, done before it could be killed"
    yield f"{made}, {lives.again} calls made again (nlpu show {lives.run})"
    names = ("calls", "nlops", "tokens in", "out", "seconds", "parallel", "bound s")
    yield f"{'':<10}" + "".join(f"{name:>10}" for name in names)
    for what, took in (("forecast", lives.forecast), ("receipt", lives.receipt)):
        if took is not None:
            yield f"  {what:<8}" + "".join(f"{_short(figure):>10}" for _, figure in took)
    yield "  parallel: seconds of all calls over the longest; bound: no schedule takes less"


def _short(figure: float | None) -> str:
    if figure is None:
        return ""
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"


def _reviews_told(found: Scores) -> Iterator[str]:
    """How many reviews were judged rightly, and what changes it."""
    told = f"Positive or not (reviews.jsonl)? {found.judged} of {found.reviews} right"
    poor = found.judged < GOOD_ENOUGH * found.reviews
    yield f"{told} (a coin: {found.reviews // 2}).{' This it cannot do.' if poor else ''}"
    if poor and found.lives.model == DEFAULT_MODEL:
        better = known_models()[1]
        size, name = f"{better.size_bytes / 1e6:.0f} MB", better.aliases[0]
        yield f"One that can ({size}): nlpu run demo --model {name}"
