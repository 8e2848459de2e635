"""Planning: an op under the correction that cases show to be reliable enough.

    sure, choice = reliable(judge, 0.95, cases)          # asks the cases, within the run
    sure, choice = reliable(judge, 0.95, "sheet.json")   # reads them off a datasheet
    verdict = sure(question, text)

Theory of operation
-------------------
All recipes are tried on all cases at once, in a nested program. Their draws are the same where
their questions are (``corrections``, rule 2), so a ladder of votes costs what its longest one does.
What is chosen from that, and why, is in ``nlpu.eval.recipes``.

Rules
1. The draws are calls of the run, and what was chosen from them, or from a datasheet (with its
   digest), is noted in its journal: a run that goes on has the draws and keeps the choice.
2. A host's failure says nothing of a recipe: it ends the planning, and resumed it goes on.
3. The ladder of recipes is fixed before anything is asked; one's own is an argument.
4. What a file says is nobody's word: whoever plans by one has seen what is untrusted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from hashlib import blake2b
from itertools import chain
from math import ceil
from os import PathLike
from statistics import fmean
from typing import Any, Generic, NamedTuple, TypeVar

from nlpu.checks import RATE, check
from nlpu.errors import BadOp, BadOperand, ModelError, Usage
from nlpu.eval.bounds import check_plan
from nlpu.eval.cases import Case, cases_of
from nlpu.eval.datasheet import VOID, CaseDraws, Datasheet, OpSheet, sheet_in
from nlpu.eval.likeness import alike
from nlpu.eval.matching import plain, text_of
from nlpu.eval.metrics import means_the_same
from nlpu.eval.questions import Given, Question, questions
from nlpu.eval.recipes import Choice, Chosen, Trial, choose
from nlpu.eval.votes import Rule, needs
from nlpu.judgement import Judgement
from nlpu.label import UNTRUSTED
from nlpu.ops.op import Call, Op
from nlpu.printing import counted, one_line
from nlpu.runtime.eval.corrections.correction import Corrected, Subject, Unsure, ask, called
from nlpu.runtime.eval.corrections.voting import Vote, ahead_by
from nlpu.runtime.eval.evaluation import check_ops
from nlpu.runtime.graph.node import Node, Scope, current_scope
from nlpu.runtime.graph.spawning import Spawn
from nlpu.value import Value, current, remembered, see

R = TypeVar("R")
CAUTIOUS = (  # ahead, and of how many draws; in fine steps: one too many leaves more unanswered
    (5, 8),
    (4, 8),
    (4, 14),
    (3, 9),
    (3, 13),
    (3, 15),
    (3, 17),
    (3, 20),
    (2, 6),
    (2, 8),
    (2, 10),
)
_AHEAD = (4, 3, 2)


class Reliable(NamedTuple, Generic[R]):
    """An op as it is to be asked, and how that was chosen."""

    op: Subject[R]
    choice: Choice

    def __repr__(self) -> str:
        return one_line(f"Reliable({self.choice.trial})")


def ladder(op: Op[R], *, abstains: bool = False, temperature: float = 0.7) -> list[Subject[R]]:
    """Give the recipes that are tried by default, from the most cautious to the boldest."""
    rules = [*(CAUTIOUS if abstains else ()), *((k, 0) for k in _AHEAD)]
    return [*(ahead_by(k, most=most, temperature=temperature)(op) for k, most in rules), op]


def reliable(
    op: Op[R],
    reliability: float,
    cases: Any,
    *,
    abstain: float = 0.0,
    recipes: Sequence[Subject[R]] | None = None,
    metric: Given = None,
) -> Reliable[R]:
    """Give the op under the boldest recipe that is shown to be right so often.

    cases: a list or file of cases with known answers, or the file of a datasheet (``.json``).
    abstain: the share of inputs on which it may be ``Unsure``; what it does answer is then right
    as often as was asked for. recipes: from the most cautious to the boldest (``ladder``).
    Raises TooFewCases, OutOfReach; Usage where a datasheet is of another model, convention or text.
    """
    if not isinstance(op, Op):
        raise BadOp(f"reliable takes an op, not {op!r:.60}; give what corrects it as recipes=")
    if _is_sheet(cases):
        see(UNTRUSTED)  # rule 4; ``cases_of`` sees to other files
    op = replace(op, reliability=None)
    tried = _checked(op, recipes) if recipes is not None else ladder(op, abstains=abstain > 0)
    abstains, trials, scope = abstain > 0, list[Trial](), current_scope()
    if not _is_sheet(cases):
        known = cases_of(cases)
        check_plan(len(known), reliability, abstain)  # before any of them is asked
        given = (op, tried, known, abstains, metric)
        work = Spawn(try_recipes, try_recipes.__name__, given, as_is=True)
        trials = current().issue(work, ()).value

    def plan() -> dict[str, Any]:
        found, digest, left_out = trials, "", list[str]()
        if _is_sheet(cases):
            sheet = sheet_in(cases)
            if scope is not None:
                sheet.check_asked(**asked_now(op, scope))
            found, left_out = read_off(op, tried, sheet, abstains=abstains)
            digest = sheet.digest()
        chosen = choose(found, reliability, abstain)
        choice = chosen.model_copy(update={"left_out": tuple(left_out)})
        return {"sheet": digest, "choice": choice.model_dump(mode="json")}

    kept = remembered(plan, "a recipe")
    choice = Choice.model_validate(kept["choice"])
    if scope is not None:
        chosen = Chosen.of(op.name, reliability, choice, sheet=kept["sheet"])
        scope.run.chosen[f"{scope.path} {len(scope.run.chosen)}"] = chosen
    *before, name = [each.recipe for each in choice.trials[: choice.place + 1]]
    found = [each for each in tried if called(each) == name][before.count(name) :]
    if not found:
        raise Usage(
            f"the run chose {name} when it began, which is none of the recipes now: "
            "name it among them, or begin anew"
        )
    return Reliable(found[0], choice)


def _is_sheet(cases: Any) -> bool:
    return isinstance(cases, str | PathLike) and str(cases).endswith(".json")


def _checked(op: Op[R], recipes: Any) -> list[Subject[R]]:
    """Recipes that were given. Raises BadOp, BadOperand."""
    if not isinstance(recipes, list | tuple):
        raise BadOp(f"recipes must be a list of ops and corrected ops, not {recipes!r:.60}")
    for each in recipes:
        if not isinstance(each, Op | Corrected):
            raise BadOp(f"a recipe is an op, or a corrected one, not {each!r:.60}")
        base = each.op if isinstance(each, Corrected) else each
        if (base.operands, base.result) != (op.operands, op.result):
            raise BadOperand(f"the recipe {each!r} does not take and give what {op.name} does")
    return list(recipes)


def distinct(op: Op[Any], cases: Sequence[Case], metric: Given) -> tuple[Question, ...]:
    """Give the questions that the cases are to an op, if all are of it, and each shows something.

    Equal ones share their draws, so they show one answer. Raises BadOperand, Usage.
    """
    check_ops((op.name,), cases)
    asked, firsts = questions(op, cases, metric), dict[str, Question]()
    for question in asked:
        if question.asks != op:
            raise BadOperand(
                f"{_place(question)} has choices of its own: plan for the op that is made of them, "
                "or leave its 'choices' out"
            )
        first = firsts.setdefault(_asked(op, question), question)
        if first is not question:
            raise BadOperand(
                f"{_place(first)} and {_place(question)} have the same operands, and are asked "
                "once: each shows something only once, so leave one of them out"
            )
    return asked


def _place(question: Question) -> str:
    return question.case.where or question.case.id


def _asked(op: Op[Any], question: Question) -> str:
    """What tells a question's operands, as the op takes them, from others."""
    names = (place.name for place in op.operands)
    return digest_of(dict(zip(names, question.operands, strict=True)))


