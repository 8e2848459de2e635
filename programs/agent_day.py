"""A day of a few people who remember, plan, and talk with each other.

    nlpu run agent_day "Ann, a baker who dreams of the sea; Bob, who keeps bees by the mill"
    nlpu run agent_day "Ann, a baker; Bob, a beekeeper; Cem, a sailor" store=.nlpu/village turns=2

Each has a memory of their own (a folder in ``store``) that lasts from one day to the next. In the
morning they plan; then, for each part of the day, they do something, meet somebody and talk. What
is done and said goes into the memories of those who were there, with how much it matters. In the
evening those whose day mattered enough reflect on it. Everybody lives at the same time: nobody
waits for others but for those they meet. (After Park and others, "Generative agents", 2023.)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import ExitStack
from textwrap import fill
from typing import Annotated, NamedTuple

from pydantic import BaseModel, Field

from nlpu import Memory, Usage, Value, nlop, now, spawn
from nlpu.memory.consolidate import reflect
from nlpu.memory.store.postgres.names import beside
from nlpu.programs.calling import attempted, careful
from nlpu.programs.stream import RECALLED, keep, rate, recalled, weight

PART_S = 4 * 3600
ENOUGH = 20  # the marks of a day, 1 to 10 for each line, that are worth a reflection

Intent = Annotated[str, Field(min_length=1, max_length=100)]


class Plan(BaseModel):
    """What somebody means to do on a day."""

    morning: Intent
    noon: Intent
    evening: Intent


@nlop(max_tokens=160)
def plan_day(person: str, memories: str) -> Plan:
    """Plan the person's day: one short sentence each for morning, noon and evening."""


@nlop(max_tokens=48, at_limit="trim", repetition_penalty=1.1)
def do(person: str, memories: str, plan: str) -> str:
    """Write one sentence about the person, by name: what they do now, and what comes of it."""


@nlop(max_tokens=48, at_limit="trim", repetition_penalty=1.1)
def say(person: str, memories: str, conversation: str) -> str:
    """Write what the person says next in the conversation: one sentence, spoken by the person."""


class Scene(BaseModel):
    """What somebody did, or two said, in a part of the day, and how much each line matters."""

    part: str
    who: list[str]
    lines: list[str]
    marks: list[int]

    def __str__(self) -> str:
        return "\n".join([f"{self.part}, {' and '.join(self.who)}:", *map(wrapped, self.lines)])


class Day(BaseModel):
    """What everybody meant to do, what happened, and what they made of it at night."""

    plans: dict[str, Plan]
    scenes: list[Scene]
    reflections: dict[str, str]

    def __str__(self) -> str:
        nights = [f"night, {name}:\n{wrapped(text)}" for name, text in self.reflections.items()]
        return "\n".join([*map(str, self.scenes), *nights])


class Person(NamedTuple):
    """Somebody, and their memory."""

    name: str
    about: str
    memory: Memory


def agent_day(people: str, store: str = ".nlpu/people", turns: int = 4) -> Day:
    """Let some people (NAME, WHO THEY ARE; ...) live through a day."""
    if turns < 1:
        raise Usage(f"turns must be at least 1, not {turns}")
    village: dict[str, Person] = {}
    with ExitStack() as opened:
        for about in filter(None, map(str.strip, people.split(";"))):
            name = about.partition(",")[0].strip()
            if name.lower() in village or not re.fullmatch(r"\w[\w -]*", name):
                raise Usage(f"{about!r} needs a name of its own and a comma, like: Ann, a baker")
            memory = opened.enter_context(Memory(beside(store, name.lower())))
            village[name.lower()] = Person(name, about, memory)
        if not village:
            raise Usage("there is nobody: give people, like: Ann, a baker; Bob, who keeps bees")
        return lived(list(village.values()), turns)


def lived(village: list[Person], turns: int) -> Day:
    """One day. A scene waits for the scenes before it of those who are in it, and for no other."""
    start_s = now().timestamp()
    plans = {each.name: spawn(planned, each) for each in village}
    days: dict[str, list[Value[Scene]]] = {each.name: [] for each in village}
    scenes = []
    for number, part in enumerate(Plan.model_fields):
        ring = village[number:] + village[:number]  # others stand side by side each time
        pairs = zip(ring[::2], ring[1::2], strict=False)
        for those in [*((each,) for each in village), *pairs]:
            before = [scene for each in those for scene in days[each.name][-1:]]
            moment_s = start_s + number * PART_S + 60 * len(those)  # deeds come first
            scenes.append(spawn(scene_of, those, part, plans, before, turns, moment_s))
            for each in those:
                days[each.name].append(scenes[-1])
    nights = {p.name: spawn(night, p, days[p.name], start_s + 3 * PART_S) for p in village}
    return Day(
        plans={name: plan.value for name, plan in plans.items()},
        scenes=[scene.value for scene in scenes],
        reflections={name: text for name, each in nights.items() if (text := str(each))},
    )


def planned(person: Person) -> Plan:
    """What somebody means to do, in the light of what they remember."""
    plan = attempted(plan_day, person.about, recalled(person.memory, "plans for the day"))
    return plan or Plan(**dict.fromkeys(Plan.model_fields, "What is always done at this time."))


def scene_of(
    those: Sequence[Person],
    part: str,
    plans: dict[str, Value[Plan]],
    before: list[Value[Scene]],
    turns: int,
    moment_s: float,
) -> Scene:
    """What one does, or two say to each other; all who are there remember it."""
    _ = [scene.value for scene in before]  # these are remembered by now
    if len(those) == 1:
        aim = getattr(plans[those[0].name].value, part)
        memories = recalled(those[0].memory, aim)
        lines = [one_line("", careful(do, those[0].about, memories, aim))]
    else:
        lines = talk(those, turns)
    marks = [weight(mark) for mark in rate.map(lines).each()]
    for number, (line, mark) in enumerate(zip(lines, marks, strict=True)):
        for person in those:
            keep(person.memory, str(line), line.label, moment_s + number, mark)
    who = [person.name for person in those]
    return Scene(part=part, who=who, lines=list(map(str, lines)), marks=marks)


def talk(two: Sequence[Person], turns: int) -> list[Value[str]]:
    """A conversation: it stands at the end of each prompt, and is only added to."""
    sides = [
        (me.name, f"{me.about}. The person meets {you.about}.", recalled(me.memory, you.about))
        for me, you in (two, two[::-1])
    ]
    lines: list[Value[str]] = []
    for turn in range(turns):
        name, role, known = sides[turn % 2]
        said = careful(say, role, known, "\n".join(map(str, lines)) or "(they meet)")
        lines.append(one_line(f"{name}: ", said))
    return lines


def night(person: Person, day: list[Value[Scene]], night_s: float) -> str:
    """A reflection on the day, if it mattered enough; it is remembered, too."""
    if sum(sum(scene.value.marks) for scene in day) < ENOUGH:
        return ""
    mattered = person.memory.search("what mattered today", most=RECALLED, among="all")
    address = reflect(person.memory, [each.page for each in mattered], time_s=night_s)
    return person.memory.read(address).text if address else ""


def one_line(start: str, text: Value[str]) -> Value[str]:
    """A text without line breaks, after its start."""
    return Value(start + " ".join(str(text).split()), text.label)


def wrapped(line: str) -> str:
    """A line for the terminal."""
    return fill(line, 88, initial_indent="  ", subsequent_indent="    ")
