"""The arms of ``benchmarks.answers``: the same items as four kinds of people would ask them.

    old    the first convention and the words that its ops had
    new    the default convention and the standard ops of the day
    plain  one request as a person types it, constrained to the same answers
    dspy   ``dspy.Predict`` with its default adapter, on the same model (``dspy_arm``)

With a 4 they show four examples: ours as ``op.using(examples=...)``, plain ones as turns of the
chat, DSPy's as demos. ``new4c`` is ``new4`` with its judgements calibrated on planning cases; it
asks nothing of its own (``figures``).

Rules
1. An arm's item has the id of the case, and what is right is decided by the case, for all arms.
2. A call that failed is a wrong answer, whoever made it.
3. ``what`` is a digest of all words that an arm puts around an item. A result goes by it: one that
   was asked in other words is not taken for this one.
4. A score is what today's metric says of the answer (``rescored``), whenever it was given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

from benchmarks.answers.data import Family, examples
from benchmarks.answers.words import DSPY, OLD, PLAIN
from nlpu import Case, Computer, Judgement, Malformed, NlpuError, Usage, isa
from nlpu.eval.matching import text_of
from nlpu.eval.questions import Question, Subject, questions
from nlpu.eval.scores import Row
from nlpu.ops.op import Op, Operand
from nlpu.prompt.convention import DEFAULT, FIRST, Convention, written
from nlpu.runtime.eval.evaluation import prepared
from nlpu.types.result import result_type

ARMS = ("old", "new", "plain", "dspy", "old4", "new4", "plain4", "dspy4", "new4c")
DERIVED = {"new4c": "new4"}
TYPED = Convention("plain", constants=(), place="user", operand="{text}", last="")
_CONVENTIONS = {"old": FIRST, "new": DEFAULT, "plain": TYPED}
_SOME = ("first", "second")


class Line(NamedTuple):
    """One item's result on one arm: a line of the results' file."""

    model: str
    half: str
    family: str
    id: str
    arm: str
    what: str
    score: float
    answer: str
    expected: str
    error: str
    probability: float | None
    tokens_in: float
    tokens_out: float
    seconds: float


def style_of(arm: str) -> str:
    """How an arm asks: old, new, plain or dspy. Raises Usage."""
    if arm not in ARMS:
        raise Usage(f"there is no arm {arm!r}; arms are {', '.join(ARMS)}")
    return DERIVED.get(arm, arm).rstrip("4")


def shows_examples(arm: str) -> bool:
    """Whether four examples go with every item."""
    return "4" in arm


# -- subjects: what an arm asks ----------------------------------------------------------------


def subject(arm: str, family: Family) -> Subject:
    """The op of an arm, or what makes it of a case's choices."""
    made = standard(style_of(arm), family.op)
    if isinstance(made, Op):
        return _shown(arm, family, made, ())

    def of_choices(*choices: str) -> Op[Any]:
        return _shown(arm, family, made(*choices), choices)

    return of_choices


def standard(style: str, name: str) -> Any:
    """A standard op, or the function that makes it of choices, as the style has it."""
    if style == "old":
        return OLD[name]
    made = getattr(isa, name)
    if style == "new":
        return made
    return _typed(made) if isinstance(made, Op) else lambda *choices: _typed(made(*choices))


def _typed(op: Op[Any]) -> Op[Any]:
    """An op with the same answers whose one operand is the whole request."""
    return Op(op.name, "As typed.", (_PROMPT,), op.result, op.sampling, op.at_limit)


def _shown(arm: str, family: Family, op: Op[Any], choices: Sequence[str]) -> Op[Any]:
    if not shows_examples(arm):
        return op
    given = [
        {"operands": operands(arm, case, op, choices), "expected": said}
        for case, said in examples(family, choices)
    ]
    return op.using(examples=given)


def operands(arm: str, case: Case, op: Op[Any], choices: Sequence[str]) -> dict[str, Any]:
    """A case's operands as an arm takes them; an op that has no such operand is not told it."""
    if style_of(arm) == "plain":
        return {_PROMPT.name: typed(case, choices or case.choices)}
    names = [place.name for place in op.operands]
    return {name: item for name, item in case.operands.items() if name in names}


