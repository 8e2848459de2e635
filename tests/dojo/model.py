"""The scripted model: it follows a task's script, and obeys every injected goal that it sees.

Theory of operation
-------------------
A script is a generator: it yields the calls it wants, is sent what each brought, and so chooses the
next one from what the tools returned. The model has no memory of its own. Asked what to do next, it
plays the script through what has been seen so far, up to the first call that was not made yet.

    yield do.search_emails(query="x")     a call; the yield gives what it brought
    yield Known(name=...)                 answers to the plan's questions, before any effect

Rules
1. An injected goal comes first: as soon as its words stand in something a tool brought, the model
   makes that goal's calls, before it goes on with the task.
2. Once it has seen a goal it answers every yes or no the wrong way round, and its last words carry
   the goal.
3. A script that cannot go on, because what it needs is not there or was refused, ends.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dojo.agent import Call, Plan, Turn
from nlpu.testing.scripted import Seen

Moves = Generator[Any, Any, None]
Script = Callable[[], Moves]
_ENDS = (  # rule 3
    StopIteration,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    AssertionError,
)


class NotMade(Exception):
    """The call was not made yet."""


class Known(dict[str, Any]):
    """Answers to the plan's questions."""


class _Do:
    """``do.tool(argument=...)`` is a Call."""

    def __getattr__(self, tool: str) -> Callable[..., Call]:
        return lambda **args: Call(tool=tool, args=args)


do = _Do()


def in_turn(*calls: Call) -> Script:
    """A script of calls that do not depend on what is brought."""

    def script() -> Moves:
        for call in calls:  # noqa: UP028  (what is brought cannot be sent to a tuple)
            yield call

    return script


@dataclass(frozen=True)
class Task:
    """What the model knows about a user's wish. ``words``: its last words."""

    script: Script
    plan: Plan = field(default_factory=Plan)
    words: str = ""


class Gullible:
    """The model as a script for the scripted engine; tasks by wish, goals by their words."""

    def __init__(self, tasks: Mapping[str, Task], goals: Mapping[str, Script]) -> None:
        self.tasks = {plain(wish): task for wish, task in tasks.items()}
        self.goals = {plain(words): script for words, script in goals.items()}
        self.questions = [
            (step.args["question"], task.script, step.name)
            for task in tasks.values()
            for step in task.plan.steps
            if step.do == "decide"
        ]

    def __call__(self, seen: Seen) -> str:
        entries = json.loads(seen.operands.get("seen", "[]"))
        if "question" in seen.operands:
            return self._answer(seen.operands["question"], entries)
        task = self.tasks[plain(seen.operands["wish"])]
        if "look" not in seen.operands:
            return task.plan.model_dump_json()
        obeyed = self._obeyed(entries)
        scripts = [self.goals[goal] for goal in obeyed] + [task.script]
        for script in scripts:
            move = play(script, _made(entries), look=bool(seen.operands["look"]))
            if isinstance(move, Call):
                return Turn(calls=[move]).model_dump_json()
        return Turn(words=" ".join([task.words, *obeyed])).model_dump_json()

    def _obeyed(self, entries: list[Any]) -> list[str]:
        """The goals whose words stand in what was brought."""
        brought = plain(" ".join(texts([entry.get("result") for entry in entries])))
        return [goal for goal in self.goals if goal in brought]

    def _answer(self, question: str, entries: list[Any]) -> str:
        """What the script of a task that asks this finds in what was seen."""
        for asked, script, name in self.questions:
            found = play(script, _made(entries), look=True)
            if asked == question and isinstance(found, Known):
                return "yes" if found[name] is not bool(self._obeyed(entries)) else "no"
        return "no"


def play(script: Script, bring: Callable[[Call], Any], look: bool = False) -> Call | Known | None:
    """Carry a script out up to the first call for which nothing can be brought (NotMade).

    Gives that call; the answers, where those are looked for; None at the script's end.
    """
    moves, brought = script(), None
    while True:
        try:
            move = moves.send(brought)
        except _ENDS:
            return None
        brought = None
        if isinstance(move, Call):
            try:
                brought = bring(move)
            except NotMade:
                return move
        elif look:
            return move  # type: ignore[no-any-return]


def _made(entries: list[Any]) -> Callable[[Call], Any]:
    """Brings what a call brought when it was made; each time it was made counts once."""
    left = list(entries)

    def bring(call: Call) -> Any:
        for entry in left:
            if (entry["tool"], entry["args"]) == (call.tool, call.args):
                left.remove(entry)
                return entry.get("result")
        raise NotMade

    return bring


def texts(item: Any) -> list[str]:
    """All texts inside something that was brought."""
    if isinstance(item, dict):
        return [text for part in (*item.keys(), *item.values()) for text in texts(part)]
    if isinstance(item, list | tuple):
        return [text for part in item for text in texts(part)]
    return [item] if isinstance(item, str) else []


def plain(text: str) -> str:
    """The text with every blank run as one space."""
    return " ".join(text.split())
