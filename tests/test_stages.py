"""The stages of a node: every step of the table, and that there is no other."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import pytest

from nlpu.errors import HostError
from nlpu.runtime.graph.stage import Stage, advance

LEGAL = {
    ("WAITING", "READY"),
    ("WAITING", "SENT"),
    ("WAITING", "SETTLED"),
    ("READY", "SENT"),
    ("READY", "SETTLED"),
    ("SENT", "READY"),
    ("SENT", "SETTLED"),
}
STEPS = list(product(Stage, Stage))


@dataclass
class Staged:
    stage: Stage
    position: str = "main/3"


@pytest.mark.parametrize(("now", "then"), [(a, b) for a, b in STEPS if (a.name, b.name) in LEGAL])
def test_a_step_of_the_table_is_made(now: Stage, then: Stage) -> None:
    node = Staged(now)
    advance(node, then)
    assert node == Staged(then)


@pytest.mark.parametrize(
    ("now", "then"), [(a, b) for a, b in STEPS if (a.name, b.name) not in LEGAL]
)
def test_any_other_raises_and_changes_nothing(now: Stage, then: Stage) -> None:
    node = Staged(now)
    with pytest.raises(HostError, match=f"main/3 cannot become {then.name}: it is {now.name}"):
        advance(node, then)
    assert node == Staged(now)
