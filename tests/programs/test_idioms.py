"""Idioms on the scripted engine, counting calls; and on the embedded model, where they must end."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from kit import execute, resumed
from pydantic_core import to_json

from nlpu import ModelError, Value, nlop
from nlpu.isa import answer, decompose, summarize
from nlpu.label import UNTRUSTED, USER
from nlpu.programs.idioms import (
    chain_of_thought,
    reflection,
    selection_inference,
    self_correction,
    weave,
)
from nlpu.runtime import Computer, Run
from nlpu.testing.scripted import Say, Scripted, Seen

FACTS = ["Ann is older than Bo.", "Bo is older than Cy.", "The kettle is blue."]
TEXT = "The mill was built in 1712, the bridge in 1690."


@nlop(max_tokens=16, at_limit="trim")
def tell_on(text: str) -> str:
    """Write the next sentence of the story."""


def ran(program: Callable[..., Any], *args: Any, script: Any, **named: Any) -> tuple[Run, Scripted]:
    engine = Scripted(script)
    return execute(lambda: program(*args, **named), engine=engine), engine


def by_op(engine: Scripted) -> Counter[str]:
    """Calls by the first word of their instruction."""
    return Counter(seen.instruction.split()[0] for seen in engine.seen)


# -- chain of thought ------------------------------------------------------------------------------


def test_an_answer_is_given_with_the_thoughts_before_it() -> None:
    script = {"Think step by step": "1690 is before 1712.", "Answer": "The bridge."}
    run, engine = ran(chain_of_thought, answer, "Which is older?", TEXT, script=script)
    assert run.result == "The bridge."
    thinking, concluding = engine.seen
    assert thinking.operands == {"question": "Which is older?", "text": TEXT}
    assert concluding.operands == thinking.operands | {"thoughts": "1690 is before 1712."}


def test_the_result_has_the_type_of_the_op() -> None:
    script = {"Think step by step": "Two things.", "List": '["Boil it.","Eat it."]'}
    run, _ = ran(chain_of_thought, decompose, "Egg.", script=script)
    assert run.result == ["Boil it.", "Eat it."]


# -- selection-inference ---------------------------------------------------------------------------


def derive(seen: Seen) -> str:
    """Infers that Ann is older than Cy from the first two facts, which then suffice."""
    enough = "Ann is older than Cy." in str(seen.operands)
    if seen.instruction.startswith("Give the numbers"):
        return "[2,1,9]"
    if "with what follows" in seen.instruction:
        assert seen.operands["facts"] == "Bo is older than Cy.\nAnn is older than Bo."
        return "Ann is older than Cy."
    return ("yes" if enough else "no") if seen.request.constraint else "Ann"


def test_facts_are_inferred_until_they_suffice() -> None:
    run, engine = ran(selection_inference, answer, "Who is oldest?", FACTS, script=derive)
    assert (run.result.answer, run.result.sufficed) == ("Ann", True)
    assert run.result.steps == ["Ann is older than Cy."]
    assert run.receipt.calls <= 6  # twice judge and select, infer, answer; the last select may stop
    assert engine.seen[-1].operands["text"].splitlines()[-1] == "4. Ann is older than Cy."


def test_it_halts_when_nothing_new_comes() -> None:
    script = {
        "Give the numbers": "[1]",
        "with what follows": FACTS[0],
        "yes or no": "no",
        "few words": "Ann",
    }
    run, _ = ran(selection_inference, answer, "Who is oldest?", FACTS, script=script)
    assert (run.result.answer, run.result.steps, run.receipt.calls) == ("Ann", [], 4)
    none = script | {"Give the numbers": "[]"}
    assert ran(selection_inference, answer, "Who?", FACTS, script=none)[0].receipt.calls == 3


def test_selecting_and_halting_are_asked_at_the_same_time() -> None:
    def script(seen: Seen) -> Say:
        return Say(derive(seen), seconds=1.0)

    run, _ = ran(selection_inference, answer, "Who is oldest?", FACTS, script=script)
    assert run.receipt.seconds == pytest.approx(4.0)  # both, infer, both, answer


# -- self-correction -------------------------------------------------------------------------------


def criticism(*verdicts: bool) -> Callable[[Seen], str]:
    """Drafts with a number; a critic who is content as told."""
    given = iter(verdicts)
    drafts = iter(range(100))

    def script(seen: Seen) -> str:
        if "worst flaw" in seen.instruction:
            return json.dumps({"flaw": "Too long.", "good_enough": next(given)})
        return f"Draft {next(drafts)}."

    return script


@pytest.mark.parametrize(
    ("verdicts", "answered", "calls"),
    [((True,), "Draft 0.", 2), ((False, True), "Draft 1.", 4), ((False,) * 3, "Draft 2.", 6)],
)
def test_a_draft_is_revised_until_the_critic_is_content(
    verdicts: tuple[bool, ...], answered: str, calls: int
) -> None:
    run, engine = ran(self_correction, summarize, TEXT, script=criticism(*verdicts), rounds=2)
    assert (run.result.answer, run.result.good_enough) == (answered, verdicts[-1])
    assert run.result.flaws == ["Too long."] * (len(verdicts) - 1)
    assert run.receipt.calls == calls
    assert (
        engine.seen[1].operands["task"].startswith("Summarise the text in three sentences.\ntext:")
    )


def test_a_revision_that_changes_nothing_is_the_last() -> None:
    script = {"worst flaw": '{"flaw":"So.","good_enough":false}', "": "The same."}
    run, _ = ran(self_correction, summarize, TEXT, script=script)
    assert (run.result.answer, run.receipt.calls, run.result.flaws) == ("The same.", 3, ["So."])


def test_a_typed_draft_is_revised_as_its_type() -> None:
    flaws = iter([False, True])

    def script(seen: Seen) -> str:
        if "worst flaw" in seen.instruction:
            return json.dumps({"flaw": "One is missing.", "good_enough": next(flaws)})
        return '["a","b"]' if "draft" in seen.operands else '["a"]'

    run, engine = ran(self_correction, decompose, "All of it.", script=script)
    assert run.result.answer == ["a", "b"]
    assert engine.seen[2].operands["draft"] == '["a"]'


# -- reflection ------------------------------------------------------------------------------------


def test_each_attempt_knows_why_those_before_it_failed() -> None:
    def script(seen: Seen) -> str:
        if "next time" in seen.instruction:
            return f"Not {seen.operands['attempt']}: {seen.operands['failure']}"
        return f"Take {seen.operands.get('lessons', '').count('Not') + 1}"

    def check(said: str) -> str:
        return "" if said == "Take 3" else "wrong"

    run, engine = ran(reflection, answer, "Who?", TEXT, check=check, script=script)
    assert run.result.passed and run.result.answer == "Take 3"
    assert run.result.lessons == ["Not Take 1: wrong", "Not Take 2: wrong"]
    assert engine.seen[-1].operands["lessons"] == "1. Not Take 1: wrong\n2. Not Take 2: wrong"
    assert run.receipt.calls == 5


def test_attempts_run_out_and_an_invalid_reply_is_a_failed_one() -> None:
    script = {"next time": "Write a list.", "List": "no list"}
    never: Callable[[Any], str] = lambda found: "never good"  # noqa: E731
    run, _ = ran(reflection, decompose, "Egg.", check=never, attempts=2, script=script)
    assert (run.result.answer, run.result.passed) == (None, False)
    assert run.result.lessons == ["Write a list."]
    assert (run.receipt.calls, run.receipt.asked_again) == (3, 2)


# -- weave -----------------------------------------------------------------------------------------


def grow(seen: Seen) -> Say:
    """Continuations are numbered by arrival; the more of the number 1, the more probable."""
    if "question" in seen.operands:
        share = min(0.99, seen.operands["text"].count("1") / 10)
        return Say("no", probabilities=(share, 1 - share))
    return Say(str(int(seen.request.id.split(":")[1]) % 4), seconds=0.5)


def test_the_best_of_each_level_go_on() -> None:
    run, engine = ran(weave, tell_on, "Once.", "Is it exciting?", script=grow)
    assert run.receipt.calls <= 2 * (3 + 6 + 6)  # equal texts are judged once
    assert len(run.result) == 2
    levels = [seen.operands["text"] for seen in engine.seen if "question" not in seen.operands]
    assert Counter(text.count(" ") for text in levels) == {0: 3, 1: 6, 2: 6}
    first, second = (branch.probability for branch in run.result)
    assert first >= second and run.result[0].text.startswith("Once. ")


@pytest.mark.parametrize(("calls", "made"), [(0, 0), (1, 0), (2, 1), (9, 4), (18, 9), (22, 11)])
def test_no_more_calls_than_it_may_make(calls: int, made: int) -> None:
    names = iter(range(1000))

    def script(seen: Seen) -> str:
        return "yes" if "question" in seen.operands else f"{next(names)}."

    run, engine = ran(weave, tell_on, "Once.", "Is it?", calls=calls, script=script)
    assert run.receipt.calls == 2 * made <= calls
    assert len(engine.seen) == 2 * made and run.result


def test_a_level_has_no_barrier() -> None:
    """A slow continuation holds up nobody's judgement but its own."""
    order: list[str] = []
    draws = iter("abc")

    def script(seen: Seen) -> Say:
        if "question" in seen.operands:
            order.append(f"judged {seen.operands['text'][-1]}")
            return Say("yes")
        name = next(draws)
        return Say(name, seconds=9.0 if name == "b" else 1.0)

    run, _ = ran(weave, tell_on, "Once.", "Is it?", depth=1, script=script)
    assert sorted(order[:2]) == ["judged a", "judged c"] and order[2] == "judged b"
    assert run.receipt.seconds == pytest.approx(9.0)


