"""Delegation: the cheapest processor that will do what was asked, the queue considered."""

from __future__ import annotations

import re
from collections import Counter
from random import Random
from typing import Any

import pytest
from delegation_kit import SHEETS, asks, colour, drawn, engines, ran, sheet
from kit import computer, execute

from benchmarks import delegation as bench
from nlpu import Scripted, delegated
from nlpu.errors import ModelError, ServerFault, Usage
from nlpu.eval.bounds import OutOfReach
from nlpu.eval.datasheet import CaseDraws, Datasheet, OpSheet
from nlpu.eval.routes import ONCE, PAIR, VOTES, Part, routes_of, tried
from nlpu.runtime.eval.corrections.correction import Unsure
from nlpu.runtime.eval.planning import draw_sheet
from nlpu.testing.scripted import Seen

# -- which route -----------------------------------------------------------------------------------


def test_the_cheap_one_is_asked_and_the_dear_one_only_where_it_doubts() -> None:
    made = engines()
    run = ran(asks(*(f"easy {n}" for n in range(10)), "hard 1", "hard 2"), made=made)
    assert run.result == ["red"] * 12
    assert len(made["small"].seen) == 12 * 3  # three must agree
    assert {seen.operands["text"] for seen in made["large"].seen} <= {"hard 1", "hard 2"}
    assert made["large"].seen


def test_the_table_says_what_will_do_what_it_costs_and_what_will_not() -> None:
    told = ran(lambda: str(delegated(colour, 0.95, SHEETS).routes)).result
    assert told.splitlines()[1:] == [
        "   ahead by 3 of 3 on small, then large: 197 of 200 right, shown to be 0.951, "
        "3.00 + 0.28 calls, 0.8585 for 1,000",
        "   large: 200 of 200 right, shown to be 0.977, 1.00 calls, 2.02 for 1,000",
        "   left out: small: 0.720 is shown",
        "   left out: ahead by 4 on small: 0.650 is shown",
    ]


@pytest.mark.parametrize("sheets", [SHEETS, {"large": SHEETS["large"]}])
def test_an_op_with_a_reliability_is_delegated_like_any(sheets: Any) -> None:
    def program() -> Any:
        sure, _ = delegated(colour.using(reliability=0.5), 0.95, sheets)
        return [sure("easy").value]

    run, plain = ran(program), ran(asks("easy", sheets=sheets))
    assert run.result == plain.result == ["red"] and run.receipt.calls == plain.receipt.calls


def test_less_is_asked_for_and_less_is_paid() -> None:
    sheets = {"small": sheet("s", 0.02), "large": SHEETS["large"]}
    for reliability, asked in ((0.9, 1), (0.97, 3)):  # three must agree
        made = engines(small="red")
        run = ran(asks("easy", sheets=sheets, reliability=reliability), made=made)
        assert run.result == ["red"]
        assert (len(made["small"].seen), len(made["large"].seen)) == (asked, 0)


def test_without_prices_the_faster_one_is_asked() -> None:
    made = engines(small="red")
    sheets = {"small": sheet("s", latency_s=3.0), "large": sheet("l", latency_s=2.0)}
    assert execute(asks("easy", sheets=sheets), engine=made).result == ["red"]
    assert (len(made["small"].seen), len(made["large"].seen)) == (0, 1)


# -- queues ----------------------------------------------------------------------------------------


def crowd(count: int, **settings: Any) -> tuple[int, int]:
    """How many of some easy calls that begin at once go to the cheap and to the dear one."""
    made = {
        "small": Scripted("red", model="s", max_in_flight=2, latency_s=1),
        "large": Scripted("red", model="l", max_in_flight=2, latency_s=1),
    }
    sheets = {"small": sheet("s"), "large": sheet("l")}
    run = ran(asks(*map(str, range(count)), sheets=sheets, **settings), made=made)
    assert run.result == ["red"] * count
    return len(made["small"].seen), len(made["large"].seen)


def test_a_crowd_waits_for_the_cheap_one_as_long_as_it_may() -> None:
    assert crowd(40, within_s=60.0) == (40, 0)
    assert crowd(20, within_s=6.0) == (11, 9)  # a call takes a second, two at once
    assert crowd(40, within_s=6.0) == (20, 20)  # both are full: the sooner one


def test_two_of_one_price_share_the_work() -> None:
    made = {name: Scripted("red", model="s", max_in_flight=1, latency_s=1) for name in "ab"}
    sheets = {name: sheet("s") for name in made}
    run = execute(asks(*map(str, range(10)), sheets=sheets), engine=made)
    assert [len(each.seen) for each in made.values()] == [5, 5] and run.result == ["red"] * 10


