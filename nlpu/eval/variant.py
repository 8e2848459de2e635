"""Variants: an op's words and examples as a small file that a program loads.

    tuned = variant(colour, "colour.json")       # the op in the words of the file

Theory of operation
-------------------
``tune`` finds words and examples for an op, and a variant is what it found: the op's name and
digest as it was, the instruction, the examples as the model reads and writes them, and what was
measured. The file is JSON for people to read. Loaded, it is an op like any other, whose digest has
what the variant changed.

Rules
1. What a file holds is data: it is read as JSON and held against the op as whatever a program gives
   it. A file that is too long, has other fields or other types, or does not fit, is Usage.
2. A variant is of one op, by name and digest: of another, or of other words, it is refused.
3. Words that were changed in the file were not measured: they are refused. Who wants others writes
   them into the program. This tells slips; it is no seal against who writes the digest, too.
4. Its words are the program's own in every prompt: who loads a file vouches for it, as for code.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from nlpu.errors import BadOp, Usage
from nlpu.ops.examples import Example
from nlpu.ops.op import Op
from nlpu.printing import one_line
from nlpu.types.json_text import Twice, once

R = TypeVar("R")
_MOST_BYTES = 1 << 20


class Shown(BaseModel):
    """An example: the operands in order and the right answer, as texts."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    operands: tuple[str, ...]
    answer: str


class Variant(BaseModel):
    """An op's instruction and examples. of: the op's digest before. told: what was measured."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    nlpu: Literal["variant"] = "variant"
    op: str
    of: str
    text: str
    examples: tuple[Shown, ...]
    told: tuple[str, ...] = ()
    digest: str = ""

    @classmethod
    def made(cls, op: Op[Any], changed: Op[Any], told: Sequence[str] = ()) -> Variant:
        """Give what an op becomes another by."""
        shown = tuple(Shown(operands=e.operands, answer=e.answer) for e in changed.examples)
        bare = cls(
            op=op.name, of=op.digest.hex(), text=changed.text, examples=shown, told=tuple(told)
        )
        return bare.model_copy(update={"digest": bare.seal()})

    def seal(self) -> str:
        """Give the digest of all that a person could change by hand (rule 3)."""
        text = json.dumps(self.model_dump(mode="json", exclude={"digest"}), sort_keys=True)
        return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

    def of_op(self, op: Op[R]) -> Op[R]:
        """Give the op in these words. Raises Usage (rules 2 and 3)."""
        if self.digest != self.seal():
            raise Usage(
                f"the variant of {self.op} was changed since it was measured: tune anew, or write "
                "the words that you want into your program"
            )
        if (self.op, self.of) != (op.name, op.digest.hex()):
            what = "has other words, examples or settings now" if self.op == op.name else "is asked"
            raise Usage(f"the variant is of {self.op}, and {op.name} {what}: tune {op.name}")
        try:
            shown = [Example(each.operands, each.answer) for each in self.examples]
            return replace(op, text=self.text, examples=shown)
        except BadOp as error:
            raise Usage(f"the variant does not fit {op.name}: {error}") from None

    def __str__(self) -> str:
        lines = [f"{self.op}: {self.text}"]
        lines += [f"  {', '.join(e.operands)} -> {e.answer}" for e in self.examples]
        return "\n".join(one_line(line, 200) for line in lines)

    def written(self) -> str:
        """Give it as the text of a file."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=True) + "\n"


def variant(op: Op[R], path: str | os.PathLike[str]) -> Op[R]:
    """Give an op in the words of the file that ``tune`` wrote for it. Raises Usage."""
    if not isinstance(op, Op):
        raise Usage(f"a variant is of an op, not of {op!r:.60}")
    return variant_in(path).of_op(op)


def variant_in(path: str | os.PathLike[str]) -> Variant:
    """Read the file of a variant. Raises Usage (rule 1)."""
    try:
        content = _content(Path(path))
        made = json.loads(content, object_pairs_hook=once)
        return Variant.model_validate_json(json.dumps(made))
    except OSError as error:
        raise Usage(f"{path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "it"
        why = f"{place}: {first['msg']}"
    except (ValueError, TypeError, RecursionError, Twice) as error:
        why = str(error)
    raise Usage(f"{path} is no variant that nlpu tune wrote ({one_line(why, 120)})")


def _content(path: Path) -> str:
    """All of a file that is one, and short. Raises OSError, ValueError."""
    if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
        raise ValueError("it is not a file")
    with path.open("rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise ValueError("it is longer than 1 MB")
    return content.decode()
