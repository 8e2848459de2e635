"""The programs as a DSPy user writes them: modules over ``Predict``, ``acall`` and ``gather``.

DSPy has no graph, so an uneven one is asyncio tasks that await the tasks they read: no barriers.
``Plain`` is an adapter that sends the benchmark's own prompt and takes the whole reply, so that
all frameworks send the same tokens; DSPy's own adapters send more. No cache, no history.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import dspy
from harness import Work, main, messages


class Call(dspy.Signature):
    """One call."""

    prompt: list[dict[str, str]] = dspy.InputField()
    answer: str = dspy.OutputField()


class Plain(dspy.Adapter):
    """The prompt as it is, the reply as it is."""

    def format(self, signature: Any, demos: Any, inputs: Any) -> list[dict[str, Any]]:
        return inputs["prompt"]

    def parse(self, signature: Any, completion: str) -> dict[str, Any]:
        return {"answer": completion.strip()}


class Agent(dspy.Module):
    """Asks, appends the reply and the next text, asks again."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self.work, self.ask = work, dspy.Predict(Call)

    async def aforward(self, texts: list[str], tokens: list[int]) -> str:
        transcript = texts[0]
        for turn, limit in enumerate(tokens):
            prompt = messages(self.work, transcript=transcript)
            reply = await self.ask.acall(prompt=prompt, config={"max_tokens": limit})
            transcript = "\n".join([transcript, reply.answer, *texts[turn + 1 : turn + 2]])
        return transcript


class Uneven(dspy.Module):
    """A call for each node, as soon as what it reads is there."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self.work, self.ask = work, dspy.Predict(Call)

    async def aforward(self) -> list[str]:
        tasks: list[asyncio.Task[str]] = []
        for spec in self.work["nodes"]:
            parents = [tasks[parent] for parent in spec["parents"]]
            tasks.append(asyncio.create_task(self.note(spec, parents)))
        return await asyncio.gather(*tasks)

    async def note(self, spec: dict[str, Any], parents: list[asyncio.Task[str]]) -> str:
        before = "\n".join([await parent for parent in parents])
        prompt = messages(self.work, text=spec["text"], before=before)
        reply = await self.ask.acall(prompt=prompt, config={"max_tokens": spec["tokens"]})
        return reply.answer


async def do(work: Work) -> None:
    lm = dspy.LM(
        "openai/" + work["model"],
        api_base=work["url"] + "/v1",
        api_key=work["key"],
        temperature=0.0,
        cache=False,
        num_retries=2,
        extra_body=work["extra_body"],
    )
    with dspy.context(lm=lm, adapter=Plain(), disable_history=True, track_usage=False):
        if "agents" in work:
            agent = Agent(work)
            await asyncio.gather(*(agent.acall(**each) for each in work["agents"]))
        else:
            await Uneven(work).acall()


if __name__ == "__main__":
    logging.getLogger("dspy").setLevel(logging.ERROR)  # it warns of every answer of a forced length
    main(do)
