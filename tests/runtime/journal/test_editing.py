"""Edits: exactly what depends on one by data or control is made again, and nothing else."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from journal_kit import Opened
from kit import asked, computer, count, echo, execute, finish, merge, resumed, shorten, yes

from nlpu import lift
from nlpu.errors import BadOperand, Usage
from nlpu.runtime import Budget, Run, first, now, random, spawn
from nlpu.runtime.journal.edits import Edits
from nlpu.runtime.journal.records import past_of
from nlpu.runtime.loader import load
from nlpu.runtime.terminal.show.archive import find
from nlpu.runtime.terminal.show.difference import difference_of
from nlpu.testing.scripted import Scripted, Seen


def nested(seen: Seen) -> str:
    """What was asked, so that every result tells all it came from; answers to count are coarse."""
    operands = ",".join(seen.operands.values())
    if seen.instruction.startswith("Is it"):
        return "yes" if len(operands) % 2 else "no"
    if seen.instruction.startswith("How many"):
        return str(len(operands) // 1000)
    return f"{seen.instruction[0].lower()}({operands})"


def digested(seen: Seen) -> str:
    """As ``nested``, but of one length, however deep the graph."""
    digest = sha256(nested(seen).encode()).hexdigest()[:12]
    if seen.instruction.startswith("Is it"):
        return "yes" if int(digest, 16) % 2 else "no"
    return str(int(digest, 16) % 2) if seen.instruction.startswith("How many") else digest


def edited(
    run_dir: Path, run: Run, program: Any, *args: Any, script: Any = nested, **edits: Any
) -> tuple[Run, Scripted]:
    """The run made anew with edits, and the engine that saw what was asked of it."""
    engine = Scripted(script)
    with computer(engine, run_dir=run_dir) as machine:
        return finish(machine.rerun(run.name, program, *args, edits=Edits(**edits))), engine


def past_life(run_dir: Path, run: Run) -> Any:
    stem, _, part = run.name.partition(".")
    journal = Opened(run_dir / f"{stem}.db", read_only=True)
    journal.close()
    number = int(part or 1)
    found = journal.read(number)
    return past_of(found.rows), found.texts


def web(seed: int, nodes: int) -> list[Any]:
    """A random graph of calls: each reads one or two earlier ones; some branch, some forget."""
    chance, made = Random(seed), [echo("root")]
    while len(made) < nodes:
        one, other = chance.choice(made), chance.choice(made)
        kind = chance.randrange(10)
        if kind == 0:
            made.append(lift(str)(count(one)))  # coarse: most edits do not get past it
        elif kind == 1 and bool(yes(other)):  # what follows depends on it by control
            made.append(shorten(one))
        else:
            made.append(merge(one, other))
    return made


def of_calls(run_dir: Path, run: Run) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Op and operand texts by position."""
    past, texts = past_life(run_dir, run)
    return {
        at: (past.ops[call.op].name, tuple(texts[number] for number in call.texts))
        for at, call in past.calls.items()
    }


@given(seed=st.integers(0, 10**6), where=st.floats(0, 0.999))
@example(seed=0, where=0.0625)  # the edited call has an equal
@settings(max_examples=12, deadline=None)
def test_only_calls_whose_inputs_changed_are_made_again(
    tmp_path_factory: pytest.TempPathFactory, seed: int, where: float
) -> None:
    run_dir = tmp_path_factory.mktemp("runs")
    old = execute(web, seed, 300, engine=Scripted(digested), run_dir=run_dir)
    assert old.error is None
    before = of_calls(run_dir, old)
    texts = [at for at in before if before[at][0] in ("echo", "merge", "shorten")]
    at = texts[int(where * len(texts))]
    new, engine = edited(
        run_dir, old, web, seed, 300, script=digested, results={at: "something else"}
    )
    after = of_calls(run_dir, new)
    known = {call for where, call in before.items()}
    changed = {call for where, call in after.items() if where != at and call not in known}
    assert new.receipt.attempts == len(engine.seen) == len(changed)
    differing = [where for where in before if after.get(where) != before[where]]
    assert at not in differing, "its own operands are as they were"
    kept = {call for where, call in after.items() if where != at} - changed
    assert new.receipt.reused == len(kept) + 1


