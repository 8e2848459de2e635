"""Reason and act: think, ask tools, look at what they say, until the question is answered.

    nlpu run react "What is 17 percent of 2340?"
    nlpu run react "Who built the mill?" store=.nlpu/memory --trace

Each step is one call, whose reply is decoded under a schema made of the tools' names and typed
arguments: a thought, and then either an answer or up to three actions, which are made at the same
time. So the model cannot ask for what no tool could take. The transcript is a chat: the steps are
the model's turns, the question and what the tools say are the user's. It only grows: all that stood
there before is in the server's cache. When it is too long for the window its oldest turns leave,
whole ones. What the tools say is untrusted, and the loop acts on it; so a tool that changes or
sends something, asked for after that, needs a person's approval. The loop ends with an answer, when
all its actions were made before, or after ``steps``; then an answer is written from what is there.
(After Yao and others, "ReAct", 2022.)
"""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel, ConfigDict, Field, create_model

from nlpu import BadOperand, DoesNotFit, DriverFailed, Op, Refused, Value, spawn
from nlpu.chat import Chat, chat_of
from nlpu.isa import answer
from nlpu.label import USER
from nlpu.memory.store.page import Among
from nlpu.memory.window.entries import JOINT, joined
from nlpu.memory.window.window import Window
from nlpu.ops.op import Operand
from nlpu.programs.calling import attempted
from nlpu.programs.opened import looked_up
from nlpu.runtime.drivers.arithmetic import calculate
from nlpu.runtime.drivers.clocks import clock
from nlpu.runtime.drivers.driver import Driver
from nlpu.runtime.drivers.recall import search
from nlpu.sampling import Sampling
from nlpu.types.result import result_type
from nlpu.value import current, see

Ended = Literal["answer", "repetition", "steps", "no valid step"]

STEPS = 8
PAGES = 3  # of one look into the memory
AT_ONCE = 3  # actions of one step
EXACT = ConfigDict(extra="forbid", serialize_by_alias=True)
DECIDE = """Take the next step towards the answer: a short thought, then tools to ask or the answer.
Ask several tools at once if they do not need each other's results. Never ask the same thing twice.
Answer as soon as the results are enough."""


class Action(BaseModel):
    """A tool that was asked, and what it said."""

    tool: str
    arguments: dict[str, Any]
    observation: str

    def __str__(self) -> str:
        given = ", ".join(f"{name}={content!r}" for name, content in self.arguments.items())
        return f"{self.tool}({given}) gave:\n{self.observation}"


class Step(BaseModel):
    """One thought and what was done after it."""

    thought: str
    actions: list[Action]


class Trace(BaseModel):
    """The answer, why the loop ended, and all its steps. Prints as the answer."""

    answer: str
    ended: Ended
    steps: list[Step]

    def __str__(self) -> str:
        return "\n".join([self.answer or "(no answer)", *self._unanswered()])

    def _unanswered(self) -> list[str]:
        return [] if self.ended == "answer" else [f"(ended: {self.ended})"]

    def trace(self) -> str:
        """All steps, and the answer."""
        parts = [
            "\n".join([fill(f"({n}) {step.thought}", 88), *map(str, step.actions)])
            for n, step in enumerate(self.steps, 1)
        ]
        return "\n\n".join([*parts, *self._unanswered(), fill(self.answer or "(no answer)", 88)])


class Answer(BaseModel):
    """The end of the loop, as the model writes it."""

    answer: str


def react(question: str, store: str = "", steps: int = STEPS, among: Among = "documents") -> Trace:
    """Answer a question with tools: a calculator, a clock and, if one is given, a memory.

    among: pages of the memory that are looked through: documents, own (what was said), or all.
    """
    if not store:
        return act(question, [calculate, clock()], steps)
    with looked_up(store, among) as memory:
        return act(question, [search(memory, PAGES), calculate, clock()], steps)


def act(question: str, drivers: Sequence[Driver], steps: int = STEPS) -> Trace:
    """The loop, with any drivers as its tools."""
    tools = {each.name: each for each in drivers}
    if not tools or steps < 1:
        raise BadOperand("an agent needs at least one tool (drivers) and one step (steps)")
    decide = next_step(drivers, current().processor(None).window)
    window = opening(question, drivers, decide)
    taken: list[Step] = []
    made: set[str] = set()
    while len(taken) < steps:
        see(window.label)
        step = attempted(decide, Value(chat_in(window), window.label))
        if step is None or getattr(step.next, "answer", None) == "":
            return concluded(question, window, taken, "no valid step")
        if isinstance(step.next, Answer):
            return Trace(answer=step.next.answer, ended="answer", steps=taken)
        asked = {each.model_dump_json(): each for each in step.next}  # the same twice is once
        if made.issuperset(asked):
            return concluded(question, window, taken, "repetition")
        made.update(asked)
        window = window.append(decide.result.render(step), window.label)
        acts = [spawn(performed, tools[each.tool], each) for each in asked.values()]
        for each in acts:
            window = window.append(str(each), each.label)
        window = without_half_steps(window)
        taken.append(Step(thought=step.thought, actions=[each.value for each in acts]))
    return concluded(question, window, taken, "steps")