def digest_of(operands: Mapping[str, Any]) -> str:
    """Give what tells operands, by name, from others."""
    text = json.dumps(plain(operands), sort_keys=True, default=str)
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def asked_now(op: Op[Any], scope: Scope) -> dict[str, str]:
    """What a datasheet must be of, to tell of an op in this run."""
    run, can = scope.run, scope.run.processor(op.processor).capabilities
    system = {} if op.system is not None else {"system": str(run.header.get("system", ""))}
    return {
        "model": can.model,
        "source": can.source,
        "weights": can.weights,
        "convention": run.convention.version,
        **system,
    }


def read_off(
    op: Op[Any], tried: Sequence[Subject[Any]], sheet: Datasheet, *, abstains: bool
) -> tuple[list[Trial], list[str]]:
    """Trials from a datasheet, and which recipes it has too few draws for. Raises Usage."""
    found, left_out = list[Trial](), list[str]()
    for each in tried:
        base = _variant(op, each, sheet)
        mine = sheet.of(base.name, base.digest.hex())
        if odd := mine.other_draws(base.temperature):
            raise BadOperand(f"the datasheet tells of other votes: {odd}; draw it anew")
        rule = _rule_of(base, each, mine.temperature)
        if rule is not None and needs(rule) > mine.least:
            there = counted(mine.least, "draw")
            left_out.append(
                f"{called(each)} needs {needs(rule)} draws, and there are {there} a case"
            )
            continue
        (trial,) = mine.trials([rule], abstains=abstains)
        found.append(trial.model_copy(update={"recipe": called(each)}))
    if left_out and not found:
        raise Usage(f"the datasheet has too few draws: {'; '.join(left_out)}; draw more")
    return found, left_out


def _variant(op: Op[Any], recipe: Subject[Any], sheet: Datasheet) -> Op[Any]:
    """The op that a recipe is of: one in other words or with examples, if the sheet has it."""
    base = recipe if isinstance(recipe, Op) else recipe.op.using(temperature=0.0)
    known = base.processor == op.processor and sheet.has(base.name, base.digest.hex())
    return base if known else op


