"""From logits to text: one row's constraint, its choice of tokens, and its text as it grows.

Theory of operation
-------------------
A ``Sampler`` turns a line of logits into the next token: the constraint's mask first, then the
largest (temperature 0) or a draw. A ``Text`` turns tokens into text: bytes are decoded only when
they make whole characters, and text that could be the beginning of a stop string is held back
until it is one or is not.

Rules
1. A row draws one uniform number a token, from a generator of its own: what it draws does not
   depend on which other rows run.
2. Special tokens give no text, and under a constraint they cannot be chosen at all.
3. The pieces that ``Text`` gives out, concatenated, are the reply's text.
4. When a constraint leaves nothing to choose but the end, the row ends; no pass is spent on it.
"""

from __future__ import annotations

import codecs
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpu.errors import ConstraintRejected, MissingPart
from nlpu.judgement import probabilities
from nlpu.wire import Constraint, Request

if TYPE_CHECKING:
    import torch

_NUCLEUS = 1024  # tokens looked at first for top_p; the rest are sorted only when these fall short

_CACHE = 1 << 28  # bytes of compiled constraints kept
_IGNORED = {
    *("not", "if", "contains", "uniqueItems", "dependentRequired", "dependentSchemas"),
    *("minContains", "maxContains"),
}
_BY_NAME = ("properties", "patternProperties", "$defs", "definitions")
_DATA = ("const", "enum", "default", "examples")


