"""What the scripted server says: a text that depends on the request only, and obeys its constraint.

Theory of operation
-------------------
The words come from a stream of numbers drawn from a hash of the prompt (``Dice``). A choice, a
regular expression or a JSON schema is answered by walking it and rolling the dice at each branch.

Rules
1. Same prompt and constraint, same answer; nothing else counts, not even the request's id.
2. One piece is one token, in prompts given as text and in answers: ``pieces`` cuts both.
3. A schema or expression that is not understood is an error, never an invalid answer.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from importlib import import_module
from math import isinf, log
from typing import Any

from nlpu.engines.fault_grammar import sample

_TEXT = (
    "the a one old red small quiet bright river house garden letter captain rabbit window morning "
    "found saw kept gave took under near before after with without slowly again never almost"
)
WORDS = tuple(_TEXT.split())
_PIECE = re.compile(r"\s?\S{1,7}|\s")
_MANY = 3  # repetitions rolled where an expression or schema sets no upper bound


class Dice:
    """An endless stream of numbers drawn from ``key``."""

    def __init__(self, key: str) -> None:
        self._key, self._n = key, 0

    def below(self, n: int) -> int:
        self._n += 1
        digest = hashlib.sha256(f"{self._key}/{self._n}".encode()).digest()
        return int.from_bytes(digest[:7], "big") % n

    def between(self, low: int, high: int) -> int:
        return low + self.below(max(1, high - low + 1))

    def words(self, n: int) -> str:
        return " ".join(WORDS[self.below(len(WORDS))] for _ in range(n))


def pieces(text: str) -> list[str]:
    """``text`` cut into what this server calls tokens."""
    return _PIECE.findall(text)


def prompt_of(body: dict[str, Any]) -> Any:
    return body.get("prompt", body.get("messages", ""))


def prompt_hash(body: dict[str, Any]) -> str:
    prompt = json.dumps(prompt_of(body), separators=(",", ":"))
    return hashlib.sha256(prompt.encode()).hexdigest()[:16]


def prompt_pieces(body: dict[str, Any]) -> list[Any]:
    """The prompt's tokens as this server cuts them; a message has four of its own."""
    prompt = prompt_of(body)
    if isinstance(prompt, str):
        return list(pieces(prompt))
    if prompt and isinstance(prompt[0], dict):
        parts = ([m.get("role"), "", "", "", *pieces(str(m.get("content")))] for m in prompt)
        return [piece for part in parts for piece in part]
    return list(prompt)


def limit_of(body: dict[str, Any]) -> int:
    """Most tokens to generate, under either of its names; 16 where neither is given."""
    return int(body.get("max_tokens") or body.get("max_completion_tokens") or 16)


def constraint_of(body: dict[str, Any]) -> tuple[str, Any] | None:
    """(kind, spec) of the request's constraint, in vLLM's form or in OpenAI's."""
    for kind, spec in (body.get("structured_outputs") or {}).items():
        if kind in {"choice", "regex", "json", "grammar"}:
            return kind, json.loads(spec) if kind == "json" and isinstance(spec, str) else spec
    wanted = body.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        return "json", wanted["json_schema"]["schema"]
    return None


def answer(body: dict[str, Any]) -> str:
    """The whole text, before ``stop`` and ``max_tokens``."""
    constraint = constraint_of(body)
    dice = Dice(f"{prompt_hash(body)}/{json.dumps(constraint)}")
    if constraint is None:
        return dice.words(dice.between(4, 24)) + "."
    kind, spec = constraint
    if kind == "choice":
        return str(spec[dice.below(len(spec))])
    if kind == "regex":
        return match(spec, dice)
    if kind == "grammar":
        return sample(spec, dice)
    return json.dumps(instance(spec, spec, dice), separators=(",", ":"), ensure_ascii=False)


def full(body: dict[str, Any]) -> str | None:
    """A free text of exactly ``max_tokens`` tokens; None where the constraint is closed."""
    constraint = constraint_of(body)
    if constraint is not None and constraint[0] != "regex":
        return None
    return prompt_hash(body)[:7] + " again" * (limit_of(body) - 1)


def logprobs(body: dict[str, Any], parts: list[str]) -> dict[str, Any] | None:
    """The log-probabilities of a choice's first token, if asked for; what was said leads."""
    kind, choices = constraint_of(body) or ("", [])
    if not body.get("logprobs") or kind != "choice":
        return None
    said, rest = 0.55 + Dice(prompt_hash(body)).below(40) / 100, max(1, len(choices) - 1)
    top = {one: log(said if one == "".join(parts) else (1 - said) / rest) for one in choices}
    if "messages" not in body:
        return {"tokens": parts, "top_logprobs": [top]}
    return {"content": [{"top_logprobs": [{"token": t, "logprob": p} for t, p in top.items()]}]}


