"""Two processors: a small model tries, a large one is asked where the answer does not hold.

    python examples/two_models.py                                             # two embedded models
    python examples/two_models.py http://127.0.0.1:8001 http://127.0.0.1:8002 # two servers
    python examples/two_models.py scripted scripted                           # tries the wiring

A computer holds processors by name; the first is the default, and an op names another with
``using(processor=...)``. Whether a name may be right can be seen without a model: it stands in the
letter. So the large one is paid for only where the small one made something up, and the receipt has
a row for each op. (Without arguments the large model, 491 MB, is downloaded when it is not there;
then two of the three names came from it, and all were right.)
"""

import sys
from typing import Annotated

from pydantic import BaseModel, Field

from nlpu import Computer, Value, nlop
from nlpu.engines.embedded.engine import EmbeddedEngine

LETTERS = (
    "The kettle came on Monday and works well. Yours, Ann Larsen",
    "Two of three lamps are broken; Mr Okafor of your shop has seen it. Tomas Reyes",
    "We moved to Harbour Street 9. Please note it. Ines Brandt",
)


class Signed(BaseModel):  # a docstring here would be told to the model
    name: Annotated[str, Field(pattern=r"^[A-Z][a-z]+ [A-Z][a-z]+$")]


@nlop(max_tokens=40)
def sender(letter: str) -> Signed:
    """Copy from the letter the name of who wrote it."""


better = sender.using(processor="large")


def two_models() -> list[tuple[str, Value[Signed]]]:
    """Who wrote each letter, and which model said so."""
    tried = [(letter, sender(letter)) for letter in LETTERS]  # all at once
    return [
        ("small", signed) if signed.value.name in letter else ("large", better(letter))
        for letter, signed in tried
    ]


if __name__ == "__main__":
    engines: dict[str, str | EmbeddedEngine] = dict(
        zip(("small", "large"), sys.argv[1:], strict=False)
    )
    if not engines:
        engines = {"small": "local", "large": EmbeddedEngine("qwen2.5-coder-0.5b")}
    with Computer(engines) as computer:
        run = computer.run(two_models)
        for model, signed in run.result:
            print(f"{model}: {signed.name}")
        print(run.receipt)