class Vocabulary:
    """A model's tokens as bytes, its end tokens, and the compiler of constraints over them."""

    def __init__(self, directory: Path, size: int, ends: frozenset[int]) -> None:
        # Imported here for the reason given in forward.py.
        try:
            import transformers
            import xgrammar
        except ImportError as error:
            raise MissingPart(
                f"the embedded processor needs {error.name}: install nlpu[local]"
            ) from error
        tokenizer = transformers.AutoTokenizer.from_pretrained(directory, local_files_only=True)
        found = xgrammar.TokenizerInfo.from_huggingface(tokenizer, vocab_size=size)
        special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
        self.ends = ends or frozenset({tokenizer.eos_token_id})
        self.bytes: list[bytes] = [
            b"" if i in special else token for i, token in enumerate(found.decoded_vocab)
        ]
        # Told apart from text: an empty token is special to xgrammar and never allowed, while
        # "<|im_start|>" as bytes would be allowed wherever those letters are.
        info = xgrammar.TokenizerInfo(self.bytes, vocab_size=size, stop_token_ids=sorted(self.ends))
        self._xgrammar: Any = xgrammar
        self._compiler: Any = xgrammar.GrammarCompiler(
            info, max_threads=1, cache_limit_bytes=_CACHE
        )
        self._only_end = self.mask(0)
        for end in self.ends:
            self._only_end[0, end // 32] |= _bit(end)

    def mask(self, fill: int = -1) -> torch.Tensor:
        """A mask over the vocabulary, all allowed (-1) or nothing allowed (0)."""
        return self._xgrammar.allocate_token_bitmask(1, len(self.bytes)).fill_(fill)

    def apply(self, logits: torch.Tensor, mask: torch.Tensor) -> None:
        """Forbid in ``logits`` what ``mask`` does not allow."""
        self._xgrammar.apply_token_bitmask_inplace(logits, mask)

    def only_end(self, mask: torch.Tensor) -> bool:
        """True if ``mask`` allows nothing but the end."""
        return not bool((mask & ~self._only_end).any())

    def compile(self, constraint: Constraint) -> Any:
        """The constraint's grammar. Seconds for long bounded strings, then remembered; safe from
        any thread, and other threads run meanwhile."""
        try:
            return self._compile(constraint)
        except (RuntimeError, ValueError, TypeError) as error:
            raise ConstraintRejected(
                f"the embedded processor cannot decode under this {constraint.kind} constraint: "
                f"{_reason(error)}; simplify the result type"
            ) from error

    def matcher(self, grammar: Any) -> Any:
        """A fresh matcher at the beginning of a compiled grammar."""
        return self._xgrammar.GrammarMatcher(grammar)

    def _compile(self, constraint: Constraint) -> Any:
        if constraint.kind == "regex":
            return self._compiler.compile_regex(constraint.spec)
        content = json.loads(constraint.spec)
        if constraint.kind == "json":
            _refuse_ignored(content)
            return self._compiler.compile_json_schema(constraint.spec, any_whitespace=False)
        if not content or not all(isinstance(one, str) and one for one in content):
            raise ValueError("a choice is a JSON array of strings that are not empty")
        # JSON's escapes are the grammar's; other characters stand for themselves.
        literals = (json.dumps(one, ensure_ascii=False) for one in content)
        return self._compiler.compile_grammar("root ::= " + " | ".join(literals))


def _refuse_ignored(schema: Any) -> None:
    """Raise for what xgrammar would leave out of the grammar without an error."""
    if isinstance(schema, list):
        for part in schema:
            _refuse_ignored(part)
    if not isinstance(schema, dict):
        return
    ignored = _IGNORED & schema.keys()
    if "pattern" in schema:
        ignored |= {"minLength", "maxLength"} & schema.keys()
    if len(schema.get("allOf", ())) > 1:
        ignored |= {"allOf"}
    if ignored:
        raise ValueError(f"it would not hold {', '.join(sorted(ignored))}")
    for word, part in schema.items():
        if word in _BY_NAME and isinstance(part, dict):
            _refuse_ignored(list(part.values()))  # keys are the program's names, not keywords
        elif word not in _DATA:
            _refuse_ignored(part)


def _reason(error: Exception) -> str:
    """The last line of the message, without xgrammar's time and source position."""
    lines = str(error).strip().splitlines() or [repr(error)]
    return re.sub(r"^\[[\d:]+\] \S+:\d+: ", "", lines[-1]).rstrip(". ")


def _bit(token: int) -> int:
    bit = 1 << (token % 32)
    return bit - (1 << 32) if bit >= 1 << 31 else bit  # as the signed number the mask holds


class Sampler:
    """Chooses one row's tokens."""

    def __init__(self, vocabulary: Vocabulary, request: Request, grammar: Any, torch: Any) -> None:
        self._vocabulary, self._request, self._torch = vocabulary, request, torch
        self._random: Any = None
        if request.temperature > 0:
            self._random = torch.Generator()
            if request.seed is None:
                self._random.seed()
            else:
                self._random.manual_seed(request.seed)
        if request.repetition_penalty != 1:
            self._read = torch.tensor(sorted({t for t in request.prompt if isinstance(t, int)}))
        self.probabilities: tuple[float, ...] = ()
        self._matcher: Any = None
        if grammar is not None:
            self._matcher = vocabulary.matcher(grammar)
            self._mask = vocabulary.mask()
            self._matcher.fill_next_token_bitmask(self._mask)

    def choose(self, logits: torch.Tensor) -> int:
        """The next token, after which the constraint has moved on by it."""
        if self._request.probabilities and not self.probabilities:
            self.probabilities = self._weigh(logits)
        if self._request.repetition_penalty != 1:
            logits = self._penalised(logits)
        if self._matcher is not None:
            self._vocabulary.apply(logits[None], self._mask)
        token = self._draw(logits) if self._random is not None else int(logits.argmax())
        if self._matcher is not None and not self._advance(token):
            raise ConstraintRejected("the constraint allows no next token: it cannot be satisfied")
        if self._request.repetition_penalty != 1:
            self._read = self._torch.cat((self._read, self._torch.tensor([token]))).unique()
        return token

    def _penalised(self, logits: torch.Tensor) -> torch.Tensor:
        """Lower what was read or written before (Keskar et al., "CTRL", 2019; as vLLM does)."""
        penalty = self._request.repetition_penalty
        known = logits[self._read]
        lower = self._torch.where(known > 0, known / penalty, known * penalty)
        return logits.index_put((self._read,), lower)

    def _weigh(self, logits: torch.Tensor) -> tuple[float, ...]:
        """How likely each choice is, before its first token."""
        assert self._request.constraint is not None
        known, logits = self._vocabulary.bytes, logits.clone()
        self._vocabulary.apply(logits[None], self._mask)
        chances = self._torch.softmax(logits, dim=-1)
        allowed = chances.nonzero().flatten().tolist()
        first = [(known[i].decode(errors="replace"), float(chances[i])) for i in allowed]
        return probabilities(json.loads(self._request.constraint.spec), first)

    def complete(self) -> bool:
        """True if only the end may follow."""
        return self._matcher is not None and self._vocabulary.only_end(self._mask)

    def _advance(self, token: int) -> bool:
        if not self._matcher.accept_token(token):
            return False
        if not self._matcher.is_terminated():
            self._matcher.fill_next_token_bitmask(self._mask)
        return True

    def _draw(self, logits: torch.Tensor) -> int:
        torch, top_p = self._torch, self._request.top_p
        chances = torch.softmax(logits / self._request.temperature, dim=-1)
        point = float(torch.rand(1, generator=self._random, dtype=torch.float64))
        if top_p >= 1:
            return self._pick(chances, point)
        best, tokens = chances.topk(min(_NUCLEUS, len(chances)))
        if float(best.sum()) < top_p:
            best, tokens = chances.sort(descending=True)
        kept = int((best.cumsum(0) < top_p).sum()) + 1
        return int(tokens[self._pick(best[:kept], point)])

    def _pick(self, chances: torch.Tensor, point: float) -> int:
        sums = chances.cumsum(0, dtype=self._torch.float64)
        at = int(self._torch.searchsorted(sums, point * float(sums[-1]), right=True))
        # Rounding may put the point on the very end, beyond the last token that has a chance.
        return at if at < len(chances) else int(chances.nonzero()[-1])


class Text:
    """One row's text as its tokens arrive."""

    def __init__(self, vocabulary: Vocabulary, stops: tuple[str, ...]) -> None:
        self._bytes = vocabulary.bytes
        self._decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self._given: list[str] = []
        self.stopped = False

    def add(self, token: int) -> str:
        """The text that is certain now and was not before."""
        return self._release(self._decode(self._bytes[token]), final=False)

    def end(self) -> str:
        """The rest: a broken character becomes a replacement character."""
        return "" if self.stopped else self._release(self._decode(b"", True), final=True)

    def whole(self) -> str:
        """Everything given out so far."""
        return "".join(self._given)

    def _release(self, new: str, final: bool) -> str:
        text = self._held + new
        hits = [at for stop in self._stops if (at := text.find(stop)) >= 0]
        if hits:
            self.stopped, piece, self._held = True, text[: min(hits)], ""
        else:
            keep = 0 if final else self._begun(text)
            piece, self._held = text[: len(text) - keep], text[len(text) - keep :]
        if piece:
            self._given.append(piece)
        return piece

    def _begun(self, text: str) -> int:
        """Length of the longest end of ``text`` that begins a stop string."""
        longest = max(map(len, self._stops), default=1) - 1
        for size in range(min(longest, len(text)), 0, -1):
            if any(stop.startswith(text[-size:]) for stop in self._stops):
                return size
        return 0
