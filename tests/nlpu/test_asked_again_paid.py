"""What it costs to ask again, and what budgets and plans make of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from asked_again_kit import folded, person, stubborn
from hypothesis import given
from hypothesis import strategies as st
from kit import count, execute, resumed

from nlpu import Limits, Price
from nlpu.errors import BadProgram, BudgetExceeded, ModelError
from nlpu.runtime import Budget
from nlpu.runtime.plans.bounds import Bounds
from nlpu.runtime.plans.execute import program_of
from nlpu.runtime.plans.format import write
from nlpu.runtime.plans.parse import read as read_plan
from nlpu.testing.scripted import Scripted, Seen

# -- what it costs ------------------------------------------------------------------------------


def test_what_was_no_result_is_wasted_and_all_of_it_adds_up(tmp_path: Path) -> None:
    engine = Scripted(stubborn)
    price = Price(prompt=1.0, completion=10.0)
    run = execute(
        lambda: person.map(["a", "b"]), engine=engine, run_dir=tmp_path, prices={"main": price}
    )
    receipt = run.receipt
    assert receipt.prompt_tokens == sum(len(seen.request.prompt) for seen in engine.seen)
    assert (receipt.calls, receipt.attempts, receipt.asked_again) == (2, 4, 2)
    assert 0 < receipt.wasted_nlops < receipt.nlops
    assert receipt.money == pytest.approx(
        price.of(receipt.prompt_tokens, 0, receipt.completion_tokens)
    )
    assert "; 2 asked again" in str(receipt)
    (part,) = receipt.by_op
    assert part.asked_again == 2
    assert run.counts.calls == 2
    past = folded(tmp_path)
    assert (past.lost, past.open, past.invalid) == ([], [], {})
    again = resumed(tmp_path, run, lambda: person.map(["a", "b"]), replay=True)
    assert (again.result, again.receipt.reused, again.receipt.calls) == (run.result, 2, 0)
    assert again.receipt.work_tokens == receipt.work_tokens


def test_a_budget_stops_before_it_is_asked_again(tmp_path: Path) -> None:
    engine = Scripted(stubborn)
    run = execute(lambda: count("x"), engine=engine, run_dir=tmp_path, budget=Budget(calls=1))
    assert isinstance(run.error, BudgetExceeded) and len(engine.seen) == 1
    assert run.receipt.asked_again == 0 and "asked again" not in str(run.receipt)
    same = resumed(tmp_path, run, lambda: count("x"), engine=engine)
    assert isinstance(same.error, BudgetExceeded) and len(engine.seen) == 1  # it stays spent
    more = resumed(tmp_path, run, lambda: count("x"), engine=engine, budget=Budget(calls=2))
    assert more.result == 3
    assert len(engine.seen) == 2 and engine.seen[1].again  # it went on where it was
    last = resumed(
        tmp_path,
        run,
        lambda: [count("x"), count("y")],
        budget=Budget(calls=2),
        engine=engine,
        changed=True,
    )
    assert last.status == "stopped" and len(engine.seen) == 2


ANSWERS = st.lists(st.sampled_from(["1", "one", "", "2"]), min_size=1, max_size=6)


@given(
    answers=st.dictionaries(st.sampled_from("abcd"), ANSWERS, min_size=1),
    retries=st.integers(0, 3),
    budget=st.builds(
        Budget,
        calls=st.none() | st.integers(0, 9),
        nlops=st.none() | st.floats(0, 3),
        tokens=st.none() | st.integers(0, 3000),
    ),
    room=st.integers(1, 4),
)
def test_no_call_is_sent_more_often_and_nothing_is_overspent(
    answers: dict[str, list[str]], retries: int, budget: Budget, room: int
) -> None:
    asks = count.using(retries=retries)
    sent: dict[str, list[str]] = {name: [] for name in answers}

    def script(seen: Seen) -> str:
        name = seen.operands["text"]
        texts = answers[name]
        sent[name].append(texts[min(len(sent[name]), len(texts) - 1)])
        return sent[name][-1]

    def program() -> Any:
        values = [asks(name) for name in answers]
        done: dict[str, Any] = {}
        for name, value in zip(answers, values, strict=True):
            try:
                done[name] = int(value)
            except ModelError as error:
                done[name] = type(error).__name__
        return done

    run = execute(program, engine=script, budget=budget, limits=Limits(max_in_flight=room))
    receipt = run.receipt
    assert all(len(texts) <= 1 + retries for texts in sent.values())
    for texts in sent.values():
        assert all(not text.isdigit() for text in texts[:-1])  # a result is final
    attempts = sum(map(len, sent.values()))
    assert receipt.attempts == attempts or run.status == "stopped"  # one may be dropped unsent
    assert budget.calls is None or attempts <= budget.calls
    assert budget.nlops is None or receipt.nlops <= budget.nlops + 1e-9
    taken = receipt.prompt_tokens + receipt.completion_tokens
    assert budget.tokens is None or taken <= budget.tokens
    wasted = sum(1 for texts in sent.values() for text in texts if text == "one")
    assert receipt.wasted_nlops == pytest.approx(wasted / 100)
    if run.status == "done":
        for name, texts in sent.items():
            last = {"one": "Malformed", "": "EmptyReply"}.get(texts[-1], texts[-1])
            assert str(run.result[name]) == last
            assert len(texts) == 1 + retries or texts[-1].isdigit()


# -- plans ---------------------------------------------------------------------------------------

PLAN = """
op count(text: str) -> int retries=2: "How many are there?"
param %1 text: str
%2 = count %1
return %2
"""


def test_a_plan_says_how_often_and_is_counted_with_it() -> None:
    engine = Scripted(["three", "two", "1"])
    assert execute(program_of(PLAN, bounds=Bounds(calls=3)), "x", engine=engine).result == 1
    with pytest.raises(BadProgram, match="it may make 3 calls; at most 2 are allowed"):
        raise execute(program_of(PLAN, bounds=Bounds(calls=2)), "x").error or AssertionError
    assert "retries=2" in write(read_plan(PLAN))
    with pytest.raises(BadProgram, match="retries"):
        program_of(PLAN.replace("=2", "=-1"))
