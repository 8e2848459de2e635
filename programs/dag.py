"""Repeat a recorded graph of requests on another server: a file in AIPerf's ``dag_jsonl``.

    nlpu show RUN --dag requests.jsonl
    nlpu run dag --input requests.jsonl --engine http://127.0.0.1:8000

A line is a session: requests one after the other, each added to what was said before (and answered,
here and now), or each with its whole messages. After a request sessions may be started: ``spawns``
begin anew and are waited for before a later request, ``forks`` go on from what was said by then. An
orchestrator asks nothing and starts round after round. Requests become calls of one op, as chats;
how long they wait by the clock (``delay``, ``think_time_ms``) is left out, and which model they
name, and so is each field that this engine does not take; the result says which.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter
from typing import Any
from zlib import crc32

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nlpu import Chat, Usage, nlop, spawn
from nlpu.sampling import DEFAULTS, MACHINES
from nlpu.value import Value, current

ISOLATED = "message_array_with_responses"
CLOCK = ("delay", "think_time_ms", "think_time_sigma", "think_time_min_ms", "think_time_max_ms")
Message = dict[str, Any]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Spawned(_Part):
    """Sessions that begin anew; ``join_at``: the request that waits for them (0: the next)."""

    children: list[str] = Field(min_length=1)
    join_at: int = 0


class Forked(_Part):
    """A session that goes on; ``background``: this one does, too."""

    child: str
    background: bool = False


class Turn(_Part):
    """One request."""

    messages: list[Message] = Field(min_length=1)
    model: str | None = None
    max_tokens: int | None = Field(default=None, ge=1, strict=True)
    tools: None = None
    extra: dict[str, Any] = {}
    forks: list[str | Forked] = []
    spawns: list[str | Spawned] = []
    delay: float = 0.0


class Round(_Part):
    """Sessions that an orchestrator starts together."""

    spawns: list[str] = Field(min_length=1)
    think_time_ms: float | None = None


class Session(_Part):
    """One line."""

    session_id: str = Field(min_length=1)
    turns: list[Turn] = []
    orchestrator: bool = False
    spawns: list[str] = []
    rounds: int | list[Round] = 1
    context_mode: str = ""
    pre_session_spawns: list[str] = []
    think_time_ms: float | None = None
    think_time_sigma: float | None = None
    think_time_min_ms: float | None = None
    think_time_max_ms: float | None = None

    def started(self) -> Iterator[str]:
        """Give the sessions that it starts."""
        yield from (*self.spawns, *self.pre_session_spawns)
        if isinstance(self.rounds, list):
            yield from (name for each in self.rounds for name in each.spawns)
        for turn in self.turns:
            yield from (each if isinstance(each, str) else each.child for each in turn.forks)
            for spawned in turn.spawns:
                yield from [spawned] if isinstance(spawned, str) else spawned.children


class Repeated(BaseModel):
    """What was repeated. left_out: fields that were not sent."""

    sessions: int
    requests: int
    left_out: list[str] = []


@nlop(max_tokens=256, at_limit="trim")
def reply(chat: Chat) -> str:
    """Answer the last message."""


def dag(requests: str) -> Repeated:
    """Send all requests of the file, each when what it waits for has ended."""
    sessions = {session.session_id: session for session in read(requests)}
    inner = {name for session in sessions.values() for name in session.started()}
    unknown = next((name for name in inner if name not in sessions), None)
    if unknown is not None:
        raise Usage(f"a session starts {unknown!r:.80}, which no line of the file is")
    try:
        TopologicalSorter({name: [*each.started()] for name, each in sessions.items()}).prepare()
    except CycleError as error:
        raise Usage(f"sessions never end that start each other: {error.args[1]!r:.80}") from None
    left_out = set[str]()
    play = _Player(sessions, left_out).play
    running = [spawn(play, each, (), 0) for name, each in sessions.items() if name not in inner]
    return Repeated(sessions=len(sessions), requests=_waited(running), left_out=sorted(left_out))


class _Player:
    """Plays sessions; what they cannot send is noted."""

    def __init__(self, sessions: dict[str, Session], left_out: set[str]) -> None:
        self._sessions, self._left_out = sessions, left_out

    def play(self, session: Session, before: Sequence[Message], time: int) -> int:
        """Play a session and all that it starts; give how many requests that were.

        time: which one it is that it is played: equal requests are sent as often as they stand.
        """
        if session.orchestrator:
            return self._rounds(session)
        self._note(session, CLOCK)
        isolated, said, sent = session.context_mode == ISOLATED, list(before), 0
        joins = {len(session.turns): self._begun(session.pre_session_spawns, time)}
        for number, turn in enumerate(session.turns):
            sent += _waited(joins.pop(number, []))
            self._note(turn, ("model", *CLOCK))
            said = [*turn.messages] if isolated else [*said, *turn.messages]
            asks = reply.using(**self._settings(turn, said))
            sample = crc32(f"{session.session_id}/{time}/{number}".encode())
            text = asks(_chat(said), sample=sample).value
            sent += 1
            if not isolated:
                said.append({"role": "assistant", "content": text})
            for each in turn.spawns:
                names = [each] if isinstance(each, str) else each.children
                at = 0 if isinstance(each, str) else each.join_at
                joins.setdefault(at or number + 1, []).extend(self._begun(names, time))
            forks = [Forked(child=f) if isinstance(f, str) else f for f in turn.forks]
            begun = self._begun([fork.child for fork in forks], time, said)
            joins.setdefault(len(session.turns), []).extend(begun)
            if any(not fork.background for fork in forks):
                break
        return sent + sum(_waited(each) for each in joins.values())

    def _rounds(self, session: Session) -> int:
        self._note(session, CLOCK)
        named, rounds = session.spawns, session.rounds
        each = [named] * rounds if isinstance(rounds, int) else [one.spawns for one in rounds]
        return sum(_waited(self._begun(names, time)) for time, names in enumerate(each))

    def _begun(
        self, names: Sequence[str], time: int, said: Sequence[Message] = ()
    ) -> list[Value[int]]:
        return [spawn(self.play, self._sessions[name], tuple(said), time) for name in names]

    def _note(self, part: BaseModel, names: Sequence[str]) -> None:
        self._left_out |= {name for name in names if getattr(part, name, None)}

    def _settings(self, turn: Turn, said: Sequence[Message]) -> dict[str, Any]:
        """What the op is asked with, of what this engine takes."""
        takes = current().processor(None).capabilities.sampling
        own, extra = dict[str, Any](), dict[str, Any]()
        for name, value in turn.extra.items():
            if name in DEFAULTS and name in takes and name != "extra":
                own[name] = value
            elif name not in MACHINES and not takes.isdisjoint((name, "extra")):
                extra[name] = value
            else:
                self._left_out.add(name)
        system = "\n\n".join(
            _text(each) for each in said if each["role"] in ("system", "developer")
        )
        more = {"max_tokens": turn.max_tokens} if turn.max_tokens else {}
        return {**own, **more, "extra": extra, "system": system}


def _waited(values: list[Value[int]]) -> int:
    return sum(int(each) for each in values)


def _chat(said: Sequence[Message]) -> Chat:
    """The turns; what one speaker says in several messages is one turn."""
    turns = list[tuple[str, str]]()
    for each in said:
        role, text = each["role"], _text(each)
        if role in ("system", "developer"):
            continue
        if turns and turns[-1][0] == role:
            turns[-1] = (role, f"{turns[-1][1]}\n\n{text}")
        else:
            turns.append((role, text))
    return Chat(tuple(turns))  # type: ignore[arg-type]  # it checks the roles


def _text(message: Message) -> str:
    """What a message says. Raises Usage where that is no text."""
    content = message.get("content")
    parts: Any = [{"type": "text", "text": content}] if isinstance(content, str) else content
    with suppress(TypeError, KeyError):
        if {part["type"] for part in parts} <= {"text"}:
            return "\n".join(part["text"] for part in parts)
    raise Usage(f"a message of {message.get('role')!r} is no text: {content!r:.80}")


def read(requests: str) -> Iterator[Session]:
    """Give the sessions of the file. Raises Usage."""
    known = set[str]()
    for number, line in enumerate(requests.split("\n"), 1):
        if not line.strip():
            continue
        try:
            session = Session.model_validate(json.loads(line))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise Usage(f"line {number}: {where or 'it'}: {first['msg']}") from None
        except (ValueError, RecursionError) as error:
            raise Usage(f"line {number} is not JSON: {error}") from None
        if session.session_id in known:
            raise Usage(f"line {number}: the session {session.session_id!r:.80} is there twice")
        known.add(session.session_id)
        for turn in session.turns:
            if any(
                each.get("role") not in ("system", "developer", "user", "assistant")
                for each in turn.messages
            ):
                raise Usage(f"line {number}: a message's role is system, user or assistant")
        yield session
    if not known:
        raise Usage("the file has no session: give one JSON object on each line")
