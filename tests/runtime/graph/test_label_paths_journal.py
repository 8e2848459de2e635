"""Labels survive the journal: resumes after stops and kills, replays, edited runs.

A journal holds no label: the program runs again and its Values get theirs again. So every path of
``label_paths`` is taken in one run, and in all its later lives what comes out is held against
what went in, and every node against what it was labelled in the first life.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path as File
from typing import Any

import pytest
from kit import Doomed, computer, finish
from label_kit import CASES, PAIRS, Claim, answer, engine, loss
from label_paths import PATHS

from nlpu import Label, Value
from nlpu.label import UNTRUSTED, USER, join
from nlpu.runtime import Budget, Computer, Run, spawn
from nlpu.runtime.drivers.person import ScriptedPerson
from nlpu.runtime.handle import state_of
from nlpu.runtime.journal.edits import Edits

Begin = Callable[[Computer, Callable[[], Any]], Run]
SLOW = pytest.mark.slow
NAMES = [name for name in PATHS if name != "repr"]  # what is there already is timing
EACH = 7  # cases of each path


class Life:
    """One life of a run that takes all paths, and what came of it."""

    def __init__(
        self, begin: Callable[[Computer, Callable[[], Any]], Run], **settings: Any
    ) -> None:
        self.claims: list[list[Claim]] = []

        def case(name: str, a: Any, b: Any) -> list[Any]:
            self.claims.append(PATHS[name](Value(*a), Value(*b)))
            return [thing for thing, _ in self.claims[-1] if isinstance(thing, Value)]

        def everything() -> Any:
            return [
                spawn(case, name, *PAIRS[(step * 37 + number * 11) % len(PAIRS)])
                for number, name in enumerate(NAMES)
                for step in range(EACH)
            ]

        person = ScriptedPerson(settle=lambda call: "again")
        settings = {"engine": engine(), "person": person, **settings}
        with computer(**settings) as machine:
            self.run = finish(begin(machine, everything))
            nodes = list(state_of(self.run).root.subtree())
        # what comes first is timing
        untimed = [n for n in nodes if n.ready and n.work_name != "first"]
        self.labels: dict[str, Label] = {n.issue_position: n._label for n in untimed}
        said = [n for n in nodes if n.work_name in ("echo", "merge")]
        self.texts = {n.issue_position: n._content for n in said}
        made = [n for n in nodes if n.call_cost is not None and n.call_cost.how == "made"]
        self.made = {node.issue_position for node in made if node._content is not None}

    def check(self, first: Life | None = None) -> None:
        assert len(self.claims) >= CASES, self.run.error
        lost = [found for case in self.claims for claim in case if (found := loss(claim))]
        assert not lost, lost[:5]
        for position, label in first.labels.items() if first else ():
            now = self.labels[position]
            assert join(label, now) is now, f"{position} was {label} and is {now}"


def begun(machine: Computer, everything: Any) -> Run:
    return machine.start(everything)


def resuming(name: str, **options: Any) -> Callable[[Computer, Any], Run]:
    return lambda machine, everything: machine.resume(name, everything, **options)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Life, File]:
    place = tmp_path_factory.mktemp("runs")
    return Life(begun, run_dir=place), place


def test_a_replay_has_the_same_labels(first: tuple[Life, File]) -> None:
    life, place = first
    life.check()
    Life(resuming(life.run.name, replay=True), run_dir=place).check(life)


@pytest.mark.parametrize(
    "calls",
    [150, pytest.param(0, marks=pytest.mark.slow), pytest.param(300, marks=pytest.mark.slow)],
)
def test_a_run_that_was_stopped_resumes_with_its_labels(
    first: tuple[Life, File], tmp_path: File, calls: int
) -> None:
    stop = Life(lambda m, e: m.start(e, budget=Budget(calls=calls)), run_dir=tmp_path)
    assert stop.run.status == "stopped", stop.run.error
    Life(resuming(stop.run.name, budget=Budget()), run_dir=tmp_path).check(first[0])


@SLOW
@pytest.mark.parametrize("at", [1, 100, 300])
def test_a_run_that_was_killed_resumes_with_its_labels(
    first: tuple[Life, File], tmp_path: File, at: int
) -> None:
    grave = tmp_path / "grave"
    killed = Life(begun, engine=Doomed(answer, tmp_path, grave, at), run_dir=tmp_path)
    Life(resuming(killed.run.name), run_dir=grave).check(first[0])


@SLOW
def test_an_edited_value_has_the_label_of_what_it_stands_for(first: tuple[Life, File]) -> None:
    """A person's text takes the place of what was made from untrusted text, and nothing more."""
    life, place = first
    places = sorted(life.made & life.texts.keys())
    edits = Edits(results={position: f"edited {position}" for position in places})
    assert len(places) >= CASES
    assert {life.labels[position] for position in places} > {USER, UNTRUSTED}
    new = Life(lambda m, e: m.rerun(life.run.name, e, edits=edits), run_dir=place)
    new.check()
    assert sum(new.texts.get(at) == text for at, text in edits.results.items()) >= CASES / 2
