"""Typed results of two checkouts in one run: how many are valid, and how many right.

    git worktree add /tmp/before COMMIT
    .venv/bin/python -m benchmarks.typed --against /tmp/before [--model MODEL]

A hundred calls on the embedded processor, ten inputs for each of ten types, drawn from a fixed
seed; both sides run in this environment, each in a process of its own. *Valid* is a result without
an error, *right* one that equals what the input says; *silent* is a result that is valid and is
the right one cut short, in digits, items or characters.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

HERE = Path(__file__).resolve().parents[1]
WORDS = [
    "river",
    "stone",
    "wheel",
    "barley",
    "oak",
    "lantern",
    "harbour",
    "window",
    "candle",
    "meadow",
    "anchor",
    "bridge",
]
NAMES = ("Ann", "Erik", "Louise", "Pavel", "Ines", "Omar", "Greta", "Tom", "Yuki", "Rosa")
CITIES = ("Rome", "Oslo", "Nice", "Lisbon", "Madrid", "Bergen", "Porto", "Vienna", "Bonn")
Case = tuple[str, str, Any, Any]  # task, text, type, what the text says


class Person(BaseModel):
    name: str
    age: int
    city: str


class Note(BaseModel):
    title: str
    day: date


class Box(BaseModel):
    label: str
    sizes: list[int]


class Copy(BaseModel):
    text: str


def cases() -> list[Case]:
    """Make the hundred, the same every time."""
    draw = random.Random(5)
    return [make(draw, number) for number in range(10) for make in MAKERS]


def _whole(draw: random.Random, n: int) -> Case:
    number = draw.randrange(10 ** (n + 2), 10 ** (n + 3))
    return "Copy the number.", f"The number is {number}.", int, number


def _float(draw: random.Random, n: int) -> Case:
    number = float(f"0.{draw.randrange(10 ** (n + 2), 10 ** (n + 3))}")
    return "Copy the number.", f"The number is {number}.", float, number


def _stamp(draw: random.Random, n: int) -> Case:
    number = draw.randrange(10**12, 2 * 10**12)
    kind = Annotated[int, Field(ge=10**12)]
    return "Copy the time stamp.", f"It was made at {number}.", kind, number


def _numbers(draw: random.Random, n: int) -> Case:
    numbers = [draw.randrange(1, 60) for _ in range(3 * n + 3)]
    return "List the numbers in order.", ", ".join(map(str, numbers)), list[int], numbers


def _words(draw: random.Random, n: int) -> Case:
    words = draw.choices(WORDS, k=n + 2)
    return "List the words in order.", ", ".join(words), list[str], words


def _person(draw: random.Random, n: int) -> Case:
    made = Person(name=NAMES[n], age=draw.randrange(18, 90), city=draw.choice(CITIES))
    text = f"{made.name} is {made.age} years old and lives in {made.city}."
    return "Read the person.", text, Person, made.model_dump()


def _note(draw: random.Random, n: int) -> Case:
    day = date(2030, draw.randrange(1, 13), draw.randrange(1, 28))
    title = " ".join(draw.sample(WORDS, 2))
    return "Read the note.", f"{title}, {day}", Note, {"title": title, "day": str(day)}


def _box(draw: random.Random, n: int) -> Case:
    made = Box(label=draw.choice(WORDS), sizes=[draw.randrange(1, 99) for _ in range(n + 1)])
    text = f"The {made.label} box has the sizes {', '.join(map(str, made.sizes))}."
    return "Read the box.", text, Box, made.model_dump()


def _copy(draw: random.Random, n: int) -> Case:
    text = " ".join(draw.choices(WORDS, k=12 * (n + 1)))
    return "Copy the text word for word.", text, Copy, {"text": text}


def _mood(draw: random.Random, n: int) -> Case:
    word = ("happy", "sad")[n % 2]
    return "Which mood is named?", f"{NAMES[n]} is {word}.", Literal["happy", "sad"], word


MAKERS: tuple[Callable[[random.Random, int], Case], ...] = (
    _whole,
    _float,
    _stamp,
    _numbers,
    _words,
    _person,
    _note,
    _box,
    _copy,
    _mood,
)


def main() -> None:
    """Ask both sides and print a table; with --child, ask and print JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--against", help="a checkout to compare with")
    parser.add_argument("--model")
    parser.add_argument("--child", action="store_true")
    options = parser.parse_args()
    if options.child:
        print(json.dumps(_asked(options.model)))
        return
    found = {side: _side(path, options.model) for side, path in _sides(options.against)}
    print(f"{options.model or 'smollm2-135m-instruct'}, {len(cases())} typed calls")
    for side, rows in found.items():
        print(f"\n{side:12}{'valid':>8}{'right':>8}{'silent':>8}")
        names = [make.__name__[1:] for make in MAKERS]
        for name in names:
            _line(name, [row for at, row in enumerate(rows) if names[at % len(names)] == name])
        _line("all", rows)


def _sides(against: str | None) -> list[tuple[str, Path]]:
    before = [("before", Path(against))] if against else []
    return [*before, ("now", HERE)]


def _line(name: str, rows: list[list[bool]]) -> None:
    print(f"{name:12}" + "".join(f"{sum(row[at] for row in rows):8}" for at in range(3)))


def _side(path: Path, model: str | None) -> list[list[bool]]:
    more = ["--model", model] if model else []
    ended = subprocess.run(
        [sys.executable, __file__, "--child", *more],
        env=os.environ | {"PYTHONPATH": str(path)},
        stdout=subprocess.PIPE,
        check=True,
    )
    rows: list[list[bool]] = json.loads(ended.stdout.splitlines()[-1])
    return rows


def _asked(model: str | None) -> list[list[bool]]:
    from nlpu import Computer, Op, op

    # The first reply is the subject; older checkouts know no other.
    once: dict[str, Any] = {"retries": 0} if "retries" in Op.__dataclass_fields__ else {}

    def program() -> list[Any]:
        asked = [op(task, kind, **once)(text) for task, text, kind, _ in cases()]
        return [_content(each) for each in asked]

    with Computer(model=model or None) as computer:
        run = computer.run(program)
    return [_judged(got, case[3]) for got, case in zip(run.result, cases(), strict=True)]


def _content(asked: Any) -> Any:
    try:
        content = asked.value
    except Exception as error:
        return f"{type(error).__name__} error"
    return content.model_dump(mode="json") if isinstance(content, BaseModel) else content


def _judged(got: Any, said: Any) -> list[bool]:
    if isinstance(got, str) and got.endswith(" error"):
        return [False, False, False]
    right = got == said
    return [True, right, not right and any(map(_cut, _leaves(got), _leaves(said)))]


def _leaves(content: Any) -> list[Any]:
    return list(content.values()) if isinstance(content, dict) else [content]


def _cut(got: Any, said: Any) -> bool:
    """Whether one is the beginning of the other."""
    if isinstance(got, list) and isinstance(said, list):
        return len(got) < len(said) and got == said[: len(got)]
    return len(str(got)) < len(str(said)) and str(said).startswith(str(got)) and str(got) != ""


if __name__ == "__main__":
    main()
