"""Evaluations: cases asked of ops and programs within a run, and scored.

Theory of operation
-------------------
An evaluation is a program like any other. It issues every case at once, of a metric that asks the
judge's call behind each, waits for all, and makes the report of what came. So it is journaled,
budgeted, resumed and replayed as programs are, and equal calls are made once. What is compared with
itself is asked once: it costs nothing more and differs in nothing, whatever it draws. What a case
took is read off its node, or off all that a program issued.

    op.check(cases)           in a program: a nested evaluation, its Value holds the report
    computer.evaluate(...)    a run that is nothing else
    nlpu eval                 the same from a terminal

Rules
1. A failure of the model's or of the program's is a wrong answer, and so is ``Unsure``, whatever
   its words are, but by a metric of one's own. A failure of the host, or a datasheet that is
   missing, says nothing about it: the evaluation fails, and resumed asks again.
2. What is scored is what the journal holds: a resumed evaluation gives the same report.
3. Of a run that was stopped there is a report, too: of the cases that had an answer by then.
4. What calls took depends on the moment, as time does: at the end it is noted in the journal.
5. Texts of a data file are nobody's word: a report of its cases is untrusted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

from nlpu.checks import NAMES
from nlpu.errors import Cancelled, HostError, NlpuError, Stopped, Usage, root_of
from nlpu.eval.bounds import NotMeasured
from nlpu.eval.cases import Case, cases_of, is_file
from nlpu.eval.matching import plain, text_of
from nlpu.eval.metrics import METRICS, means_the_same
from nlpu.eval.questions import Given, Question, Subject, called, questions
from nlpu.eval.scores import Report, Row
from nlpu.label import UNTRUSTED, USER
from nlpu.lifting import lift
from nlpu.ops.op import Check, Op
from nlpu.printing import shown
from nlpu.prompt.convention import DEFAULT
from nlpu.runtime.eval.corrections.correction import Unsure
from nlpu.runtime.graph.kind import KINDS, Kind
from nlpu.runtime.graph.node import Node, Scope, current_scope
from nlpu.runtime.graph.spawning import Spawn, spawn, spawn_issued, spawn_ready
from nlpu.runtime.graph.usage import Cost
from nlpu.runtime.handle import Run
from nlpu.runtime.ports import GraphPort
from nlpu.value import Value, current, peek_content, peek_error, see

_SAYS_NOTHING = HostError | NotMeasured  # of what was to be asked
_BY_WORDS = tuple(METRICS[name] for name in ("number", "predicate", "judge"))
_MEASURED = "what its calls took"
_MOST_SHOWN = 2000  # characters of an operand in a report


@dataclass(frozen=True, slots=True)
class Contestant:
    """What is asked all cases: an op or a program, and on which processor ("": the default)."""

    subject: Subject
    processor: str = ""
    name: str = ""


def contestants_of(
    subject: Subject, against: Subject | Sequence[Subject], processors: Sequence[str]
) -> tuple[Contestant, ...]:
    """All that is asked the same cases; the first is compared with each of the others."""
    others = tuple(against) if isinstance(against, list | tuple) else (against,)
    for each in (subject, *others):
        if not callable(each) and not isinstance(each, Op):
            raise Usage(f"an op or a program is evaluated and compared with, not {shown(each)}")
    if not NAMES[0](processors) or not processors:
        raise Usage(f"processors are a list of at least one name, not {processors!r:.60}")
    if any(processors) and not isinstance(subject, Op):
        raise Usage(f"{called(subject)} names its processors itself; ask it on one computer each")
    mine = [Contestant(subject, each) for each in processors]
    return (*mine, *(Contestant(each, processors[0]) for each in others))


def named(contestants: Sequence[Contestant]) -> tuple[Contestant, ...]:
    """The contestants with names that differ."""
    several = len({each.processor for each in contestants}) > 1
    names: list[str] = []
    for each in contestants:
        name = each.name or called(each.subject)
        name += f" on {each.processor}" * several
        again = sum(other.partition(" #")[0] == name for other in names)
        names.append(f"{name} #{again + 1}" if again else name)
    return tuple(replace(each, name=name) for each, name in zip(contestants, names, strict=True))


def _is_one(one: Contestant, other: Contestant) -> bool:
    """Whether the same is asked in the same words of the same processor: it has one answer."""
    words = [getattr(each.subject, "digest", None) for each in (one, other)]
    same = one.subject == other.subject and words[0] == words[1]
    return same and one.processor == other.processor


@dataclass(slots=True)
class _Asked:
    """A question under way: the Value of its answer, and of the judge's call about it."""

    question: Question
    answer: Value[Any]
    verdict: Value[Any] | None = None


