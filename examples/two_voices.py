"""An async program, and its text as it is written: two calls at once, each piece with its call.

    python examples/two_voices.py "the sea"
    NLPU_ENGINE=scripted python examples/two_voices.py "the sea"     # tries the wiring
    nlpu run examples/two_voices.py "the sea"                        # the result alone

``async def`` is all that makes a program async: ``await`` a Value where its content is needed. A
run that is started with ``stream=True`` gives pieces of all its calls as they come; each knows the
op and the position that it belongs to. The program below waits for neither voice: the third call
reads both when they are there, while this file's ``main`` prints what has been said so far.
"""

import asyncio
import sys

from nlpu import Computer, nlop


@nlop(max_tokens=40, at_limit="trim", repetition_penalty=1.1)
def sailor(theme: str) -> str:
    """Say what a sailor thinks of the theme, in one sentence."""


@nlop(max_tokens=40, at_limit="trim", repetition_penalty=1.1)
def farmer(theme: str) -> str:
    """Say what a farmer thinks of the theme, in one sentence."""


@nlop(max_tokens=40, at_limit="trim", repetition_penalty=1.1)
def difference(sailor: str, farmer: str) -> str:
    """Say in one sentence where the two differ."""


async def two_voices(theme: str) -> str:
    """Where two people differ on a theme."""
    return await difference(sailor(theme), farmer(theme))


async def main(theme: str) -> None:
    """Print each piece with who said it, then the result."""
    async with Computer() as computer:
        run = computer.start(two_voices, theme, stream=True)
        async for piece in run.stream():
            print(f"{piece.op:>12} | {piece!s}")
        print(f"\n{(await run).result}")


if __name__ == "__main__":
    asyncio.run(main(" ".join(sys.argv[1:]) or "the sea"))