def branching(text: str) -> Any:
    opinion = yes(text)
    apart = shorten("apart from all")
    return (echo("then") if opinion else echo("else")), apart


def test_what_depends_by_control_is_made_again_and_nothing_else(tmp_path: Path) -> None:
    old = execute(branching, "odd", engine=Scripted(nested), run_dir=tmp_path)
    assert old.result == ("r(then)", "s(apart from all)")
    new, engine = edited(tmp_path, old, branching, "odd", results={"main/0": "no"})
    assert new.result == ("r(else)", "s(apart from all)")
    assert asked(engine) == ["else"]


def test_an_edit_that_changes_nothing_downstream_is_cut_off(tmp_path: Path) -> None:
    def program() -> Any:
        return echo(lift(str)(count(echo("text"))))  # in thousands: the same for both texts

    old = execute(program, engine=Scripted(nested), run_dir=tmp_path)
    new, engine = edited(tmp_path, old, program, results={"main/0": "another text"})
    assert (asked(engine), new.result) == (["another text"], old.result)


def test_an_ops_text_can_be_edited(tmp_path: Path) -> None:
    def program() -> Any:
        return [merge(shorten(echo(name)), echo(name)) for name in "abc"]

    old = execute(program, engine=Scripted(nested), run_dir=tmp_path)
    new, engine = edited(tmp_path, old, program, ops={"shorten": "Keep one word."})
    assert new.result == [f"m(k(r({name})),r({name}))" for name in "abc"]
    assert len(engine.seen) == 6
    assert new.receipt.reused == 3


def test_equal_calls_keep_their_own_result(tmp_path: Path) -> None:
    def program() -> Any:
        return echo("same"), echo("same")

    old = execute(program, engine=Scripted(nested), run_dir=tmp_path)
    new, engine = edited(tmp_path, old, program, results={"main/0": "mine"})
    assert new.result == ("mine", "r(same)")
    assert engine.seen == []


def outside() -> Any:
    """All that a program can get from outside, and a nested program."""
    draws = echo.using(temperature=0.7)("draw", samples=3)
    which = first(echo("one"), shorten("two"))
    stamp = f"{now().isoformat()} {random().random()}"
    inner = spawn(lambda: shorten(echo("inner")))
    return merge(stamp, which), draws, inner, merge(echo("edited"), lift(str.upper)(inner))


def test_time_chance_draws_and_picks_are_the_old_runs(tmp_path: Path) -> None:
    old = execute(outside, engine=Scripted(nested), run_dir=tmp_path)
    past, texts = past_life(tmp_path, old)
    at = next(at for at, call in past.calls.items() if texts[call.texts[0]] == "edited")
    new, engine = edited(tmp_path, old, outside, results={at: "so"})
    assert asked(engine) == ["so"]
    assert new.result[:3] == old.result[:3]


def test_edits_of_edits_add_up_and_every_run_can_be_replayed(tmp_path: Path) -> None:
    def program() -> Any:
        return merge(echo("a"), echo("b")), now().isoformat()

    old = execute(program, engine=Scripted(nested), run_dir=tmp_path)
    second, _ = edited(tmp_path, old, program, results={"main/0": "A"})
    third, engine = edited(tmp_path, second, program, results={"main/1": "B"})
    assert third.result == ("m(A,B)", old.result[1])
    assert asked(engine) == ["A"]
    assert [run.name.partition(".")[2] for run in (old, second, third)] == ["", "2", "3"]
    for run in (old, second, third):
        again = resumed(tmp_path, run, program, engine=Scripted("never asked"), replay=True)
        assert (again.result, again.receipt.attempts) == (run.result, 0)
    link = past_life(tmp_path, third)[0].header["from"]
    assert link["run"] == second.name
    assert set(link["results"]) == {"main/0", "main/1"}