def _rule_of(op: Op[Any], recipe: Subject[Any], temperature: float) -> Rule | None:
    """The rule of a recipe that a sheet tells of; None: the op as it is. Raises BadOperand."""
    if recipe == op:
        return None
    if isinstance(recipe, Corrected) and isinstance(vote := recipe.by, Vote):
        drawn = replace(vote, temperature=temperature)(op)
        if not vote.flags and vote.equal is None and recipe.subjects == drawn.subjects:
            return vote.rule
    raise BadOperand(
        f"the datasheet tells of votes on {op.name} at temperature {temperature:g}, not of "
        f"{called(recipe)}: give cases"
    )


# -- trying ----------------------------------------------------------------------------------------


def try_recipes(
    op: Op[Any], recipes: Sequence[Subject[Any]], cases: Any, abstains: bool, metric: Given = None
) -> list[Trial]:
    """Try recipes on cases, all at once. A program."""
    asked = distinct(op, cases, metric)
    begun = [[ask(each, question.operands, 0) for question in asked] for each in recipes]
    found = []
    for recipe, values in zip(recipes, begun, strict=True):
        right = [_right(*pair) for pair in zip(asked, values, strict=True)]
        found.append(
            Trial(
                recipe=called(recipe),
                right=right.count(True),
                wrong=right.count(False),
                unsure=right.count(None),
                cost=fmean(map(_calls, values)),
                abstains=abstains,
            )
        )
    return found


def _right(question: Question, value: Value[Any]) -> bool | None:
    """Whether an answer is right; None: there is none to be sure of."""
    try:
        answer = value.value
    except ModelError:
        return False
    return None if isinstance(answer, Unsure) else is_right(question, answer)


def is_right(question: Question, answer: Any) -> bool:
    """Tell whether an answer is right, by the metric of its case; one that asks a model asks it."""
    if question.metric.asks:
        answer = means_the_same(question.expected, text_of(answer)).value
    return question.score(answer) == 1


def _calls(value: Value[Any]) -> int:
    """How many calls were issued for a Value, shared ones included."""
    inner = value.inner_scope if isinstance(value, Node) else None
    nodes = inner.subtree() if inner is not None else ()
    return sum(isinstance(node.node_work, Call) for node in nodes) if inner is not None else 1


# -- drawing a sheet -------------------------------------------------------------------------------


def draw_sheet(
    op: Op[Any], cases: Any, draws: int = 10, temperature: float = 0.7, metric: Given = None
) -> OpSheet:
    """Draw every case so often, and give the op's sheet. A program.

    temperature: of the draws, as of votes: the op's own, if it has one above 0.
    """
    check("draw_sheet", {"temperature": temperature}, {"temperature": RATE}, BadOperand)
    op = replace(op, reliability=None)  # what is measured is what that would be planned from
    temperature = op.temperature or temperature
    asked = distinct(op, cases_of(cases), metric)
    begun = [draws_of(question, draws, temperature) for question in asked]
    found = [case_draws(*pair) for pair in zip(asked, begun, strict=True)]
    costs = [
        v.call_cost for row in begun for v in row if isinstance(v, Node) and v.call_cost is not None
    ]
    seconds = sorted(cost.service_s for cost in costs) or [0.0]
    return OpSheet(
        op=op.name,
        digest=op.digest.hex(),
        temperature=temperature,
        cases=tuple(found),
        tokens=(
            fmean([cost.prompt_tokens for cost in costs] or [0]),
            fmean([cost.completion_tokens for cost in costs] or [0]),
        ),
        latency_s=(seconds[(len(seconds) - 1) // 2], seconds[ceil(0.95 * len(seconds)) - 1]),
        judged=tuple(chain.from_iterable(map(_judged, asked, begun))),
    )


def _judged(question: Question, values: Sequence[Value[Any]]) -> Iterator[tuple[float, bool]]:
    """What an op that judges found as it is, and the truth."""
    with suppress(ModelError):
        answer = values[0].value
        if isinstance(answer, Judgement):
            yield answer.probability, bool(question.expected)


def draws_of(question: Question, draws: int, temperature: float) -> list[Value[Any]]:
    """Ask the op as it is, then for its draws."""
    asks = question.asks
    assert isinstance(asks, Op)
    warm = asks.using(temperature=temperature)
    more = (warm(*question.operands, sample=number) for number in range(draws))
    return [asks(*question.operands), *more]


def case_draws(question: Question, values: Sequence[Value[Any]]) -> CaseDraws:
    """Give a case's draws by what is equal, as votes take it."""
    assert isinstance(question.asks, Op)
    kind, answers, row = question.asks.result.annotation, list[Any](), list[int]()
    for value in values:
        try:
            answer = value.value
        except ModelError:
            row.append(VOID)
            continue
        known = (place for place, each in enumerate(answers) if alike(each, answer, kind))
        place = next(known, len(answers))
        answers += [answer] * (place == len(answers))
        row.append(place)
    right = tuple(place for place, answer in enumerate(answers) if is_right(question, answer))
    texts = tuple(map(question.asks.result.render, answers))
    return CaseDraws(
        id=question.case.id,
        once=row[0],
        draws=tuple(row[1:]),
        right=right,
        answers=texts,
        asked=_asked(question.asks, question),
    )
