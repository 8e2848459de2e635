"""Evaluations as runs: loaded anew from a header, and what is done when one has ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpu.errors import Usage
from nlpu.runtime.eval.evaluation import Evaluation, contestants_of
from nlpu.runtime.handle import Run, state_of
from nlpu.runtime.journal.where import Place
from nlpu.runtime.loader import Program, file_of
from nlpu.runtime.terminal.eval.subjects import Named, score_of, subject_of
from nlpu.runtime.terminal.output import say
from nlpu.runtime.terminal.show.archive import EVALUATION, Record, find

if TYPE_CHECKING:
    from nlpu.eval.scores import Report


def prepared(subjects: Sequence[Named], metric: Named, models: Sequence[str]) -> Program:
    """The program that asks all cases of the subjects, the first on each of the models."""
    found = {each.spec: each.found for each in reversed(subjects)}  # of one name, one object
    first, *others = (found[each.spec] for each in subjects)
    contestants = contestants_of(first, others, models or ("",))
    evaluation = Evaluation(contestants, metric.found)
    return Program(EVALUATION, evaluation.evaluate, False)


def facts_of(
    subjects: Sequence[Named], metric: Named, models: Sequence[str], cache: Path | None
) -> dict[str, Any]:
    """What a header keeps of an evaluation, for those who go on with it."""
    named = [each for each in (*subjects, metric) if each.digest]
    return {
        "subjects": [each.spec for each in subjects],
        "metric": metric.spec,
        "models": list(models),
        "files": {str(each.file): each.digest for each in named},
        "cache": "" if cache is None else str(cache),
    }


def facts_in(record: Record) -> dict[str, Any]:
    """What a recorded evaluation's header keeps of it. Raises Usage."""
    facts: dict[str, Any] = record.past.header.get("eval", {})
    if not facts.get("subjects"):
        raise Usage(f"the run {record.name} does not say what it evaluates; go on from Python")
    return facts


def evaluation_of(record: Record, files: Mapping[Path, str]) -> Program:
    """The program of a recorded evaluation, from files as they were admitted. Raises Usage."""
    facts = facts_in(record)

    def only(spec: str) -> str:
        path = file_of(spec)
        return "" if path is None else files[path]

    try:
        subjects = [subject_of(spec, only(spec)) for spec in facts["subjects"]]
        metric = score_of(facts["metric"], only(facts["metric"]))
    except Usage as error:
        raise Usage(f"what run {record.name} evaluates cannot be found: {error}") from error
    return prepared(subjects, metric, facts["models"])


def ends_of(
    loaded: Program, run_dir: Place, known: Record | Path | None, html: Path | None = None
) -> dict[str, Any]:
    """What a ``Job`` does at its end: tell what there is, keep answers, write the page.

    known: the file of answers, or the run that is gone on with and says which.
    """
    cache = facts_in(known).get("cache", "") if isinstance(known, Record) else known or ""
    if html is not None and (html.is_dir() or not html.parent.is_dir()):  # before it is paid for
        why = "it is a folder" if html.is_dir() else f"there is no folder {html.parent}"
        raise Usage(f"{html} cannot be written: {why}; name another file for --html")
    evaluation: Evaluation = loaded.function.__self__  # type: ignore[attr-defined]

    def partial(run: Run) -> Report:
        return evaluation.so_far(f"run {run.name} did not come to its end.")

    def ended(run: Run) -> None:
        report = run.result if run.error is None else partial(run)
        if cache:
            _keep(Path(cache), run, find(run_dir, run.name))
        if html is not None:
            _write(html, report, run.name)

    return {"partial": partial, "ended": ended}


def _keep(path: Path, run: Run, record: Record) -> None:
    """Add the answers of a run to a file."""
    from nlpu.runtime.eval.answers import add_answers, answers_in

    added = add_answers(path, answers_in(state_of(run).root.subtree()))
    say(f"{len(record.past.taken)} answers were in {path}, {added} are new there")


def _write(path: Path, report: Report, name: str) -> None:
    from nlpu.runtime.terminal.eval.score_page import page_of
    from nlpu.runtime.terminal.files import write_file

    write_file(path, page_of(report, name))
    say(f"the report is in {path}; open it in any browser")