def test_an_edited_run_that_was_stopped_resumes_with_its_edits(tmp_path: Path) -> None:
    def program() -> Any:
        return shorten(merge(echo("a"), echo("b")))

    old = execute(program, engine=Scripted(nested), run_dir=tmp_path)
    with computer(Scripted(nested), run_dir=tmp_path) as machine:
        edits = Edits(results={"main/0": "A"})
        cut = machine.rerun(old.name, program, edits=edits, budget=Budget(calls=1))
        assert finish(cut).status == "stopped"
    engine = Scripted(nested)
    done = resumed(tmp_path, cut, program, engine=engine, budget=Budget(calls=2))
    assert done.result == "s(m(A,r(b)))"
    assert len(engine.seen) == 1


@pytest.mark.parametrize(
    ("edits", "says"),
    [
        ({"results": {"main/9": "x"}}, "no call at 'main/9'.*main/0"),
        ({"ops": {"nope": "x"}}, "called no op 'nope'.*yes"),
    ],
)
def test_an_edit_that_fits_nothing_is_bad_usage(tmp_path: Path, edits: Any, says: str) -> None:
    old = execute(branching, "odd", engine=Scripted(nested), run_dir=tmp_path)
    with pytest.raises(Usage, match=says):
        edited(tmp_path, old, branching, "odd", **edits)


def test_a_text_that_is_no_result_of_the_op_is_the_programs_fault(tmp_path: Path) -> None:
    old = execute(branching, "odd", engine=Scripted(nested), run_dir=tmp_path)
    new, _ = edited(tmp_path, old, branching, "odd", results={"main/0": "perhaps"})
    assert isinstance(new.error, BadOperand)
    assert "main/0" in str(new.error)


def drafts() -> Any:
    made = []
    for number in range(2):
        draft = echo(f"topic {number}")
        made.append(shorten(draft) if yes(draft) else draft)
    return made


def test_an_edit_belongs_to_its_op_and_says_where_it_was_not_used(tmp_path: Path) -> None:
    script = {"Is it": "no", "Repeat": "draft", "Shorten": "better"}
    old = execute(drafts, engine=Scripted(script), run_dir=tmp_path)
    with computer(Scripted(script), run_dir=tmp_path) as machine:
        edits = Edits({"main/1": "yes", "main/2": "new draft"})
        new = finish(machine.rerun(old.name, drafts, edits=edits))
    assert new.result == ["better", "draft"], "main/2 was echo, and is shorten now"
    assert "at main/2: not edited there" in str(new.divergence)


def racing(chosen: str) -> Any:
    def check(text: str) -> str:
        if text == "fail":
            raise ValueError("as it was told to")
        return text

    winner = first(lift(check)(echo(chosen)), shorten(echo(shorten(chosen))))
    return merge(winner, "end")


def test_an_old_winner_that_fails_now_lets_another_win(tmp_path: Path) -> None:
    old = execute(racing, "a", engine=Scripted(nested), run_dir=tmp_path)
    assert old.result == "m(r(a),end)"
    new, _ = edited(tmp_path, old, racing, "a", results={"main/0": "fail"})
    assert new.result == "m(s(r(s(a))),end)"
    again = resumed(tmp_path, new, racing, "a", engine=Scripted("never"), replay=True)
    assert again.result == new.result
    differing = difference_of(*(find(tmp_path, run.name) for run in (old, new)))
    assert differing["first"]["position"] == "main/0", "what lost the race is no difference"


def test_arguments_have_one_form_however_they_were_given(tmp_path: Path) -> None:
    with computer(Scripted(nested), run_dir=tmp_path) as machine:
        old = finish(machine.start(branching, text="odd"))
        new = finish(machine.rerun(old.name, branching, "odd", edits=Edits()))
    assert difference_of(*(find(tmp_path, run.name) for run in (old, new)))["same_arguments"]


def test_a_source_that_has_changed_since_is_named(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(CHANGING.format(first=""))
    old = execute(load(f"{tmp_path}/one.py:go").function, engine=Scripted(nested), run_dir=tmp_path)
    (tmp_path / "one.py").write_text(CHANGING.format(first="tell('extra')"))
    with computer(Scripted(nested), run_dir=tmp_path) as machine:
        program = load(f"{tmp_path}/one.py:go").function
        new = finish(machine.rerun(old.name, program, edits=Edits({"main/0": "x"})))
    assert "source has changed since" in str(new.divergence)


CHANGING = """
from nlpu import op
tell = op("Tell", name="tell")
def go():
    {first}
    return tell("item")
"""
