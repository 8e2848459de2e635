"""A day of agents: streams of memories, marks, reflections, plans, talks; all at the same time."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from kit import execute, resumed
from memory_kit import Bag, memory
from terminal_fixture import Terminal, nlpu

from nlpu.programs.agent_day import Day, Person, lived
from nlpu.testing.scripted import Scripted, Seen, default_answer

__all__ = ["nlpu"]
NAMES = ("Ann", "Bob", "Cem")


def village(place: Path, names: tuple[str, ...] = NAMES) -> list[Person]:
    return [Person(n, f"{n}, who lives here", memory(place / n, embedder=Bag())) for n in names]


def texts(person: Person) -> list[str]:
    disk = person.memory.levels.disk
    return [page.text for page in person.memory.levels.pages(disk.numbers()).values()]


def model(seen: Seen) -> str:
    who = seen.operands.get("person", "")[:3]
    if "plan" in seen.operands:
        return f"{who} does it: {seen.operands['plan']}"
    if "conversation" in seen.operands:
        return f"Good day,\nsays {who}, turn {seen.operands['conversation'].count(':')}."
    if "person" in seen.operands:
        return json.dumps({part: f"{who}'s {part}" for part in ("morning", "noon", "evening")})
    return "8" if "statement" in seen.operands else "They are friends."


def test_they_plan_act_meet_remember_and_reflect(tmp_path: Path) -> None:
    people = village(tmp_path)
    day = execute(lived, people, 2, engine=Scripted(model)).result
    assert day.plans["Ann"].noon == "Ann's noon"
    met = [tuple(scene.who) for scene in day.scenes if len(scene.who) > 1]
    assert met == [("Ann", "Bob"), ("Bob", "Cem"), ("Cem", "Ann")]  # everybody everybody
    assert [len(scene.lines) for scene in day.scenes] == [1, 1, 1, 2] * 3
    assert day.scenes[0].lines == ["Ann does it: Ann's morning"]
    assert day.scenes[3].lines[1] == "Bob: Good day, says Bob, turn 1."
    assert day.reflections == dict.fromkeys(NAMES, "They are friends.")
    for person in people:
        mine = {line for scene in day.scenes if person.name in scene.who for line in scene.lines}
        assert set(texts(person)) == {*mine, "They are friends."}
        best = person.memory.search("friends", most=1, among="all")[0].page
        assert best.source == "reflection" and best.importance == 0.8 and best.links
    assert "morning, Ann and Bob:\n  Ann: Good day" in str(day)


def test_a_conversation_is_only_added_to(tmp_path: Path) -> None:
    engine = Scripted(model)
    execute(lived, village(tmp_path, NAMES[:2]), 6, engine=engine)
    said = [seen.operands for seen in engine.seen if "conversation" in seen.operands][:6]
    read = ["", *(each["conversation"] for each in said[1:])]
    assert all(after.startswith(before) for before, after in pairwise(read))
    assert {each["memories"] for each in said[::2]} == {said[0]["memories"]}  # before it, constant


def test_nobody_waits_but_for_those_they_meet(tmp_path: Path) -> None:
    """Four people's day takes no longer than two people's."""
    spans = [
        execute(
            lived,
            village(tmp_path / str(len(names)), names),
            3,
            engine=Scripted(model, latency_s=1.0),
        ).receipt.span_s
        for names in (NAMES[:2], (*NAMES, "Dan"))
    ]
    assert spans[0] == spans[1] < 22


def test_the_next_day_remembers_this_one(tmp_path: Path) -> None:
    people = village(tmp_path, NAMES[:1])
    execute(lived, people, 1, engine=Scripted(model))
    engine = Scripted(model)
    execute(lived, people, 1, engine=engine)
    assert "Ann does it: Ann's evening" in engine.seen[0].operands["memories"]


def test_a_dull_day_is_worth_no_reflection(tmp_path: Path) -> None:
    def dull(seen: Seen) -> str:
        return "1" if "statement" in seen.operands else model(seen)

    assert (
        execute(lived, village(tmp_path, NAMES[:1]), 1, engine=Scripted(dull)).result.reflections
        == {}
    )


@pytest.mark.parametrize("seed", range(2))
def test_a_day_is_well_formed_whatever_the_model_says(tmp_path: Path, seed: int) -> None:
    dice = Random(seed)

    def wild(seen: Seen) -> str:
        return dice.choice(["", "99", "-3", "{}", "\x1b[2J\n\n", default_answer(seen)])

    run = execute(lived, village(tmp_path, NAMES[:2]), 2, engine=Scripted(wild))
    assert run.error is None and len(run.result.scenes) == 9
    for scene in run.result.scenes:
        assert all(scene.lines) and all(1 <= mark <= 10 for mark in scene.marks)


def test_a_replay_gives_the_same_day(tmp_path: Path) -> None:
    people = village(tmp_path / "people")
    first = execute(lived, people, 2, engine=Scripted(model), run_dir=tmp_path)
    engine = Scripted("never asked")
    again = resumed(tmp_path, first, lived, people, 2, engine=engine, replay=True)
    assert again.result == first.result and engine.seen == []


def test_people_are_described_by_name(nlpu: Terminal) -> None:
    ended = nlpu("run", "agent_day", "Ann, a baker; Ann, a sailor", "--engine", "scripted")
    assert ended.code == 2 and "needs a name of its own" in ended.err
    assert nlpu("run", "agent_day", ";", "--engine", "scripted").code == 2
    ended = nlpu("run", "agent_day", "../x, a thief", "--engine", "scripted")
    assert ended.code == 2 and not Path("..", "x").exists()
    assert Day.model_fields.keys() == {"plans", "scenes", "reflections"}