# -- all of them -----------------------------------------------------------------------------------


def all_five() -> list[Value[Any]]:
    return [
        chain_of_thought(answer, "Which is older?", TEXT),
        selection_inference(answer, "Who is oldest?", FACTS, steps=2),
        self_correction(answer, "Which is older?", TEXT, rounds=1),
        reflection(
            answer,
            "Which?",
            TEXT,
            check=lambda said: "" if "1690" in said else "No year.",
            attempts=2,
        ),
        weave(tell_on, "The lamp went out.", "Is this exciting?", width=2, depth=2),
    ]


@pytest.mark.parametrize("seed", range(8))
def test_they_end_whatever_the_model_says(seed: int) -> None:
    dice = Random(seed)
    said: dict[Any, str] = {}
    strange = ["", " ", "no", "[1,2]", "\x1b[2J", "```", "é" * 400, "Draft.", "<|im_end|>"]

    def script(seen: Seen) -> str:
        known = (seen.instruction, *seen.operands.values(), seen.request.id.split(":")[1])
        if seen.request.constraint is None or dice.random() < 0.3:
            return said.setdefault(known, dice.choice(strange))
        return said.setdefault(
            known, {"choice": "yes", "json": "[1]"}.get(seen.request.constraint.kind, "1")
        )

    def program() -> list[bool]:
        return [ends(idiom) for idiom in all_five()]

    assert execute(program, engine=Scripted(script)).result == [True] * 5


