"""Idioms: ways of asking that work for any op.

    chain_of_thought     think aloud first, then answer
    selection_inference  choose facts, infer one step from them, until they suffice
    self_correction      criticise the draft and revise it, until it is good enough
    reflection           try, and on failure say what to do differently, and try again
    weave                grow a tree of continuations, keep those a judge likes best

Each is an ordinary program over ops, so it can be run by itself or called in a larger one, and each
gives its Value at once: a hundred of them run at the same time. Their loops are nested programs, so
what they look at does not hold up, and does not taint, the program that calls them. All end: after
a number of rounds, or of calls, that the caller sets, or earlier where nothing new comes. Votes,
checks and cascades make another op of an op: rooms of ``runtime/eval/corrections``.

    from nlpu.isa import answer
    from nlpu.programs.idioms import chain_of_thought
    from nlpu import Computer

    text = "The mill was built in 1712, the bridge in 1690."
    with Computer() as computer:
        print(computer.run(chain_of_thought, answer, "Which is older?", text).result)

The examples below go there, too.

(After: Wei and others, "Chain-of-thought prompting", 2022; Creswell and others,
"Selection-inference", 2022; Madaan and others, "Self-refine", 2023; Shinn and others, "Reflexion",
2023; and Yao and others, "Tree of thoughts", 2023.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import BaseModel

from nlpu import ModelError, Op, Value, spawn
from nlpu.isa import critique, infer, judge, numbered, picked, reflect, revise, select
from nlpu.ops.op import Operand
from nlpu.programs.calling import attempted, careful, nested
from nlpu.prompt.convention import FIRST
from nlpu.prompt.layout import written_operands
from nlpu.types.result import result_type

R = TypeVar("R")
TEXT = result_type(str)


# -- chain of thought --------------------------------------------------------------------------


def chain_of_thought(op: Op[R], *operands: Any) -> Value[R]:
    """The op's answer, given after thinking aloud about it: two calls.

    computer.run(chain_of_thought, judge, "Is the mill older than the bridge?", text)
    """
    thinking: Op[Any] = replace(
        op,
        name=f"think_about_{op.name}",
        result=TEXT,
        at_limit="trim",
        sampling=replace(op.sampling, max_tokens=160, stop=()),
        examples=(),
        calibration=None,  # they are of answers
        text=f"Think step by step, without giving the answer yet: {op.text}",
    )
    thoughts = careful(thinking, *operands)
    return knowing(op, "thoughts")(*operands, thoughts)


def knowing(op: Op[R], what: str) -> Op[R]:
    """The same op with one more text to read."""
    return replace(op, operands=(*op.operands, Operand(what, TEXT)), examples=())


# -- selection-inference -----------------------------------------------------------------------


class Derived(BaseModel):
    """The answer (None if no valid one came), and the facts that were inferred on the way."""

    answer: Any
    steps: list[str]
    sufficed: bool


@nested
def selection_inference(
    op: Op[Any], question: str, facts: Sequence[str], steps: int = 4
) -> Derived:
    """The op's answer to a question from some facts, and what was inferred from them before.

    facts = ["Ann is older than Bo.", "Bo is older than Cy."]
    computer.run(selection_inference, answer, "Who is oldest?", facts)

    A step is three calls: whether the facts suffice, and which of them matter, at the same time;
    then one new fact from those. It halts when they suffice or when no new fact comes.
    """
    known, sufficed = list(facts), False
    while len(known) < len(facts) + steps:
        texts = numbered(known)
        chosen = spawn(attempted, select, question, texts)
        halt = attempted(judge, f"Do the facts answer the question: {question}", texts)
        sufficed = halt is not None and halt.answer
        if sufficed:
            break
        matter = "\n".join(picked(chosen.value or [], known))
        new = attempted(infer, question, matter) if matter else None
        if new is None or new in known:
            break
        known.append(new)
    answer = attempted(op, question, numbered(known))
    return Derived(answer=answer, steps=known[len(facts) :], sufficed=sufficed)


# -- self-correction ---------------------------------------------------------------------------


class Corrected(BaseModel):
    """The last draft, the flaws that were found in earlier ones, and whether it will do."""

    answer: Any
    flaws: list[str]
    good_enough: bool


@nested
def self_correction(op: Op[Any], *operands: Any, rounds: int = 3) -> Corrected:
    """The op's answer, criticised and revised until the critic is content.

    computer.run(self_correction, summarize, text)

    One call for the first draft, one for its critique, then two a round: at most 2 + 2 * rounds.
    """
    task = task_of(op, operands)
    most = replace(revise.sampling, max_tokens=op.max_tokens)
    again = replace(revise, result=op.result, sampling=most, at_limit=op.at_limit)
    draft, flaws = op(*operands).value, list[str]()
    while (said := attempted(critique, task, op.result.render(draft))) is not None:
        if said.good_enough or len(flaws) == rounds:
            return Corrected(answer=draft, flaws=flaws, good_enough=said.good_enough)
        flaws.append(said.flaw)
        better = attempted(again, task, op.result.render(draft), said.flaw)
        if better is None or better == draft:
            break
        draft = better
    return Corrected(answer=draft, flaws=flaws, good_enough=False)


def task_of(op: Op[Any], operands: Sequence[Any]) -> str:
    """What a call asks, as a text that another op can read. Waits for the operands."""
    contents = [each.value if isinstance(each, Value) else each for each in operands]
    texts = [
        place.type.render(content) for place, content in zip(op.operands, contents, strict=True)
    ]
    return f"{op.text}\n{written_operands(FIRST, op, texts)}"


# -- reflection --------------------------------------------------------------------------------


class Tried(BaseModel):
    """The last attempt (None if it was not valid), and what was learnt from those before."""

    answer: Any
    lessons: list[str]
    passed: bool


@nested
def reflection(op: Op[R], *operands: Any, check: Callable[[R], str], attempts: int = 3) -> Tried:
    """The op's answer that passes a check, each attempt knowing why those before it failed.

    short = lambda said: "" if len(said) < 200 else "It is too long."
    computer.run(reflection, summarize, text, check=short)

    ``check`` says what is wrong with an answer, "" if nothing is; it may call ops itself. A reply
    that is not valid is a failed attempt too. Two calls an attempt, one for the last.
    """
    task, lessons = task_of(op, operands), list[str]()
    asked, given = op, operands
    while True:
        answer = None
        try:
            answer = asked(*given).value
            failure = check(answer)
        except ModelError as error:
            failure = str(error)
        if not failure or len(lessons) == attempts - 1:
            return Tried(answer=answer, lessons=lessons, passed=not failure)
        shown = "(nothing valid)" if answer is None else op.result.render(answer)
        lessons.append(attempted(reflect, task, shown, failure) or failure)
        asked, given = knowing(op, "lessons"), (*operands, numbered(lessons))


# -- weave -------------------------------------------------------------------------------------


class Branch(BaseModel):
    """A text, and how probable the judge finds it that the answer about it is yes."""

    text: str
    probability: float


@nested
def weave(
    op: Op[str],
    text: str,
    question: str,
    *,
    width: int = 3,
    keep: int = 2,
    depth: int = 3,
    calls: int = 48,
) -> list[Branch]:
    """The best continuations of a text, best first: a tree of draws, pruned by a judge.

    tell_on = op("Write the next sentence of the story.", str, max_tokens=24, at_limit="trim")
    computer.run(weave, tell_on, "The lamp went out.", "Is this story exciting?")

    Each of the texts kept is continued ``width`` times, all at the same time, and each new text is
    judged as soon as it is there; the ``keep`` most probable ones go on, for ``depth`` levels. A
    new text is two calls, and there are never more than ``calls``, the best texts going first.
    """
    draw = op if op.temperature else op.using(temperature=0.8)
    kept = [Branch(text=str(text), probability=0.0)]
    for _ in range(depth):
        parents = (kept * width)[: calls // 2]
        calls -= 2 * len(parents)
        grown = [spawn(_grown, draw, parent.text, question) for parent in parents]
        new = {branch.text: branch for each in grown if (branch := each.value) is not None}
        if not new:
            break
        kept = sorted(new.values(), key=lambda branch: -branch.probability)[:keep]
    return kept


def _grown(draw: Op[str], text: str, question: str) -> Branch | None:
    """One continuation and its judgement; None where a reply was not valid."""
    try:
        longer = f"{text} {draw(text)}"
        return Branch(text=longer, probability=judge(question, longer).value.probability)
    except ModelError:
        return None
