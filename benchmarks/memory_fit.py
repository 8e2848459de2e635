"""``python -m benchmarks.memory_fit``: recall by weights of ``hybrid`` fitted on the other files.

The weights that ship were rounded from a fit on all of these files, so the gate is on this figure.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from benchmarks.command import carry_out
from benchmarks.gates import at_least
from nlpu import Memory, Usage
from nlpu.memory.firmware import hybrid
from nlpu.runtime.bench import memory as recall
from nlpu.runtime.bench.locomo import CUTS, Result, Talk, score
from nlpu.runtime.bench.results import AsJson, deliver

GATE = 0.62  # recall at 10
app = typer.Typer(add_completion=False)
_FITTED = 150  # candidates of a question that the fit sees


@app.command(help="Recall of evidence by weights that were fitted on other conversations.")
def command(data: recall.Data, as_json: AsJson = False) -> None:
    deliver("memory_fit", measure(data), tables, as_json=as_json)


def measure(data: Path) -> dict[str, Any]:
    """Everything the command prints. Raises Usage."""
    talks, fits = recall.talks_in(data), []
    if len(talks) < 2:
        raise Usage(f"there is one file in {data}: weights for it are fitted on others")
    for talk in talks:
        with recall.holding(talk, "hybrid") as memory:
            fits.append(Fit(memory, talk))
    found = [fit.result(fitted([other for other in fits if other is not fit])) for fit in fits]
    return recall.report(talks, [recall.row("hybrid (held out)", found)])


def tables(figures: dict[str, Any]) -> None:
    """Everything, on stdout."""
    recall.tables(figures)
    found = figures["firmware"][0]["recall_at_10"]
    print(f"hybrid (held out), recall at 10 (>= {GATE}): {at_least(found, GATE)}")


class Fit:
    """The signals of a file's candidates, the best of them by the shipped weights."""

    def __init__(self, memory: Memory, talk: Talk) -> None:
        import numpy as np

        ids = {page.address: name for name, page in talk.pages.items()}
        now_s = max(page.time_s for page in talk.pages.values())
        self.questions = talk.questions
        self.turns: list[list[str]] = []
        signals = []
        for question in talk.questions:
            pages, rows = hybrid.candidates(memory.levels, question.text, now_s)
            table = np.array(rows)
            best = np.argsort(-(table @ hybrid.WEIGHTS), kind="stable")[:_FITTED]
            names = [ids[page.address] for page in pages.values()]
            self.turns.append([names[row] for row in best])
            signals.append(np.pad(table[best], ((0, _FITTED - len(best)), (0, 0))))
        self.signals: Any = np.array(signals)
        self.there: Any = np.array(
            [
                [n < len(turns) and turns[n] in question.evidence for n in range(_FITTED)]
                for turns, question in zip(self.turns, self.questions, strict=True)
            ],
            float,
        )

    def result(self, weights: Any) -> Result:
        result = Result({cut: [] for cut in CUTS}, [], [])
        for question, turns, rows in zip(self.questions, self.turns, self.signals, strict=True):
            scores = rows[: len(turns)] @ weights
            order = sorted(range(len(turns)), key=lambda row: -scores[row])
            score(result, question, [turns[row] for row in order])
        return result


def fitted(fits: list[Fit], steps: int = 200, rate: float = 0.5) -> Any:
    """Weights under which a softmax over the candidates is most likely to pick evidence."""
    import numpy as np

    signals = np.concatenate([fit.signals for fit in fits])
    there = np.concatenate([fit.there for fit in fits])
    some = there.sum(1) > 0
    signals, there = signals[some], there[some] / there[some].sum(1, keepdims=True)
    scale = signals.reshape(-1, signals.shape[2]).std(0)
    scale[scale < 1e-9] = np.inf  # a signal that these files do not have
    signals = signals / scale
    weights = np.zeros(signals.shape[2])
    for _ in range(steps):
        scores = signals @ weights
        chosen = np.exp(scores - scores.max(1, keepdims=True))
        chosen /= chosen.sum(1, keepdims=True)
        weights += rate * np.einsum("qc,qcs->s", there - chosen, signals) / len(there)
    return weights / scale


if __name__ == "__main__":
    carry_out(app)
