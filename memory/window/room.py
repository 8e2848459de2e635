"""The room that one operand of an op has, for what is filled in from memory.

Theory of operation
-------------------
What fits depends on more than the text's own tokens: the other operands, fences that grow with the
backticks inside, the op's processor. So a text is counted in the prompt that it is meant for.

Rules
1. A text of no more tokens than the room, by the given count, fits the op's prompt.
"""

from __future__ import annotations

from typing import Any

from nlpu.chat import turns_in
from nlpu.errors import DoesNotFit
from nlpu.memory.window.entries import Count
from nlpu.ops.op import Op
from nlpu.value import Value, current


def room_for(op: Op[Any], name: str, others: dict[str, Any]) -> tuple[str, int, Count]:
    """The other operands' text, the tokens left for operand ``name``, and how to count them.

    Of a chat the text is what was said last. The other operands are waited for. Raises DoesNotFit.
    """
    texts = {key: _text(op, key, other) for key, other in others.items()}
    processor = current().processor(op.processor)
    convention = processor.convention
    more = "\n" if convention.line else ""  # as one of several lines: pages are counted one by one

    def taken(text: str) -> int:
        filled = texts | {name: text + more}
        contents = [filled[place.name] for place in op.operands]
        return int(processor.codec.operand_tokens(op, contents, convention))

    theirs = taken("")
    room = processor.room(op) - theirs
    if room <= 0:
        raise DoesNotFit(
            f"the operands of {op.name} leave no room for {name!r} from memory: shorten them",
            -room,
            0,
        )
    chat = op.operands[op.chat].name if op.chat >= 0 else None
    asked = [turns_in(text)[-1][1] if key == chat else text for key, text in texts.items()]
    return "\n".join(asked), room, lambda text: taken(text) - theirs


def _text(op: Op[Any], name: str, operand: Any) -> str:
    content = operand.value if isinstance(operand, Value) else operand
    place = next(place for place in op.operands if place.name == name)
    return place.type.render(content)
