"""Reliability asked for: how calls are made that must be right so often, planned from datasheets.

Theory of operation
-------------------
Such a call (``nlpu.reliability``) is a nested program: the op under the recipe that the run chose
for it, once for all equal calls. Of each processor that has a datasheet of the op, votes are tried
on what was drawn there, from the most cautious to the boldest (``planning``), and of those that are
shown to do the cheapest is taken: by price, where processors have one, else by time.

Rules
1. What was chosen and why is noted in the journal, with the datasheet's digest, at a position that
   does not depend on who asked first: a run that goes on keeps it, whatever became of the file.
   Before that, the files must be as they were when the run began (``sheet_files``), but for a run
   that failed: what it lacked may have been a better one.
2. Each processor's recipes are a sequence of their own: of n, each is shown at a level of 0.05 / n.
3. Of several calls that must all be right, each may fail with its share of what the whole may.
   From a whole truth table it is a forecast, by the formulae of votes, of its own inputs alone.
4. A run's promise is of as many calls as it says; one more is refused.
5. Datasheets of a computer are its user's word, as its models are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import prod
from typing import Any, NamedTuple

from nlpu.errors import BadOperand, NlpuError, Usage
from nlpu.eval.bounds import LEVEL, NotMeasured, OutOfReach, TooFewCases
from nlpu.eval.datasheet import Datasheet, OpSheet, sheet_in
from nlpu.eval.recipes import Choice, Chosen, choose
from nlpu.eval.sheet_files import check_same, files_of
from nlpu.eval.votes import Ahead, ahead_over, chances_of, right_ahead
from nlpu.ops.op import Op
from nlpu.printing import counted
from nlpu.processor import FREE, Processor
from nlpu.reliability import Reliability, Reliably
from nlpu.runtime import settings
from nlpu.runtime.eval.corrections.correction import Corrected, Subject, ask, called
from nlpu.runtime.eval.corrections.voting import Vote, ahead_by
from nlpu.runtime.eval.planning import asked_now, digest_of, ladder, read_off
from nlpu.runtime.graph.kind import KINDS, Kind
from nlpu.runtime.graph.node import Node, current_scope
from nlpu.runtime.graph.spawning import Spawn, spawn_issued, spawn_ready
from nlpu.runtime.ports import GraphPort
from nlpu.runtime.run import RunState
from nlpu.value import Value, own

_PLAN = "how reliable calls are made"


def ask_reliably(op: Op[Any], asked: Reliability, operands: tuple[Any, ...], sample: int) -> Any:
    """Give the answer of an op under the recipe that the run has for it. A program."""
    scope = current_scope()
    assert scope is not None  # it is a nested program
    subject, table = planned(scope.run, op, asked)
    if table:
        names = [place.name for place in op.operands]
        contents = [each.value if isinstance(each, Value) else each for each in operands]
        if digest_of(dict(zip(names, contents, strict=True))) not in table:
            raise BadOperand(
                f"{op.name} was asked something that is none of the {len(table)} inputs of its "
                "datasheet: with table= nothing is foretold of others; leave it out, or measure it"
            )
    if isinstance(subject, Corrected):
        return subject.by.correct(subject.subjects, operands, sample)
    return ask(subject, operands, sample)


def planned(run: RunState, op: Op[Any], asked: Reliability) -> tuple[Subject[Any], tuple[str, ...]]:
    """The op as it is asked in a run (rule 1), and of what alone. Raises NotMeasured, Usage."""
    op = replace(op, reliability=None)
    on = f" on {op.processor}" if op.processor else ""
    position = f"main/reliably/{op.name}{on} {op.digest.hex()} {asked!r}"
    if position not in run.chosen:
        noted = run.replay.heard(position, _PLAN)
        run.chosen[position] = (
            _planned_anew(run, position, op, asked)
            if noted is None
            else Chosen.model_validate(noted)
        )
    chosen = run.chosen[position]
    there = replace(op, processor=chosen.processor or op.processor)
    if not chosen.ahead:
        return there, chosen.inputs
    vote = ahead_by(chosen.ahead, most=chosen.most, temperature=chosen.temperature)
    return vote(there), chosen.inputs


def _planned_anew(run: RunState, position: str, op: Op[Any], asked: Reliability) -> Chosen:
    """What is chosen now, noted; a run that cannot plan it is told so once, and then again."""
    if position in run.unplanned:
        raise run.unplanned[position].with_traceback(None)
    try:
        made = _plan(run, op, asked)
    except NlpuError as error:
        run.unplanned[position] = error
        raise
    run.note(position, _PLAN, made.model_dump(mode="json"))
    return made


# -- planning --------------------------------------------------------------------------------------


class _Measured(NamedTuple):
    """An op on a processor, and what a datasheet has of it there. spent: by one call."""

    op: Op[Any]
    sheet: Datasheet
    mine: OpSheet
    spent: float


def _plan(run: RunState, op: Op[Any], asked: Reliability) -> Chosen:
    """The cheapest that is shown to do. Raises NotMeasured, TooFewCases, OutOfReach."""
    found, failed = list[tuple[float, Chosen]](), list[TooFewCases | OutOfReach]()
    measured = list(_measured(run, op))
    if not measured:
        raise _not_measured(run, op, asked)
    for each in measured:
        try:
            choice, vote = (_by_table if asked.table else _shown)(each, asked, len(measured))
        except (TooFewCases, OutOfReach) as error:
            failed.append(error)
            continue
        facts = {"sheet": each.sheet.digest(), "processor": each.op.processor or "", **_rule(vote)}
        inputs = {case.asked for case in each.mine.cases} if asked.table else set[str]()
        facts["inputs"] = () if "" in inputs else tuple(sorted(inputs))  # "": an older sheet's
        chosen = Chosen.of(op.name, asked, choice, temperature=each.mine.temperature, **facts)
        found.append((choice.trial.cost * each.spent, chosen))
    if not found:
        raise next((error for error in failed if isinstance(error, TooFewCases)), failed[0])
    best = min(found, key=lambda pair: pair[0])[1]
    others = [chosen.why for _, chosen in found if chosen is not best] + [str(e) for e in failed]
    return best.model_copy(update={"why": "\n".join([best.why, *others])})


def _shown(each: _Measured, asked: Reliability, several: int) -> tuple[Choice, Subject[Any]]:
    """The boldest vote that is shown to do (rule 2). Raises TooFewCases, OutOfReach."""
    abstains = asked.abstain > 0
    tried = ladder(each.op, abstains=abstains, temperature=each.mine.temperature)
    trials, left_out = read_off(each.op, tried, each.sheet, abstains=abstains)
    facts = {"level": LEVEL / several, "spent": each.spent if several > 1 else 0.0}
    choice = choose([t.model_copy(update=facts) for t in trials], asked.each, asked.abstain)
    vote = next(one for one in tried if called(one) == choice.trial.recipe)
    more = {"left_out": tuple(left_out), "steps": asked.steps}
    return choice.model_copy(update=more), vote


def _by_table(each: _Measured, asked: Reliability, _: int) -> tuple[Choice, Subject[Any]]:
    """The vote by which the formulae foretell that all is right (rule 3). Raises OutOfReach."""
    cases, steps = each.mine.cases, asked.steps
    chances = chances_of([(sum(n in c.right for n in c.draws), len(c.draws)) for c in cases])
    k, draws = ahead_over(chances, asked.share, steps)
    foretold = prod(right_ahead(p, k) ** (steps / len(chances)) for p in chances)
    vote = ahead_by(k, temperature=each.mine.temperature)(each.op)
    (trial,) = each.mine.trials([Ahead(k)])
    trial = trial.model_copy(update={"recipe": called(vote), "cost": draws / steps})
    return Choice(
        reliability=asked.share, place=0, trials=(trial,), steps=steps, foretold=foretold
    ), vote


def _rule(vote: Subject[Any]) -> dict[str, int]:
    """What of a vote is kept."""
    rule = vote.by.rule if isinstance(vote, Corrected) and isinstance(vote.by, Vote) else None
    if not isinstance(rule, Ahead):
        return {}
    return {"ahead": rule.k, "most": 0 if rule == Ahead(rule.k) else rule.most}


# -- datasheets ------------------------------------------------------------------------------------


def _measured(run: RunState, op: Op[Any]) -> Iterator[_Measured]:
    """Where the op may be asked, and what is known of it there."""
    known, there = run.ports.processors, _sheets(run)
    for name in [op.processor] if op.processor else known.opened:
        mine = op if name in (op.processor, known.default) else replace(op, processor=name)
        for sheet in there:
            if not _lacks(sheet, mine, run):
                table = sheet.of(op.name, op.digest.hex())
                yield _Measured(mine, sheet, table, _spent(run, run.processor(name), table))
                break


def _spent(run: RunState, processor: Processor, mine: OpSheet) -> float:
    """What a call takes: money, or where nothing has a price, seconds."""
    if all(each.price == FREE for each in run.ports.processors.opened.values()):
        return mine.latency_s[0]
    (prompt, completion), price = mine.tokens, processor.price
    return (prompt * price.prompt + completion * price.completion) / 1e6


def _sheets(run: RunState) -> list[Datasheet]:
    """The datasheets that the run's computer has. Raises Usage."""
    named = run.sheets or [str(each) for each in [settings.read(("sheets",)).sheets] if each]
    before, end = run.header.get("sheet_files"), run.replay.past.end
    if before is not None and not run.replay.changed and (end is None or end.status != "failed"):
        check_same(before, named)
    return [sheet_in(path) for path in files_of(named)]


