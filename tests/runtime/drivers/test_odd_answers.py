"""An answer of a person that is none approves of nothing and settles nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kit import execute, keep, resumed

from nlpu import driver
from nlpu.errors import NeedsPerson
from nlpu.label import UNTRUSTED
from nlpu.runtime.drivers.person import ScriptedPerson
from nlpu.value import Value

SENT: list[str] = []


@driver(effect="external")
def send(to: str) -> str:
    """Send a letter."""
    SENT.append(to)
    return f"sent to {to}"


def to_eve() -> str:
    return str(send(Value("eve", UNTRUSTED)))


@pytest.mark.parametrize("answer", ["no", "yes", None, 1, 0, ["True"]])
def test_only_true_approves_and_only_false_refuses(answer: Any) -> None:
    SENT.clear()
    run = execute(to_eve, person=ScriptedPerson(approve=lambda call: answer))
    assert run.status == "needs_person" and isinstance(run.error, NeedsPerson) and not SENT
    told = f'answer about send({{"to":"eve"}}) must be True or False, not {answer!r}'
    assert told in str(run.error)


def test_an_answer_that_is_never_awaited_is_none() -> None:
    SENT.clear()

    async def no() -> bool:
        return False

    promised = no()
    run = execute(to_eve, person=ScriptedPerson(approve=lambda call: promised))  # type: ignore[return-value]
    promised.close()
    assert "must be True or False, not <coroutine object" in str(run.error) and not SENT


@pytest.mark.parametrize("answer", ["Again", "", None, True])
def test_a_verdict_is_one_of_three_words(tmp_path: Path, answer: Any) -> None:
    grave, runs = tmp_path / "grave", tmp_path / "runs"

    @driver(effect="external", name="send")
    def kept(to: str) -> str:
        """Send a letter."""
        keep(runs, grave)
        return to

    cut = execute(lambda: kept("ann"), run_dir=runs)
    person = ScriptedPerson(settle=lambda call: answer)
    run = resumed(grave, cut, lambda: kept("ann"), person=person)
    assert run.status == "needs_person" and len(person.asked) == 1
    assert f"must be 'done' or 'again' or 'stop', not {answer!r}" in str(run.error)
