"""``dspy.Predict`` with its default adapter, for ``python -m benchmarks.answers``.

Runs as a script in the peers' environment. Each line of stdin is an order: where the server is, a
signature, demos and the inputs of some items. Each line of stdout tells their answers, in order,
and the tokens of all. What DSPy does by itself stays: the prompt of ``ChatAdapter``, and its second
try with JSON where a reply has not the form asked for.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import Any, Literal

import dspy

AT_ONCE, MOST_TOKENS = 8, 256


def type_of(kind: str, choices: list[str]) -> Any:
    if kind == "choice":
        return Literal[tuple(choices)]
    return {"text": str, "bool": bool, "numbers": list[int]}[kind]


def predictor(order: dict[str, Any], choices: list[str], demos: list[dict[str, Any]]) -> Any:
    fields: dict[str, Any] = {name: (str, dspy.InputField()) for name in order["inputs"]}
    fields[order["output"]] = (type_of(order["kind"], choices), dspy.OutputField())
    made = dspy.Predict(dspy.Signature(fields, order["instructions"]))
    made.demos = [dspy.Example(**demo).with_inputs(*order["inputs"]) for demo in demos]
    return made


async def ask(order: dict[str, Any], item: dict[str, Any], free: asyncio.Semaphore) -> Any:
    async with free:
        try:
            made = predictor(order, item["choices"], item["demos"])
            said = await made.acall(**item["inputs"])
            return {"answer": getattr(said, order["output"])}
        except Exception as error:  # whatever it is, there is no answer
            return {"error": f"{type(error).__name__}: {error}"[:300]}


async def answers(order: dict[str, Any]) -> dict[str, Any]:
    lm = dspy.LM(
        "openai/model",
        api_base=order["url"] + "/v1",
        api_key=order["key"],
        temperature=0.0,
        max_tokens=MOST_TOKENS,
        cache=False,
    )
    free = asyncio.Semaphore(AT_ONCE)
    with dspy.context(lm=lm):
        told = await asyncio.gather(*(ask(order, item, free) for item in order["items"]))
    spent = [dict(entry.get("usage") or {}) for entry in lm.history]
    sums = [
        sum(each.get(f"{kind}_tokens") or 0 for each in spent) for kind in ("prompt", "completion")
    ]
    return {"told": told, "calls": len(spent), "tokens_in": sums[0], "tokens_out": sums[1]}


def main() -> None:
    for line in sys.stdin:
        print(json.dumps(asyncio.run(answers(json.loads(line)))), flush=True)


if __name__ == "__main__":
    logging.getLogger("dspy").setLevel(logging.ERROR)  # it warns of every reply that it asks again
    main()