def next_step(drivers: Sequence[Driver], window_tokens: int) -> Op[Any]:
    """The op that takes a step: its result type admits exactly what the tools take."""
    most_tokens = min(window_tokens // 4, 2048)
    # Thought and actions fit, even where each character is a token. One bound for all texts:
    # each other one takes an engine a second to prepare.
    text = Annotated[str, Field(max_length=most_tokens // (AT_ONCE + 2))]
    kinds: Any = tuple(action_type(each, text) for each in drivers)
    several: Any = Annotated[list[Union[kinds]], Field(min_length=1, max_length=AT_ONCE)]  # noqa: UP007
    done: Any = create_model("Done", __base__=Answer, answer=(text, ...))
    step = create_model("Step", thought=(text, ...), next=(several | done, ...))
    place = Operand("transcript", result_type(Chat))
    return Op("next_step", DECIDE, (place,), result_type(step), Sampling(most_tokens))


def action_type(driver: Driver, text: Any) -> Any:
    """The record of one tool's name and its arguments."""
    fields: dict[str, Any] = {}
    for number, each in enumerate(driver.arguments):
        kind = text if each.annotation is str else each.annotation
        default = each.default if each.optional else ...
        fields[f"a{number}"] = (kind, Field(default, alias=each.name))  # any name, even "copy"
    arguments = create_model(f"{driver.name} arguments", __config__=EXACT, **fields)
    parts: dict[str, Any] = {"tool": (Literal[driver.name], ...), "arguments": (arguments, ...)}
    return create_model(driver.name, __config__=EXACT, **parts)


def opening(question: str, drivers: Sequence[Driver], decide: Op[Any]) -> Window:
    """The transcript's beginning: what the tools do, and the question."""
    processor = current().processor(None)
    tools = "\n".join(
        ["tools:", *(f"- {each.name}: {each.about.partition(chr(10))[0]}" for each in drivers)]
    )
    turn = processor.codec.chat_tokens(Chat().user("?")) + 2  # and how texts are cut at their ends
    notes: list[str] = []  # what does not fit the window is whole in the Trace

    def count(text: str) -> int:  # at most so many turns: entries have a joint between them
        joints: int = text.count(JOINT)
        return processor.count(text) + turn * (1 + joints) if text else 0

    def keep(text: str, label: object) -> str:
        notes.append(text)
        return f"note {len(notes)}"

    window = Window(
        processor.room(decide), count, keep, pinned_tokens=count(tools), operand_tokens=0
    )
    return window.pin(tools, USER).append(f"question: {question}", USER)


def chat_in(window: Window) -> Chat:
    """The transcript as a chat."""
    turns: list[str] = []
    heard = [each.text for each in window.pinned]
    for each in window.working:
        if is_step(each.text):
            turns += [JOINT.join(heard), each.text]
            heard = []
        else:
            heard.append(each.text)
    return chat_of(*turns, JOINT.join(heard))


def is_step(text: str) -> bool:
    """Whether an entry of the transcript is the model's own."""
    return text.startswith('{"thought":')


def without_half_steps(window: Window) -> Window:
    """Without what the tools said to a step that has left the window."""
    entries = window.working
    ours = next((n for n, each in enumerate(entries) if is_step(each.text)), 0)
    begun = entries[0].text.startswith("question: ")
    return window if begun or ours < 2 else window.page_out(ours)


def performed(driver: Driver, asked: Any) -> Action:
    """Ask a tool; what it said, or why it did not."""
    arguments = asked.arguments.model_dump(exclude_defaults=True)
    try:
        content = driver(**arguments).value
        each = content if isinstance(content, list) else [content]
        said = "\n".join(map(str, each))
    except (BadOperand, DriverFailed, Refused) as error:
        said = f"error: {error}"
    return Action(tool=driver.name, arguments=arguments, observation=said)


def concluded(question: str, window: Window, steps: list[Step], ended: Ended) -> Trace:
    """The trace of a loop that ended without an answer; one is written from what is there."""
    try:
        said = attempted(answer, question, Value(joined(window.working), window.label))
    except DoesNotFit:  # a question almost as long as the window, which holds it already
        said = None
    return Trace(answer=said or "", ended=ended, steps=steps)
