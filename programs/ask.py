"""Ask one question and watch the answer being written.

nlpu run ask "What is a loom?"
echo "What is a loom?" | nlpu run ask -
"""

from __future__ import annotations

from nlpu import Value, nlop

STREAMS = True  # its result is the text of its one call, so the terminal shows it as it is written


@nlop(max_tokens=256, at_limit="trim")
def reply(question: str) -> str:
    """Answer the question in a few plain sentences."""


def ask(question: str) -> Value[str]:
    """Answer one question with one call."""
    return reply(question)