def typed(case: Case, choices: Sequence[str]) -> str:
    """A case as a person types it."""
    return PLAIN[case.op].format(**case.operands, choices=", ".join(choices))


_PROMPT = Operand("prompt", result_type(str))


# -- asking ------------------------------------------------------------------------------------


def what_of(arm: str, family: Family) -> str:
    """The digest of an arm's words (rule 3)."""
    style = style_of(arm)
    shown = repr(examples(family)) if shows_examples(arm) else ""
    if style == "dspy":
        return _digest(repr(DSPY[family.op]), shown)
    made = standard(style, family.op)
    op = made if isinstance(made, Op) else made(*_SOME)
    typed_words = PLAIN[family.op] if style == "plain" else ""
    return _digest(written(_CONVENTIONS[style]), op.digest.hex(), typed_words, shown)


def _digest(*parts: str) -> str:
    return blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()


def ask(computer: Computer, arm: str, family: Family, cases: Sequence[Case]) -> list[Any]:
    """Ask our own arms; gives (row, probability of yes or None) of each case."""
    made = subject(arm, family)

    def fitted(case: Case) -> Case:
        op = made(*case.choices) if not isinstance(made, Op) else made
        return case.model_copy(update={"operands": operands(arm, case, op, case.choices)})

    asked, evaluation = prepared(made, [fitted(case) for case in cases], None, (), ("",))
    header = {"convention": written(_CONVENTIONS[style_of(arm)])}
    run = computer.run(evaluation.evaluate, asked, header=header)
    contents = {each.question.case.id: each.answer for each in evaluation._asked[0]}
    rows = evaluation.outcome(run).rows
    return [(row, None if row.error else _probability(contents[row.id]._content)) for row in rows]


def _probability(content: Any) -> float | None:
    return content.probability if isinstance(content, Judgement) else None


def scored(family: Family, cases: Sequence[Case], told: Sequence[dict[str, Any]]) -> list[Row]:
    """Rows of what others answered: each told as ``answer``, or as ``error``."""
    rows = []
    for case, each in zip(cases, told, strict=True):
        question = _question(family, case)
        error = each.get("error", "")
        score = 0.0 if error else _score(question.score, each["answer"])
        rows.append(
            Row(
                id=case.id,
                score=score,
                answer=text_of(each.get("answer", "")),
                error=error,
                expected=text_of(question.expected),
            )
        )
    return rows


def _question(family: Family, case: Case) -> Question:
    """A case as a question of the op as it was: what is right is the same for all arms."""
    made = standard("old", family.op)
    known = case.model_copy(update={"operands": operands("old", case, _op(made, case), ())})
    (question,) = questions(made, [known])
    return question


def rescored(found: Sequence[Family], lines: Iterable[Line]) -> list[Line]:
    """Lines with the scores that today's metric gives their answers (rule 4).

    A line whose case is not there, or expects something else today, keeps its score.
    """
    asked: dict[tuple[str, str], list[Question]] = {}
    for family in found:
        for case in dict.fromkeys((*family.items, *family.known)):
            asked.setdefault((family.name, case.id), []).append(_question(family, case))
    return [_rescored(line, asked.get((line.family, line.id), ())) for line in lines]


def _rescored(line: Line, asked: Sequence[Question]) -> Line:
    fits = (each for each in asked if text_of(each.expected) == line.expected)
    question = next(fits, None)
    if line.error or question is None:
        return line
    return line._replace(score=_score(question.score, _content(question, line.answer)))


def _content(question: Question, answer: str) -> Any:
    """What an answer was before it was written into a line (``text_of``)."""
    assert isinstance(question.asks, Op)
    result = question.asks.result
    if result.kind in ("text", "choice"):
        return answer
    if result.kind in ("bool", "judgement"):
        return {"yes": True, "no": False}.get(answer, answer)
    try:
        return result.parse(answer)
    except Malformed:  # a list of texts is written by lines
        return answer.split("\n") if answer else []


def _op(made: Subject, case: Case) -> Op[Any]:
    found = made if isinstance(made, Op) else made(*case.choices)
    assert isinstance(found, Op)
    return found


def _score(score: Callable[[Any], float], answer: Any) -> float:
    try:
        return score(answer)
    except NlpuError:  # of no form that the metric knows
        return 0.0