# -- JSON schemas ----------------------------------------------------------------------------


def instance(schema: Any, root: Any, dice: Dice) -> Any:
    """A value that the schema allows."""
    if "$ref" in schema:
        return instance(_resolved(schema["$ref"], root), root, dice)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][dice.below(len(schema["enum"]))]
    for name in ("anyOf", "oneOf", "allOf"):
        if name in schema:
            return instance(schema[name][dice.below(len(schema[name]))], root, dice)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) else kind
    return _typed(kind, schema, root, dice)


def _resolved(ref: str, root: Any) -> Any:
    for name in ref.removeprefix("#/").split("/"):
        root = root[name]
    return root


def _typed(kind: str, schema: Any, root: Any, dice: Dice) -> Any:
    if kind == "object":
        return {k: instance(s, root, dice) for k, s in schema.get("properties", {}).items()}
    if kind == "array":
        low = schema.get("minItems", 0)
        n = dice.between(max(low, 1), min(schema.get("maxItems", _MANY), low + _MANY))
        n = min(n, schema.get("maxItems", n))
        return [instance(schema.get("items", {}), root, dice) for _ in range(n)]
    if kind == "string":
        return _string(schema, dice)
    if kind in {"integer", "number"}:
        return _number(schema, dice)
    return {"boolean": bool(dice.below(2)), "null": None}[kind]


def _string(schema: Any, dice: Dice) -> str:
    if "pattern" in schema:
        return match(schema["pattern"], dice)
    low, high = schema.get("minLength", 0), schema.get("maxLength", 1 << 20)
    text = dice.words(dice.between(1, 4))
    while len(text) < low:
        text += " " + dice.words(1)
    return text[:high]


def _number(schema: Any, dice: Dice) -> int:
    low = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
    high = schema.get("maximum", schema.get("exclusiveMaximum", low + 101) - 1)
    return dice.between(int(low), int(high))


# -- regular expressions ---------------------------------------------------------------------


def match(pattern: str, dice: Dice) -> str:
    """A text that the whole expression matches, for expressions without look-around."""
    parsed = import_module("re._parser").parse(pattern)
    for _ in range(20):  # an expression may hold nothing else
        text = "".join(_walk(parsed, dice))
        if not _is_far(text):
            break
    if re.fullmatch(pattern, text) is None:
        raise ValueError(f"this server is too simple for the expression {pattern}")
    return text


def _is_far(text: str) -> bool:
    """Whether it looks like a number and is beyond all of them (1e999)."""
    try:
        return isinf(float(text))
    except ValueError:
        return False


def _walk(tree: Any, dice: Dice) -> Iterator[str]:
    for op, arg in tree:
        yield _node(str(op), arg, dice)


def _node(op: str, arg: Any, dice: Dice) -> str:
    if op == "LITERAL":
        return chr(arg)
    if op == "BRANCH":
        return "".join(_walk(arg[1][dice.below(len(arg[1]))], dice))
    if op == "SUBPATTERN":
        return "".join(_walk(arg[3], dice))
    if op in {"MAX_REPEAT", "MIN_REPEAT"}:
        low, high, inner = arg
        n = dice.between(low, min(high, low + _MANY))
        return "".join("".join(_walk(inner, dice)) for _ in range(n))
    if op in {"IN", "ANY", "NOT_LITERAL", "CATEGORY"}:
        return _letter(op, arg, dice)
    if op == "AT":
        return ""
    raise ValueError(f"this server is too simple for {op.lower()} in an expression")


def _letter(op: str, arg: Any, dice: Dice) -> str:
    parts = {"IN": arg, "ANY": [("NEGATE", None)], "NOT_LITERAL": [("NEGATE", 0), ("LITERAL", arg)]}
    allowed = [c for c in map(chr, range(32, 127)) if _in_class(c, parts.get(op, [(op, arg)]))]
    plain = [c for c in allowed if c.isalnum()] or allowed
    return plain[dice.below(len(plain))]


def _in_class(char: str, parts: Any) -> bool:
    negated = any(str(op) == "NEGATE" for op, _ in parts)
    return negated != any(_is(char, str(op), arg) for op, arg in parts)


def _is(char: str, op: str, arg: Any) -> bool:
    if op == "LITERAL":
        return ord(char) == int(arg)
    if op == "RANGE":
        return int(arg[0]) <= ord(char) <= int(arg[1])
    name = str(arg).removeprefix("CATEGORY_")
    inside = {
        "DIGIT": char.isdigit(),
        "SPACE": char.isspace(),
        "WORD": char.isalnum() or char == "_",
    }
    known = inside.get(name.removeprefix("NOT_"))
    return op == "CATEGORY" and known is not None and name.startswith("NOT_") != known