def _not_measured(run: RunState, op: Op[Any], asked: Reliability) -> NotMeasured:
    there, calls = _sheets(run), " of all calls" if asked.steps == 1 else ""
    said = "the computer has no datasheet (sheets=, --sheets, or sheets in nlpu.toml)"
    if there:
        told = dict.fromkeys(_lacks(sheet, op, run) for sheet in there)
        said = f"none of {counted(len(there), 'datasheet')} tells of that: {'; '.join(told)}"
    return NotMeasured(
        f"{op.name} is to be right in {asked}{calls}, and {said}. To make one: nlpu bench "
        f"datasheet {op.name} --output {op.name}.json (of an op of yours: FILE.py:{op.name} --data "
        "CASES, a file of operands with the answers that are expected); or plan with cases in the "
        f"program: reliable({op.name}, {asked.share:g}, cases)"
    )


def _lacks(sheet: Datasheet, op: Op[Any], run: RunState) -> str:
    """Why a datasheet does not tell of the op there; "" if it does."""
    if op.name not in sheet.ops:
        return f"that of {sheet.model} has {', '.join(sheet.ops) or 'no op'}"
    there = sheet.has(op.name, op.digest.hex())
    odd = f"in that of {sheet.model} {op.name} has other words or settings"
    if there:
        odd = sheet.ops[op.name].other_draws(op.temperature)
    return sheet.differs(**asked_now(op, run.root)) or odd


# -- as a kind of work -----------------------------------------------------------------------------


def _issued(graph: GraphPort, node: Node) -> None:
    """It is the nested program that asks. Raises Usage (rule 4)."""
    work: Reliably = node.node_work
    run, asked = node.issue_scope.run, work.asked
    if asked is run.reliability:
        run.steps += 1
        if run.steps > asked.steps:
            raise Usage(
                f"the run is to be right in {asked.share:g} with {counted(asked.steps, 'call')}, "
                f"and {work.op.name} is one more: say how many there can be, "
                f"Reliability({asked.share:g}, steps=...) or --steps"
            )
    operands = tuple(each if isinstance(each, Value) else own(each) for each in node.work_operands)
    node.work_operands = ()
    given = (work.op, asked, operands, work.sample or 0)
    node.node_work = Spawn(ask_reliably, f"{work.op.name}, reliably", given, as_is=True)
    spawn_issued(graph, node)


KINDS[Reliably] = Kind(_issued, spawn_ready, takes_failures=True)
