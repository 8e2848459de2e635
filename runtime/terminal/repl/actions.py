"""What a session can do, as plain functions: the REPL and the programs it saves both use them.

A line of plain language is a call of the op ``say``. The line is the last turn of a chat; before it
are the lines and answers of the context, and the values that the line names are operands of their
own, so they never stand among what a person says.
"""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from nlpu.chat import Chat, chat_of
from nlpu.errors import Usage
from nlpu.label import UNTRUSTED
from nlpu.lifting import lift
from nlpu.memory.window.entries import JOINT
from nlpu.ops.op import Op, Operand
from nlpu.prompt.convention import FIRST
from nlpu.runtime.graph.node import Scope
from nlpu.runtime.graph.spawning import spawn
from nlpu.runtime.loader import load
from nlpu.runtime.terminal.arguments import Content, bind
from nlpu.runtime.terminal.inputs import read_file
from nlpu.runtime.terminal.output import as_text
from nlpu.sampling import Sampling
from nlpu.types.result import result_type
from nlpu.value import Value, current, peek_content

ANSWER = "Answer the last message."
ANSWER_TOKENS = 256


def said(*names: str) -> Op[str]:
    """The op of a line that reads operands of these names."""
    return _op(ANSWER, Operand("context", result_type(Chat)), *map(_text, names))


def said_alone(text: str, *names: str) -> Op[str]:
    """As ``said``, with the line as the instruction: in sessions from before there were chats."""
    return _op(text, *map(_text, names))


def _text(name: str) -> Operand:
    return Operand(name, result_type(str))


def _op(text: str, *places: Operand) -> Op[str]:
    sampling = Sampling(ANSWER_TOKENS, repetition_penalty=1.1)  # for small models
    return Op(
        "say", text, operands=places, result=result_type(str), sampling=sampling, at_limit="trim"
    )


def has_chats() -> bool:
    """Whether the run that this is inside of asks with chats: what an old one said is met again."""
    scope = current()
    assert isinstance(scope, Scope)  # there is no other issuer
    return scope.run.convention is not FIRST


def say(text: str, context: Any = None, /, **values: Any) -> Value[str]:
    """One call: a line on the context and on the values it names."""
    read = {name: as_operand(value) for name, value in values.items()}
    if has_chats():
        chat = Chat().user(text) if context is None else lift(_asked)(context, text)
        return said(*read)(chat, *read.values())
    given = read if context is None else {"context": context, **read}
    return said_alone(text, *given)(*given.values())


def _asked(context: list[str], line: str) -> Chat:
    """The context with a line behind it; a text of its own stands in the line's turn."""
    *before, last = context
    return chat_of(*before, JOINT.join(filter(None, (last, line))))


class Given(NamedTuple):
    """A value's text as an argument of a program: never taken for name=value."""

    text: str


def given(value: Value[Any]) -> Given:
    """The value as an argument; waits for it."""
    return Given(as_text(value.value))


def run(spec: str, *words: str | Given, **named: Given) -> Value[Any]:
    """A program on words as they are typed and on values."""
    program = load(spec)
    typed = [arg if isinstance(arg, str) else Content(arg.text) for arg in words]
    contents = {name: Content(arg.text) for name, arg in named.items()}
    args, kwargs = bind(program, typed, named=contents)
    return spawn(program.function, *args, **kwargs)


def reword(**texts: str) -> None:
    """Give ops other texts, by name, for all of this run. An edit of the run itself goes first."""
    scope = current()
    assert isinstance(scope, Scope)
    scope.run.replay.reworded = texts | scope.run.replay.reworded


def file(path: str, digest: str) -> Value[str]:
    """The text that a session read. A person named it, but did not write it: untrusted."""
    text = read_file(Path(path))
    if digest_of(text) != digest:
        raise Usage(f"{path} has changed since the session read it; put that text back")
    return Value(text, UNTRUSTED)


def digest_of(text: str) -> str:
    """What tells a text from another."""
    return blake2b(text.encode(), digest_size=8).hexdigest()


def turn(name: str, line: str, answer: Any) -> str:
    """What the context holds of a line and its answer."""
    return f"{name}> {line}\n{as_text(answer)}"


def pinned(name: str, content: Any) -> str:
    """What the context holds of a pinned value."""
    return f"{name}:\n{as_text(content)}"


def context(*parts: Any) -> Value[Any]:
    """What a line reads besides, of turns (name, line, answer), pins (name, content) and other
    texts: the texts of a chat, of which the last is for the turn that follows."""
    return lift(_turns)(*parts) if has_chats() else lift(_joined)(*parts)


def _turns(*parts: Any) -> list[str]:
    texts: list[str] = []
    waiting: list[str] = []  # for the next turn of the user's
    for part in parts:
        if isinstance(part, str) or len(part) != 3:
            waiting.append(part if isinstance(part, str) else pinned(*part))
            continue
        _, line, answer = part
        texts += [JOINT.join([*waiting, line]), said_or_nothing(answer)]
        waiting = []
    return [*texts, JOINT.join(waiting)]


def said_or_nothing(answer: Any) -> str:
    """An answer as a turn of a chat, which is never empty."""
    text = as_text(answer)
    return text if text.strip() else "(nothing)"


def _joined(*parts: Any) -> str:
    def text(part: Any) -> str:
        if isinstance(part, str):
            return part
        return turn(*part) if len(part) == 3 else pinned(*part)

    return JOINT.join(map(text, parts))


def as_operand(value: Any) -> Any:
    """A value as something an op reads: results that are no text are shown as one."""
    if isinstance(value, Value) and not (value.ready and isinstance(peek_content(value), str)):
        return lift(as_text)(value)
    return value if isinstance(value, Value | str) else as_text(value)
