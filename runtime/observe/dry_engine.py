"""The engine of dry runs: answers each call as an earlier one of the same op was answered.

It answers after the seconds that one took, on a clock that jumps; what an op never called would
say is made up, and the op is named. What dry runs are for is told in ``forecast``.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from random import Random

from nlpu.errors import BadOp, ConstraintRejected, Malformed, failure_of
from nlpu.judgement import read
from nlpu.processor import SYSTEM_MARK
from nlpu.prompt.ids import Prompt
from nlpu.runtime.observe.samples import Draw, Experience, Sample
from nlpu.testing.values import made_up
from nlpu.types.from_schema import schema_type
from nlpu.types.result import ResultType
from nlpu.wire import Capabilities, Message, Reply, Request, Usage

_UNKNOWN_SHARE = (0.2, 1.0)  # of its limit that an op never called is taken to write
_THOUGHT = ("</think>",)  # what ends a request for thinking alone
_FENCED = re.compile(r"^(`{3,})\n.*?\n\1$", re.DOTALL | re.MULTILINE)
_LABEL = re.compile(r"\w[\w ]*:( |$)|The text above is the \w+\.$")


class DryEngine:
    """Implements the Engine protocol: answers as earlier calls of the same op were answered."""

    def __init__(self, known: Capabilities, experience: Experience) -> None:
        self._known = known
        self._experience = experience
        self._by_text = sorted(experience.samples, key=lambda op: -len(op.text))
        self._pace_s = experience.seconds_per_token() or 0.0
        self._decode = _decoder(known)
        self.unknown: set[str] = set()
        self.begin(0)

    def begin(self, seed: int) -> None:
        """Begin the next dry run: it draws from another earlier run."""
        self._chance = Random(seed)
        self._draw = Draw(self._experience, self._chance, seed)
        self._answers = 0

    async def capabilities(self) -> Capabilities:
        return self._known

    async def send(self, request: Request, on_text: Callable[[str], None] | None = None) -> Reply:
        sample = self._sample(request)
        thinks = request.sampling.stop == _THOUGHT
        share = _share(sample, thinks)
        if sample.service_s:
            await asyncio.sleep(sample.service_s * share)
        if sample.fault and not thinks:
            raise failure_of(sample.fault, sample.message, sample.side)
        tokens = sample.thinking_tokens if thinks else sample.completion_tokens
        tokens -= 0 if thinks else sample.thinking_tokens
        prompt = _length(request)
        return Reply(
            "thought " * tokens if thinks else sample.text,
            "stop",
            Usage(
                prompt, min(tokens, request.sampling.max_tokens), int(prompt * sample.cached_share)
            ),
        )

    def cancel(self, request_id: str) -> None:
        """Its task is cancelled, and that is all there is."""

    async def close(self) -> None:
        """Nothing is open."""

    def _sample(self, request: Request) -> Sample:
        text = self._decode(request)
        thinks = request.sampling.stop == _THOUGHT
        asked = _FENCED.sub("", self._decode(_constants(request)))
        free = request.constraint is None
        named = (op for op in self._by_text if op.text in asked)
        op = next((op for op in named if thinks or (op.result == "text") == free), None)
        sample = None if op is None else self._draw.sample(op)
        if sample is None or not (thinks or sample.fault or _fits(sample.text, request)):
            lines = (line for line in asked.splitlines() if line and not _LABEL.match(line))
            self.unknown.add(next(lines, "")[:60])
            sample = self._guess(request, text)
        if request.constraint is None and not sample.fault:
            self._answers += 1  # equal texts would make the calls that read them one call
            sample = sample._replace(text=f"{sample.text} {self._answers}")
        return sample

    def _guess(self, request: Request, text: str) -> Sample:
        """An answer to an op that was never called."""
        tokens = max(1, int(request.sampling.max_tokens * self._chance.uniform(*_UNKNOWN_SHARE)))
        said = "word " * tokens
        if request.constraint is not None:
            with suppress(ConstraintRejected):  # it is no result, as a model's might be
                said = made_up(request, f"{text}{self._chance.random()}")
            tokens = min(tokens, len(said))
        return Sample(said, tokens, 0, 0.0, tokens * self._pace_s)


def _constants(request: Request) -> Request:
    """The request without its operands, where its prompt is known in pieces."""
    if not isinstance(request.prompt, Prompt):
        return request
    return request._replace(prompt=Prompt(request.prompt.pieces[::2]))


def _fits(text: str, request: Request) -> bool:
    """Whether an earlier answer can be one to this request: the op's result may be another now."""
    asked = request.constraint
    try:
        if asked is None:
            return True
        if asked.kind == "regex":
            return re.fullmatch(asked.spec, text) is not None
        if asked.kind == "choice":
            if request.probabilities:
                read(text)
            return request.probabilities or text in json.loads(asked.spec)
        _typed(asked.spec).parse(text)
    except BadOp:  # a schema of a shape that is not read here
        return True
    except (ValueError, Malformed):
        return False
    return True


@lru_cache(maxsize=64)
def _typed(spec: str) -> ResultType:
    return schema_type("result", json.loads(spec))


def _share(sample: Sample, thinks: bool) -> float:
    """The part of a call's seconds that its thinking took, or all else."""
    thought = sample.thinking_tokens / max(1, sample.completion_tokens)
    return thought if thinks else 1.0 - thought


def _length(request: Request) -> int:
    """Prompt tokens, or a bound where the engine gets messages."""
    if all(isinstance(item, int) for item in request.prompt):
        return len(request.prompt)
    return sum(len(item.content.encode()) for item in request.prompt if isinstance(item, Message))


def _decoder(known: Capabilities) -> Callable[[Request], str]:
    """What reads a prompt's text again."""
    if known.tokenizer in (None, "chars"):
        return lambda request: "".join(
            item.content if isinstance(item, Message) else chr(item) if item < SYSTEM_MARK else "\n"
            for item in request.prompt
        )
    # Imported here: only a model's own files need the library, and they are not always there.
    from tokenizers import Tokenizer

    library = Tokenizer.from_file(str(Path(known.tokenizer or "") / "tokenizer.json"))
    return lambda request: str(
        library.decode([item for item in request.prompt if isinstance(item, int)])
    )
