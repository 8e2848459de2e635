"""Sum up a long text: cut it, summarise the parts at once, fold the summaries into one.

    nlpu run examples/digest.py --input docs/essay.txt                      # two minutes
    nlpu run examples/digest.py --input docs/essay.txt --engine scripted    # tries the wiring
    python examples/digest.py                                               # of the essay, too

No part is longer than ``tokens`` of the model's own, and none is lost. The calls of a map run side
by side; a reduction is a tree of calls that each fit the window, and begins while parts are still
being read. Nothing is declared for that: passing a Value on draws the edge. The summary goes to
stdout; the receipt on stderr shows how deep the tree was and how much ran in parallel. Kill it and
say ``nlpu resume RUN``: no part that was summarised is read again. What the default model (135M)
makes of the essay in 39 calls is well-formed and worth little: see ``--model``.
"""

from pathlib import Path

from nlpu import Computer, Value, nlop, split

ESSAY = Path(__file__).parents[1] / "docs" / "essay.txt"


@nlop(max_tokens=80, at_limit="trim", repetition_penalty=1.1)
def summarize(text: str) -> str:
    """Summarise the text in one sentence."""


@nlop(max_tokens=20, at_limit="trim")
def title(text: str) -> str:
    """Write a title of at most five words for the text."""


def digest(text: str, tokens: int = 320) -> dict[str, Value[str]]:
    """A title and a summary of a text of any length."""
    parts = split(text, tokens)
    whole = summarize.reduce(summarize.map(parts))
    return {"title": title(whole), "summary": whole}


if __name__ == "__main__":
    with Computer() as computer:
        run = computer.run(digest, ESSAY.read_text(encoding="utf-8"))
    print(run.result, run.receipt, sep="\n")