@dataclass(slots=True)
class Evaluation:
    """Contestants and the metric of all cases (None: each case's). ``evaluate`` is the program.

    read: its cases are those of a file.
    """

    contestants: Sequence[Contestant]
    metric: Given = None
    cases: tuple[Case, ...] = ()
    _asked: list[list[_Asked]] = field(default_factory=list)
    _models: list[str] = field(default_factory=list)
    read: bool = False
    _layout: str = ""

    def __post_init__(self) -> None:
        self.contestants = named(self.contestants)

    def check(self, cases: Sequence[Case]) -> None:
        """Hold the cases against all contestants. Raises BadOperand."""
        self._questions(cases)

    def _questions(self, cases: Sequence[Case]) -> list[tuple[Question, ...]]:
        return [questions(each.subject, cases, self.metric) for each in self.contestants]

    def evaluate(self, cases: tuple[Case, ...]) -> Report:
        """Ask all cases and give the report."""
        if self.read:
            see(UNTRUSTED)  # rule 5, whatever the run was begun with
        ready = self._questions(cases)
        self.cases = cases
        scope = current()
        self._layout = _layout_of(current_scope())
        self._models = [
            str(scope.processor(each.processor or None).capabilities.model)
            for each in self.contestants
        ]
        self._asked = []
        for place, (each, mine) in enumerate(zip(self.contestants, ready, strict=True)):
            met = next((n for n in range(place) if _is_one(self.contestants[n], each)), place)
            self._asked.append(
                [_ask(question, each.processor) for question in mine]
                if met == place
                else self._asked[met]  # draws of a temperature, or of a program, are the same, too
            )
        failures = [error for asked in self._all() for error in _waited(asked)]
        host = next((error for error in failures if isinstance(error, _SAYS_NOTHING)), None)
        if host is not None:  # rule 1
            raise host
        return self._report(_noted(lambda: [_took(asked) for asked in self._all()]))

    def so_far(self, stopped: str) -> Report:
        """The report of what has an answer (rule 3)."""
        return self._report([_took(asked) for asked in self._all()], stopped)

    def _report(self, took: Sequence[Sequence[int]], stopped: str = "") -> Report:
        left = iter(took)
        found = []
        for place, each in enumerate(self.contestants):
            mine = self._asked[place] if self._asked else []
            rows = [_row(asked, next(left), place == 0) for asked in mine]
            found.append(
                Report(
                    name=f"{each.name}{self._layout}",
                    model=self._models[place] if self._models else "",
                    cases=len(self.cases),
                    stopped=stopped,
                    rows=tuple(filter(None, rows)),
                )
            )
        return found[0].model_copy(update={"others": tuple(found[1:])})

    def outcome(self, run: Run) -> Report:
        """The report of a run that has ended; of a stopped one what there is (rule 3)."""
        error = run.error
        if isinstance(error, Stopped) and self._asked:
            return self.so_far(f"run {run.name} stopped: {error}.")
        found: Report = run.result
        return found

    def _all(self) -> Iterator[_Asked]:
        for asked in self._asked:
            yield from asked


def prepared(
    subject: Subject,
    cases: Any,
    metric: Given,
    against: Subject | Sequence[Subject],
    processors: Sequence[str],
) -> tuple[tuple[Case, ...], Evaluation]:
    """Cases, and the evaluation that they have been held against. Raises Usage, BadOperand."""
    asked = cases_of(cases)
    contestants = contestants_of(subject, against, processors)
    if isinstance(subject, Op):  # a program has cases of any
        check_ops(dict.fromkeys(called(each.subject) for each in contestants), asked)
    evaluation = Evaluation(contestants, metric, read=is_file(cases))
    evaluation.check(asked)
    return asked, evaluation


def check_ops(names: Collection[str], cases: Sequence[Case]) -> None:
    """Refuse cases of another op than those of the names. Raises Usage."""
    odd = next((case for case in cases if case.op and case.op not in names), None)
    if odd is not None:
        asked = " and ".join(names)
        raise Usage(
            f"{odd.where or odd.id} is a case of {odd.op}, and {asked} is asked: ask {odd.op}, or "
            "take the 'op' from the cases if it is all the same"
        )


def _ask(question: Question, processor: str) -> _Asked:
    """Issue a question's call or program, and behind it the judge's."""
    asks = question.asks
    if isinstance(asks, Op):
        chosen = asks.using(processor=processor) if processor else asks
        answer: Value[Any] = chosen(*question.operands)
    else:
        answer = spawn(asks, *question.operands)
    if not question.metric.asks:
        return _Asked(question, answer)
    text = answer if isinstance(asks, Op) else lift(text_of)(answer)
    return _Asked(question, answer, means_the_same(question.expected, text))


def _waited(asked: _Asked) -> Iterator[BaseException]:
    """Wait for an answer and its verdict; give why there is none."""
    for value in (asked.answer, asked.verdict):
        if value is not None:
            try:
                _ = value.value
            except NlpuError as error:
                yield root_of(error) or error