def test_what_others_have_asked_is_waited_for_too() -> None:
    def program() -> Any:
        others = [colour(f"other {n}", sample=0) for n in range(20)]
        _ = others[0].value  # they are in the queue
        sure, _ = delegated(colour, 0.95, {"small": sheet("s"), "large": sheet("l")}, within_s=5.0)
        return sure("mine").value

    made = {
        "small": Scripted("red", model="s", max_in_flight=2, latency_s=1),
        "large": Scripted("red", model="l", latency_s=1),
    }
    assert ran(program, made=made).result == "red"
    assert [seen.operands["text"] for seen in made["large"].seen] == ["mine"]


# -- where it does not answer ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "broken",
    [ServerFault("down"), "mauve", ["red", "green"] * 200],
    ids=["host", "invalid", "unsure"],
)
def test_the_next_one_is_asked_where_the_first_gives_no_answer(broken: Any) -> None:
    made = engines(small=broken)
    run = ran(asks("easy"), made=made)
    assert run.result == ["red"] and made["small"].seen and made["large"].seen


def test_the_last_ones_word_is_taken() -> None:
    alone = {"small": sheet("s")}
    run = ran(asks("easy", sheets=alone), made=engines(small="mauve"))
    assert isinstance(run.error, ModelError) and "mauve" in str(run.error)
    rows = [case.model_copy(update={"once": int(case.id) % 5}) for case in drawn(0).cases]
    votes = drawn(0).model_copy(update={"cases": tuple(rows)})  # one call is right in a fifth
    alone = {"small": Datasheet(model="s", ops={"colour": votes})}
    run = ran(asks("hard", sheets=alone), made=engines(small=["red", "green"] * 99))
    assert isinstance(run.result[0], Unsure) and run.receipt.calls == 32


# -- never below what was asked --------------------------------------------------------------------

KINDS = {"plain": (0.7, 0.97, 0.99), "mixed": (0.2, 0.7, 0.97), "dice": (0.1, 1 / 3, 0.9)}


def population(count: int, dice: Random) -> tuple[OpSheet, OpSheet]:
    """Inputs of three kinds, drawn by a small and by a large model."""
    weights = [kind[0] for kind in KINDS.values()]
    inputs = dice.choices(list(KINDS.values()), weights, k=count)

    def rows(place: int) -> OpSheet:
        def draw(p: float) -> int:
            return 0 if dice.random() < p else dice.choice((1, 2))

        cases = tuple(
            CaseDraws(
                id=str(n),
                draws=tuple(draw(kind[place]) for _ in range(20)),
                right=(0,),
                once=draw(kind[place]),
            )
            for n, kind in enumerate(inputs)
        )
        return OpSheet(op="colour", digest="", temperature=0.7, cases=cases, tokens=(100, 1))

    return rows(1), rows(2)


def parts(small: OpSheet, large: OpSheet) -> list[Part]:
    return [Part("small", small, 1.0, 0.1), Part("large", large, 20.0, 0.1)]


def test_all_routes_are_as_reliable_as_was_asked_for() -> None:
    """Held against a large sample of the same inputs, with all rungs that are ever given."""
    small, large = parts(*population(4000, Random("fresh")))
    ways = [((small, large), rung) for rung in PAIR]
    ways += [((part,), rung) for part in (small, large) for rung in ONCE + VOTES]
    true = {(found := tried(*way)).name: found.right / found.cases for way in ways}
    kept, used = 0, Counter[str]()
    for seed in range(100):
        try:
            found = routes_of(parts(*population(200, Random(seed))), 0.93).routes
        except OutOfReach:
            found = ()
        used.update(route.name for route in found)
        kept += all(true[route.name] >= 0.93 for route in found)
    assert kept >= 95 and len(used) >= 2


# -- the benchmark ---------------------------------------------------------------------------------


def test_the_benchmark_asks_each_alone_and_then_all_together() -> None:
    def small(seen: Seen) -> str:
        text = seen.operands["text"]
        if "It was not" in text:  # what it cannot tell
            return Random(seen.request.id).choice(bench.COLOURS)
        return str(re.findall("|".join(bench.COLOURS), text)[-1])

    def large(seen: Seen) -> str:
        return str(re.findall("|".join(bench.COLOURS), seen.operands["text"])[-1])

    made = {"m-1m": Scripted(small, model="m-1m"), "m-2b": Scripted(large, model="m-2b")}
    with computer(made, prices={name: bench.price_of(name) for name in made}) as machine:
        sheets = {
            name: Datasheet(
                model=name,
                ops={
                    "colour": machine.run(
                        lambda name=name: draw_sheet(
                            bench.colour.using(processor=name), bench.CASES, 4
                        )
                    ).result
                },
            )
            for name in made
        }
        found = bench.measure(machine, sheets, 0.8, bench.colour, bench.fresh()[:20])
    one, other, both = found["rows"]
    assert one["right"] < 20 == other["right"] and both["right"] >= 19
    assert both["money"] < other["money"] and set(both["by"]) == set(made)
    assert "   ahead by 2 of 2 on m-1m, then m-2b: 59 of 60 right" in found["routes"]
    with pytest.raises(Usage, match="does not tell how large"):
        bench.price_of("mine")