def ends(idiom: Value[Any]) -> bool:
    """An idiom of an op that gives nothing valid fails as the op does."""
    try:
        return idiom.value is not None
    except ModelError:
        return True


def test_they_run_at_the_same_time_and_replay_to_the_byte(tmp_path: Path) -> None:
    run = execute(all_five, engine=Scripted(latency_s=1.0), run_dir=tmp_path)
    assert run.status == "done", run.error
    assert run.receipt.parallelism > 1.5
    silent = Scripted("never asked")
    again = resumed(tmp_path, run, all_five, engine=silent, replay=True)
    assert to_json(again.result) == to_json(run.result) and not silent.seen


def test_what_they_look_at_does_not_taint_the_program() -> None:
    def program() -> Any:
        found = Value(TEXT, UNTRUSTED)
        corrected = self_correction(summarize, found)
        own = answer("Who?", "Ann did.")
        return [str(own) and own.label, corrected.value and corrected.label]

    assert ran(program, script=criticism(True))[0].result == [USER, UNTRUSTED]


@pytest.mark.slow
@pytest.mark.local
def test_they_end_well_formed_on_the_embedded_model() -> None:
    with Computer("local") as computer:
        run = computer.start(all_five).wait()
        assert run.status == "done", run.error
        thought, derived, corrected, tried, branches = run.result
        assert thought and len(derived.steps) <= 2 and len(corrected.flaws) <= 1
        assert tried.passed == ("1690" in (tried.answer or ""))
        assert 1 <= len(branches) <= 2 and all(0 <= b.probability <= 1 for b in branches)