def _nodes(asked: _Asked) -> list[Node]:
    return [value for value in (asked.answer, asked.verdict) if isinstance(value, Node)]


def _row(asked: _Asked, took: Sequence[int], whole: bool) -> Row | None:
    """The row of an answer that is there; None where it is not, or was never asked.

    whole: with what was asked; it is the same for all contestants.
    """
    values = _nodes(asked)
    error = next((peek_error(value) for value in values if peek_error(value) is not None), None)
    why = root_of(error)
    pending = not all(value.ready for value in values) and error is None
    if pending or isinstance(why, Cancelled | _SAYS_NOTHING):
        return None
    question, told = asked.question, asked.verdict if asked.verdict is not None else asked.answer
    failed = str(why) if why is not None else ""  # as the journal has it, without its causes
    if failed and peek_error(asked.answer) is None:
        failed = f"the judge: {failed}"
    return Row(
        id=question.case.id,
        tags=dict(question.case.tags),
        metric=question.metric.name,
        score=0.0 if failed or _is_unsure(asked) else question.score(peek_content(told)),
        answer="" if peek_error(asked.answer) is not None else text_of(peek_content(asked.answer)),
        expected=text_of(question.expected),
        error=failed,
        asked=_shown(question) if whole else {},
        case=_digests(question.case),
        calls=took[0],
        tokens_in=took[1],
        tokens_out=took[2],
        seconds=took[3] / 1000,
    )


def _is_unsure(asked: _Asked) -> bool:
    """Whether the words that would be found right are those of a doubt (rule 1)."""
    return asked.question.metric in _BY_WORDS and _doubts(peek_content(asked.answer))


def _doubts(content: Any) -> bool:
    parts = content.values() if isinstance(content, Mapping) else content
    several = isinstance(content, Mapping | list | tuple)
    return isinstance(content, Unsure) or (several and any(map(_doubts, parts)))


def _layout_of(scope: Scope | None) -> str:
    """What a name says of the convention of a run, if it is not the default."""
    convention = scope.run.convention if scope is not None else DEFAULT
    if convention == DEFAULT:
        return ""
    return f" (convention {convention.version})"


def _digests(case: Case) -> tuple[str, str]:
    """What tells a case from another under the same id: its operands, and what is expected."""
    texts = (json.dumps(plain(part), sort_keys=True) for part in (case.operands, case.expected))
    operands, expected = (blake2b(text.encode(), digest_size=8).hexdigest() for text in texts)
    return operands, expected


def _shown(question: Question) -> dict[str, str]:
    operands = question.case.operands.items()
    return {name: text_of(item)[:_MOST_SHOWN] for name, item in operands}


def _took(asked: _Asked) -> list[int]:
    """Calls, tokens in and out, and ms: of a call, or of all that a program issued."""
    costs = [
        cost
        for value in _nodes(asked)
        for node in (value.inner_scope.subtree() if value.inner_scope is not None else (value,))
        if (cost := _alone(node)) is not None and cost.attempts
    ]
    return [
        len(costs),
        sum(cost.prompt_tokens for cost in costs),
        sum(cost.completion_tokens for cost in costs),
        round(sum(cost.service_s for cost in costs) * 1000),
    ]


def _alone(node: Node) -> Cost | None:
    """What a call would have taken had no other asked the same."""
    if node.call_cost is None or node.call_cost.how != "shared" or node.control_cell is None:
        return node.call_cost
    equal: Node = node.control_cell.node  # it waited for that last
    return equal.call_cost if equal.call_key == node.call_key else node.call_cost


def _noted(measure: Callable[[], list[list[int]]]) -> list[list[int]]:
    """What was measured, as a program is told the time: a replay is told the same (rule 4).

    What another run measured does not count: an edited one has calls of its own.
    """
    scope = current_scope()
    assert scope is not None  # evaluations are programs
    position, run = f"{scope.path}/{scope.issued}", scope.run
    scope.issued += 1
    found: list[list[int]] | None = run.replay.heard(position, _MEASURED, lambda noted: False)
    if found is None:
        found = measure()
        run.note(position, _MEASURED, found)
    return found


def _check_issued(graph: GraphPort, node: Node) -> None:
    """A check is the nested program that asks its cases. Raises BadOperand."""
    work: Check = node.node_work
    program = Evaluation((Contestant(work.op),), work.metric)
    check_ops((work.op.name,), work.cases)
    program.check(work.cases)
    node.lower_label(UNTRUSTED if work.read else USER)  # rule 5
    node.node_work = Spawn(program.evaluate, "check", (work.cases,), as_is=True)
    spawn_issued(graph, node)


KINDS[Check] = Kind(_check_issued, spawn_ready, takes_failures=True)
