"""Questions about one document, as a DSPy user writes them: two ``Predict``, all asked at once.

The signatures are those of DSPy's documentation, context before question; its default adapter
writes the prompts. No cache, no history.
"""

from __future__ import annotations

import asyncio
import logging

import dspy
from harness import Work, main


class Answers(dspy.Module):
    """A few words, or yes or no."""

    def __init__(self) -> None:
        super().__init__()
        words = dspy.Signature("context, question -> answer", "Answer in a few words.")
        self.answer = dspy.Predict(words)
        self.judge = dspy.Predict("context, question -> answer: bool")

    async def aforward(self, kind: str, context: str, question: str) -> str:
        asked = self.judge if kind == "judge" else self.answer
        said = (await asked.acall(context=context, question=question)).answer
        return ("yes" if said else "no") if isinstance(said, bool) else str(said)


async def do(work: Work) -> list[str]:
    lm = dspy.LM(
        "openai/" + work["model"],
        api_base=work["url"] + "/v1",
        api_key=work["key"],
        temperature=0.0,
        max_tokens=128,
        cache=False,
        num_retries=2,
    )
    with dspy.context(lm=lm, disable_history=True, track_usage=False):
        program = Answers()
        said = await asyncio.gather(
            *(
                program.acall(each["kind"], work["document"], each["question"])
                for each in work["questions"]
            ),
            return_exceptions=True,
        )
    return [each if isinstance(each, str) else repr(each)[:200] for each in said]


if __name__ == "__main__":
    logging.getLogger("dspy").setLevel(logging.ERROR)
    main(do)
